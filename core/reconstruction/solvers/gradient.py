"""Objective and penalties together at a candidate: their gradients, for the update rule.

With 20 candidates a step is about a hundred kernels of a few microseconds each, and launching them one by one from
Python takes longer than they do. On CUDA the step is therefore recorded once as a graph and launched whole, again and
again; with many candidates it makes no difference.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from core.config.monitor import Monitor
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.protocol import Evaluation, Objective, Recordable
from core.reconstruction.priors.penalties import Penalty

WARM_UPS = 3  # before a recording: libraries allocate their workspaces in the first calls

# From a function and its arguments to a call without arguments: it runs the function again on what its arguments hold
# by then, and returns the same tensors, filled anew.
Recorder = Callable[[Callable[..., tuple], tuple[Tensor, ...]], Callable[[], tuple]]


@dataclass(frozen=True)
class Gradient:
    """Where a recording is replayed, the tensors are overwritten by the next one."""

    evaluation: Evaluation  # of the objective alone
    x: Tensor               # [R, N, C, H, W], penalties included
    log_lam: Tensor         # [R, N], with respect to log(lam), penalties included


def gradient(objective: Objective, penalties: list[Penalty], candidate: Candidate,
             annealed: Mapping[str, float | Tensor]) -> Gradient:
    """`annealed` is what the plan has at this step, by the objective's own names."""
    evaluation = objective.evaluate(candidate, **annealed)
    sums: dict[str, Tensor | float] = {"x": 0.0, "lam": 0.0}
    for penalty in penalties:
        if penalty.weight:
            sums[penalty.judges] += penalty.weight * penalty.evaluate(getattr(candidate, penalty.judges))[1]
    return Gradient(evaluation, evaluation.grad_x + sums["x"],
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


class GradientOf:
    """`gradient` of one objective, recorded where that pays.

    Recorded anew whenever the batch, its labels or the penalties change: after a halving, or a knob turned.
    """

    def __init__(self, objective: Objective, monitor: Monitor, *, record: Recorder | None = None) -> None:
        """`record` None: on CUDA a graph, elsewhere nothing is recorded."""
        self.objective, self.monitor = objective, monitor
        self._record = record
        if record is None and isinstance(objective, Recordable) and objective.input_mean.is_cuda:
            self._record = cuda_graph
        self._made_for: tuple | None = None
        self._replay: Callable[[], tuple] | None = None
        self._static: tuple[Tensor, ...] = ()

    def __call__(self, candidate: Candidate, penalties: list[Penalty], annealed: Mapping[str, float]) -> Gradient:
        if self._record is not None and not self._ready(candidate, penalties, annealed):
            try:
                self._prepare(candidate, penalties, annealed)
            except RuntimeError as error:
                self._record = None
                self.monitor.log(f"The step could not be recorded as a CUDA graph and is launched piece by piece: "
                                 f"{str(error).splitlines()[0]}")
        if self._record is None:
            return gradient(self.objective, penalties, candidate, annealed)
        x, lam, *changing = self._static
        x.copy_(candidate.x)
        lam.copy_(candidate.lam)
        for tensor, value in zip(changing, _finite(annealed).values(), strict=True):
            tensor.fill_(value)
        value, terms, grad_x, grad_log_lam, whole_x, whole_log_lam = self._replay()
        return Gradient(Evaluation(value, terms, grad_x, grad_log_lam), whole_x, whole_log_lam)

    def _ready(self, candidate: Candidate, penalties: list[Penalty], annealed: Mapping[str, float]) -> bool:
        if self._made_for is None:
            return False
        shape, labels, of, changing = self._made_for
        return (shape == candidate.x.shape and labels is candidate.labels and of is penalties
                and changing == tuple(_finite(annealed)))

    def _prepare(self, candidate: Candidate, penalties: list[Penalty], annealed: Mapping[str, float]) -> None:
        finite = _finite(annealed)

        def step(x: Tensor, lam: Tensor, *changing: Tensor) -> tuple:
            at = gradient(self.objective, penalties, Candidate(x, candidate.labels, lam),
                          {**annealed, **dict(zip(finite, changing, strict=True))})
            return (at.evaluation.value, at.evaluation.terms, at.evaluation.grad_x, at.evaluation.grad_log_lam, at.x,
                    at.log_lam)

        self._replay = None  # its memory is free for the next
        self._static = (candidate.x.clone(), candidate.lam.clone(), *(
            torch.full((), value, dtype=candidate.x.dtype, device=candidate.x.device) for value in finite.values()))
        self._replay = self._record(step, self._static)
        self._made_for = (candidate.x.shape, candidate.labels, penalties, tuple(finite))


def _finite(annealed: Mapping[str, float]) -> dict[str, float]:
    """What a recording reads anew at each step; an infinite value (the exact ReLU) is another computation."""
    return {name: value for name, value in annealed.items() if math.isfinite(value)}
