"""The one loop of all first-order attacks.

It owns the schedule, the best iterate of every restart, non-finite values, stopping, checkpoints and
timing; an objective and an update rule know nothing of these.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.config.monitor import Monitor, Silent
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.protocol import Evaluation, Objective
from core.reconstruction.priors.penalties import Penalty
from core.reconstruction.solvers.gradient import Slope, SlopeOf
from core.reconstruction.solvers.initial import Start
from core.reconstruction.solvers.protocol import FirstOrder, Reconstruction, Status
from core.reconstruction.solvers.search_space import SearchSpace

CHECKPOINT_SECONDS = 5.0
HALVE_AT = (1 / 8, 1 / 4, 1 / 2)  # of the iterations: 16 restarts then cost as much as 5 to the end
LEAST_RESTARTS = 2  # that halving leaves: their agreement is part of the confidence
SNAPSHOTS = 100  # evenly over a run, and as many as half more at its beginning, where images change fastest


@dataclass(frozen=True)
class Plan:
    """How long and how fast to search."""

    iterations: int
    lr_x: float
    lr_lam: float                  # of log(lam), or of lam itself: see lambda_space
    lr_schedule: str               # cosine (to 0) or constant
    relu_alpha_start: float
    relu_alpha_end: float
    record_every: int
    fixed_lam: bool = False        # oracle: the coefficients are known
    tolerance: float = 0.0         # of the exact residual
    max_seconds: float = math.inf
    lambda_space: str = "log"      # log: lam > 0 by exp; linear: lam itself, of any sign (Haim et al. 2022)
    halving: bool = False          # successive halving of the restarts, at `HALVE_AT`

    def relu_alpha(self, step: int) -> float:
        """Rises geometrically: a soft surrogate finds the basin, a sharp one is the true network. Constant where both
        ends are alike; infinity is the exact ReLU."""
        if self.relu_alpha_start == self.relu_alpha_end:
            return self.relu_alpha_start
        return self.relu_alpha_start * (self.relu_alpha_end / self.relu_alpha_start) ** (step / self.iterations)

    def halvings(self, step: int) -> int:
        """How often the restarts should have been halved once `step` begins."""
        return sum(step >= max(1, share * self.iterations) for share in HALVE_AT) if self.halving else 0

    def rate(self, step: int) -> float:
        return 0.5 * (1 + math.cos(math.pi * step / self.iterations)) if self.lr_schedule == "cosine" else 1.0


class _Search:
    """Everything that changes during `solve`, and that a checkpoint must hold."""

    def __init__(self, space: SearchSpace, start: Start, method: FirstOrder, *, signed_lam: bool) -> None:
        self.space, self.method, self.signed_lam = space, method, signed_lam
        self.coordinates = start.coordinates
        self.candidate = Candidate(space.images(start.coordinates), start.labels, start.lam)
        self.state_x, self.state_lam = method.init(start.coordinates), method.init(start.lam)
        self.best = self.candidate
        # On the CPU like all that is looked at rarely; the candidate is where the objective computes.
        self.best_residual = torch.full((len(start.lam),), math.inf, dtype=torch.float64)
        self.alive = torch.ones(len(start.lam), dtype=torch.bool)
        self.active = torch.arange(len(start.lam))  # restarts in the batch; `best` and what is on the CPU hold all
        self.step, self.seconds, self.halvings = 0, 0.0, 0
        self.looked = -1  # the last step with a row of metrics

    def advance(self, slope: Slope, plan: Plan) -> None:
        rate = plan.rate(self.step)
        self.coordinates = self.method.step(self.coordinates, self.space.pull_back(slope.x), self.state_x,
                                            learning_rate=plan.lr_x * rate)
        lam = self.candidate.lam
        if not plan.fixed_lam and plan.lambda_space == "linear":
            grad_lam = torch.where(lam == 0, 0.0, slope.log_lam / lam)  # d/dlam; an exact 0 waits for its momentum
            lam = self.method.step(lam, grad_lam, self.state_lam, learning_rate=plan.lr_lam * rate)
        elif not plan.fixed_lam:
            lam = self.method.step(lam.log(), slope.log_lam, self.state_lam, learning_rate=plan.lr_lam * rate).exp()
        self.candidate = replace(self.candidate, x=self.space.images(self.coordinates), lam=lam)
        self.step += 1

    def keep_best(self, residual: Tensor) -> None:
        """Per restart; a restart that is no longer finite is dead and keeps what it had."""
        x, lam = self.candidate.x, self.candidate.lam
        usable = lam.isfinite() & ((lam > 0) | self.signed_lam)  # the logarithm of an underflow is lost
        finite = residual.isfinite() & (x.isfinite().flatten(1).all(1) & usable.all(1)).cpu()
        self.alive[self.active] &= finite
        better = finite & (residual < self.best_residual[self.active])
        to, source = self.active[better], torch.nonzero(better).flatten()
        self.best_residual[to] = residual[source]
        best_x, best_lam = self.best.x.clone(), self.best.lam.clone()  # the first best is the start itself
        best_x[to.to(x.device)], best_lam[to.to(x.device)] = x[source.to(x.device)], lam[source.to(x.device)]
        self.best = replace(self.best, x=best_x, lam=best_lam)

    def halve(self, residual: Tensor) -> None:
        """Leave the worse half of the batch, by the exact residual [A] of its restarts, at the best it reached."""
        self.keep_best(residual)
        self.halvings += 1
        kept = max(-(-len(residual) // 2), min(LEAST_RESTARTS, len(residual)))
        usable = torch.where(self.alive[self.active], residual, math.inf)
        chosen = usable.argsort()[:kept].sort().values
        self.active = self.active[chosen]
        place = chosen.to(self.coordinates.device)
        self.coordinates = self.coordinates[place]
        labels, lam = self.candidate.labels[place], self.candidate.lam[place]
        self.candidate = Candidate(self.space.images(self.coordinates), labels, lam)
        for state in (self.state_x, self.state_lam):
            state |= {name: tensor[place] for name, tensor in state.items() if tensor.ndim}  # not Adam's count

    def tensors(self) -> dict[str, Tensor]:
        states = {f"{kind}.{name}": tensor for kind, state in (("x", self.state_x), ("lam", self.state_lam))
                  for name, tensor in state.items()}
        return {"coordinates": self.coordinates, "candidate.lam": self.candidate.lam, "best.x": self.best.x,
                "best.lam": self.best.lam, "best_residual": self.best_residual, "alive": self.alive,
                "active": self.active,
                **states}

    def restore(self, tensors: dict[str, Tensor], meta: dict) -> None:
        def like(name: str, present: Tensor) -> Tensor:
            return tensors[name].to(present)

        self.coordinates = like("coordinates", self.coordinates)
        self.active = like("active", self.active)
        self.candidate = Candidate(self.space.images(self.coordinates),
                                   self.candidate.labels[self.active.to(self.candidate.labels.device)],
                                   like("candidate.lam", self.candidate.lam))
        self.best = replace(self.best, x=like("best.x", self.best.x), lam=like("best.lam", self.best.lam))
        self.best_residual = like("best_residual", self.best_residual)
        self.alive = like("alive", self.alive)
        self.state_x = {name: like(f"x.{name}", tensor) for name, tensor in self.state_x.items()}
        self.state_lam = {name: like(f"lam.{name}", tensor) for name, tensor in self.state_lam.items()}
        self.step, self.seconds = meta["step"], meta["seconds"]
        self.looked, self.halvings = meta["looked"], meta["halvings"]


def solve(objective: Objective, penalties: list[Penalty], *, space: SearchSpace, start: Start, method: FirstOrder,
          plan: Plan, monitor: Monitor | None = None,
          retune: Callable[[int], tuple[Plan, list[Penalty]] | None] | None = None) -> Reconstruction:
    """Minimise objective + penalties over `space` from `start`, all restarts as one batch.

    Restarts are ranked by the exact-ReLU residual alone, which unlike the loss does not change with
    the surrogate. Continues from the monitor's checkpoint where there is one; the result is that of
    an uninterrupted run. `retune` is asked at each step, and may give another plan and other penalties from
    there on, of the same length and space.
    """
    monitor = monitor or Silent()
    search = _Search(space, start, method, signed_lam=plan.lambda_space == "linear")
    if (saved := monitor.load_checkpoint()) is not None:
        search.restore(*saved)
    earlier, began, saved_at = search.seconds, time.monotonic(), time.monotonic()
    watch, slope_of = _Watch(objective, plan, monitor), SlopeOf(objective, monitor)
    status = None
    while status is None:
        search.seconds = earlier + time.monotonic() - began
        if retune is not None and search.step < plan.iterations and (other := retune(search.step)) is not None:
            plan, penalties = other
            watch.plan = plan
        if search.halvings < plan.halvings(search.step):
            search.halve(objective.residuals(search.candidate)["residual"])
        slope = slope_of(search.candidate, penalties, relu_alpha=plan.relu_alpha(search.step))
        due = search.step % plan.record_every == 0 or search.step == plan.iterations
        if due and search.looked < search.step:
            status = watch.look(search, slope.evaluation, penalties)
        if search.step >= plan.iterations:
            status = status or Status.ITERATIONS
        elif monitor.should_stop():
            status = Status.STOPPED
        elif search.seconds >= plan.max_seconds:
            status = Status.TIME_LIMIT
        if status is not None:
            break
        search.advance(slope, plan)
        monitor.progress(search.step, plan.iterations)
        if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            saved_at = time.monotonic()
            _save(search, monitor)
    if status in (Status.STOPPED, Status.TIME_LIMIT):
        search.keep_best(objective.residuals(search.candidate)["residual"])
        _save(search, monitor)
    residuals = objective.residuals(search.best)
    ranked = torch.where(search.best_residual.isfinite(), search.best_residual, math.inf)
    dead = torch.nonzero(~search.alive).flatten().tolist()
    return Reconstruction(search.best, residuals, int(ranked.argmin()), status, search.step, search.seconds, dead)


def _save(search: _Search, monitor: Monitor) -> None:
    monitor.save_checkpoint(search.tensors(), {"step": search.step, "seconds": search.seconds,
                                                "looked": search.looked, "halvings": search.halvings})


class _Watch:
    """Looks at the search every `record_every` steps: the only place where the device is waited for."""

    def __init__(self, objective: Objective, plan: Plan, monitor: Monitor) -> None:
        self.objective, self.plan, self.monitor = objective, plan, monitor
        self.gates: list[Tensor] | None = None     # at the last look
        self.pictured: list[Tensor] | None = None  # at the last snapshot
        self.snapshot_every = max(plan.record_every, -(-plan.iterations // SNAPSHOTS))
        self.snapped = -self.snapshot_every

    def look(self, search: _Search, evaluation: Evaluation, penalties: list[Penalty]) -> Status | None:
        """Update the best iterates, write a row of metrics, and say whether the search is over."""
        candidate, search.looked = search.candidate, search.step
        residuals = self.objective.residuals(candidate)
        search.keep_best(residuals["residual"])
        if not search.alive.any():
            return Status.DIVERGED
        leader = int(torch.where(search.alive[search.active], residuals["residual"], math.inf).argmin())
        losses = dict(zip(search.active.tolist(), residuals["residual"].tolist(), strict=True))
        row = {name: float(value[leader]) for name, value in residuals.items()}
        row |= self._loss(evaluation, penalties, candidate, leader)
        row |= self._flips(search, leader)
        self.monitor.record(search.step, **row, relu_alpha=self.plan.relu_alpha(search.step),
                            best_restart=int(search.active[leader]), coefficients=candidate.lam[leader].tolist(),
                            restart_losses=[losses.get(restart) for restart in range(len(search.alive))])
        gap = min(self.snapshot_every, max(self.plan.record_every, search.step // 10))
        if search.step - self.snapped >= gap or search.step == self.plan.iterations:
            self.snapped = search.step
            self._switched(search, leader)
            several = len(search.alive) > 1
            self.monitor.snapshot(search.step, candidate.x[leader].clamp(0, 1),
                                  restarts=candidate.x.clamp(0, 1) if several else None,
                                  numbers=search.active.tolist() if several else ())
        return Status.CONVERGED if float(search.best_residual.min()) < self.plan.tolerance else None

    def _loss(self, evaluation: Evaluation, penalties: list[Penalty], candidate: Candidate,
              leader: int) -> dict[str, float]:
        """The loss of the leading restart and what each penalty contributes to it, weight included."""
        parts = {penalty.name: penalty.weight * float(penalty.evaluate(getattr(candidate, penalty.judges))[0][leader])
                 for penalty in penalties}
        return {"loss": float(evaluation.value[leader]) + sum(parts.values()), **parts}

    def _flips(self, search: _Search, leader: int) -> dict[str, float]:
        """Share of (sample, neuron) gates of the leading restart that changed since the last look."""
        before, self.gates = self.gates, self.objective.gates(search.candidate)
        return {f"flips.{layer}": float(pairs.float().mean())
                for layer, pairs in _changed(before, self.gates, leader).items()}

    def _switched(self, search: _Search, leader: int) -> None:
        """Show which gates of the leading restart changed since the last snapshot."""
        before, self.pictured = self.pictured, self.gates
        if pairs := _changed(before, self.pictured, leader):
            self.monitor.gates(search.step, pairs)


def _changed(before: list[Tensor] | None, after: list[Tensor], leader: int) -> dict[str, Tensor]:
    """Gates of one restart that differ, by layer [N, n]; {} at the first look and at the first after a halving."""
    if before is None or len(before[0]) != len(after[0]):
        return {}
    return {f"layers.{level}": now[leader] != then[leader]
            for level, (now, then) in enumerate(zip(after, before, strict=True))}
