"""The best iterate of every restart: a wrapper around whatever moves them."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.reconstruction.candidate import Candidate


@dataclass
class BestIterates:
    """By the exact residual alone, which unlike the loss does not change with a surrogate.

    A restart that is no longer finite is dead and keeps what it had.
    """

    candidate: Candidate       # R restarts; the first best is the start itself
    residual: Tensor           # [R] float64 on the CPU, like all that is looked at rarely
    alive: Tensor              # [R] bool, on the CPU
    signed_lam: bool           # the search runs over lam itself, whose sign is free

    @classmethod
    def at(cls, start: Candidate, *, signed_lam: bool) -> "BestIterates":
        """Before the first look."""
        restarts = len(start.lam)
        return cls(start, torch.full((restarts,), math.inf, dtype=torch.float64),
                   torch.ones(restarts, dtype=torch.bool), signed_lam)

    def keep(self, candidate: Candidate, active: Tensor, residual: Tensor) -> None:
        """Take in the batch `candidate` [A, ...] of the restarts `active` [A], with their exact residuals [A]."""
        x, lam = candidate.x, candidate.lam
        usable = lam.isfinite() & ((lam > 0) | self.signed_lam)  # the logarithm of an underflow is lost
        finite = residual.isfinite() & (x.isfinite().flatten(1).all(1) & usable.all(1)).cpu()
        self.alive[active] &= finite
        better = finite & (residual < self.residual[active])
        to, source = active[better], torch.nonzero(better).flatten()
        self.residual[to] = residual[source]
        best_x, best_lam = self.candidate.x.clone(), self.candidate.lam.clone()
        best_x[to.to(x.device)], best_lam[to.to(x.device)] = x[source.to(x.device)], lam[source.to(x.device)]
        self.candidate = replace(self.candidate, x=best_x, lam=best_lam)

    @property
    def winner(self) -> int:
        """The restart of smallest residual."""
        return int(torch.where(self.residual.isfinite(), self.residual, math.inf).argmin())

    @property
    def dead(self) -> list[int]:
        return torch.nonzero(~self.alive).flatten().tolist()

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {"best.x": self.candidate.x, "best.lam": self.candidate.lam, "best_residual": self.residual,
                "alive": self.alive}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """From a checkpoint, to where the search computes."""
        self.candidate = replace(self.candidate, x=tensors["best.x"].to(self.candidate.x),
                                 lam=tensors["best.lam"].to(self.candidate.lam))
        self.residual, self.alive = tensors["best_residual"].to(self.residual), tensors["alive"].to(self.alive)
