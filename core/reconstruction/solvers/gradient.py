"""Objective and penalties together at a candidate: their gradients, for the update rule.

With 20 candidates a step is about a hundred kernels of a few microseconds each, and launching them one by one from
Python takes longer than they do. On CUDA the step is therefore recorded once as a graph and launched whole, again and
again; with many candidates it makes no difference.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.config.monitor import Monitor
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.protocol import Evaluation, Objective
from core.reconstruction.objectives.surrogate import is_exact
from core.reconstruction.priors.penalties import Penalty

WARM_UPS = 3  # before a recording: libraries allocate their workspaces in the first calls

# From a function and its arguments to a call without arguments: it runs the function again on what its arguments hold
# by then, and returns the same tensors, filled anew.
Recorder = Callable[[Callable[..., tuple], tuple[Tensor, ...]], Callable[[], tuple]]


@dataclass(frozen=True)
class Slope:
    """Where a recording is replayed, the tensors are overwritten by the next one."""

    evaluation: Evaluation  # of the objective alone
    x: Tensor               # [R, N, C, H, W], penalties included
    log_lam: Tensor         # [R, N], with respect to log(lam), penalties included


def slope(objective: Objective, penalties: list[Penalty], candidate: Candidate, *, relu_alpha: float | Tensor) -> Slope:
    evaluation = objective.evaluate(candidate, relu_alpha=relu_alpha)
    sums: dict[str, Tensor | float] = {"x": 0.0, "lam": 0.0}
    for penalty in penalties:
        if penalty.weight:
            sums[penalty.judges] += penalty.weight * penalty.evaluate(getattr(candidate, penalty.judges))[1]
    return Slope(evaluation, evaluation.grad_x + sums["x"],
                 evaluation.grad_log_lam + sums["lam"] * candidate.lam)  # d/dlog(lam)


def cuda_graph(function: Callable[..., tuple], arguments: tuple[Tensor, ...]) -> Callable[[], tuple]:
    """A `Recorder`; raises ``RuntimeError`` where CUDA cannot record."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            function(*arguments)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        results = function(*arguments)

    def replay() -> tuple:
        graph.replay()
        return results

    return replay


class SlopeOf:
    """`slope` of one objective, recorded where that pays.

    Recorded anew whenever the batch, its labels or the penalties change: after a halving, or a knob turned.
    """

    def __init__(self, objective: Objective, monitor: Monitor, *, record: Recorder | None = None) -> None:
        """`record` None: on CUDA a graph, elsewhere nothing is recorded."""
        self.objective, self.monitor = objective, monitor
        self._record = record
        if record is None and objective.recordable and objective.input_mean.is_cuda:
            self._record = cuda_graph
        self._made_for: tuple | None = None
        self._replay: Callable[[], tuple] | None = None
        self._static: tuple[Tensor, ...] = ()

    def __call__(self, candidate: Candidate, penalties: list[Penalty], *, relu_alpha: float) -> Slope:
        if self._record is not None and not self._ready(candidate, penalties, relu_alpha):
            try:
                self._prepare(candidate, penalties, relu_alpha)
            except RuntimeError as error:
                self._record = None
                self.monitor.log(f"The step could not be recorded as a CUDA graph and is launched piece by piece: "
                                 f"{str(error).splitlines()[0]}")
        if self._record is None:
            return slope(self.objective, penalties, candidate, relu_alpha=relu_alpha)
        x, lam, alpha = self._static
        x.copy_(candidate.x)
        lam.copy_(candidate.lam)
        alpha.fill_(relu_alpha)
        value, terms, grad_x, grad_log_lam, whole_x, whole_log_lam = self._replay()
        return Slope(Evaluation(value, terms, grad_x, grad_log_lam), whole_x, whole_log_lam)

    def _ready(self, candidate: Candidate, penalties: list[Penalty], relu_alpha: float) -> bool:
        if self._made_for is None:
            return False
        shape, labels, of, exact = self._made_for
        return (shape == candidate.x.shape and labels is candidate.labels and of is penalties
                and exact == is_exact(relu_alpha))

    def _prepare(self, candidate: Candidate, penalties: list[Penalty], relu_alpha: float) -> None:
        exact = is_exact(relu_alpha)

        def step(x: Tensor, lam: Tensor, alpha: Tensor) -> tuple:
            at = slope(self.objective, penalties, Candidate(x, candidate.labels, lam),
                       relu_alpha=relu_alpha if exact else alpha)
            return (at.evaluation.value, at.evaluation.terms, at.evaluation.grad_x, at.evaluation.grad_log_lam, at.x,
                    at.log_lam)

        self._replay = None  # its memory is free for the next
        self._static = (candidate.x.clone(), candidate.lam.clone(),
                        torch.full((), relu_alpha, dtype=candidate.x.dtype, device=candidate.x.device))
        self._replay = self._record(step, self._static)
        self._made_for = (candidate.x.shape, candidate.labels, penalties, exact)
