"""Looking at a search while it runs: rows of metrics, pictures, switched gates, and whether it is over."""

import math

import torch
from torch import Tensor

from core.config.monitor import Monitor
from core.models.modality import of_shape
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.protocol import Evaluation, Gated, Objective
from core.reconstruction.priors.penalties import Penalty
from core.reconstruction.solvers.plan import Plan
from core.reconstruction.solvers.protocol import Status
from core.reconstruction.solvers.search import Search

SNAPSHOTS = 100  # evenly over a run, and as many as half more at its beginning, where images change fastest


class Watch:
    """Looks at the search every `record_every` steps: the only place where the device is waited for."""

    def __init__(self, objective: Objective, plan: Plan, monitor: Monitor) -> None:
        self.objective, self.plan, self.monitor = objective, plan, monitor
        self.gates: list[Tensor] | None = None     # at the last look
        self.pictured: list[Tensor] | None = None  # at the last snapshot
        self.snapshot_every = max(plan.record_every, -(-plan.iterations // SNAPSHOTS))
        self.snapped = -self.snapshot_every

    def look(self, search: Search, evaluation: Evaluation, penalties: list[Penalty]) -> Status | None:
        """Update the best iterates, write a row of metrics, and say whether the search is over."""
        candidate, search.looked = search.candidate, search.step
        residuals = self.objective.residuals(candidate)
        search.keep_best(residuals["residual"])
        if not search.best.alive.any():
            return Status.DIVERGED
        leader = int(torch.where(search.best.alive[search.active], residuals["residual"], math.inf).argmin())
        losses = dict(zip(search.active.tolist(), residuals["residual"].tolist(), strict=True))
        row = {name: float(value[leader]) for name, value in residuals.items()}
        row |= self._loss(evaluation, penalties, candidate, leader)
        row |= self._flips(search, leader)
        self.monitor.record(search.step, **row, **self.plan.annealed(search.step),
                            best_restart=int(search.active[leader]), coefficients=candidate.lam[leader].tolist(),
                            restart_losses=[losses.get(restart) for restart in range(len(search.best.alive))])
        gap = min(self.snapshot_every, max(self.plan.record_every, search.step // 10))
        if search.step - self.snapped >= gap or search.step == self.plan.iterations:
            self.snapped = search.step
            self._switched(search, leader)
            several = len(search.best.alive) > 1
            shown = of_shape(candidate.x.shape[2:]).clip(candidate.x)
            self.monitor.snapshot(search.step, shown[leader], restarts=shown if several else None,
                                  numbers=search.active.tolist() if several else ())
        return Status.CONVERGED if float(search.best.residual.min()) < self.plan.tolerance else None

    def _loss(self, evaluation: Evaluation, penalties: list[Penalty], candidate: Candidate,
              leader: int) -> dict[str, float]:
        """The loss of the leading restart and what each penalty contributes to it, weight included."""
        parts = {penalty.name: penalty.weight * float(penalty.evaluate(getattr(candidate, penalty.judges))[0][leader])
                 for penalty in penalties}
        return {"loss": float(evaluation.value[leader]) + sum(parts.values()), **parts}

    def _flips(self, search: Search, leader: int) -> dict[str, float]:
        """Share of (sample, neuron) gates of the leading restart that changed since the last look."""
        if not isinstance(self.objective, Gated):
            return {}
        before, self.gates = self.gates, self.objective.gates(search.candidate)
        return {f"flips.{layer}": float(pairs.float().mean())
                for layer, pairs in _changed(before, self.gates, leader).items()}

    def _switched(self, search: Search, leader: int) -> None:
        """Show which gates of the leading restart changed since the last snapshot."""
        if self.gates is None:
            return
        before, self.pictured = self.pictured, self.gates
        if pairs := _changed(before, self.pictured, leader):
            self.monitor.gates(search.step, pairs)


def _changed(before: list[Tensor] | None, after: list[Tensor], leader: int) -> dict[str, Tensor]:
    """Gates of one restart that differ, by layer [N, n]; {} at the first look and at the first after a halving."""
    if before is None or len(before[0]) != len(after[0]):
        return {}
    return {f"layers.{level}": now[leader] != then[leader]
            for level, (now, then) in enumerate(zip(after, before, strict=True))}
