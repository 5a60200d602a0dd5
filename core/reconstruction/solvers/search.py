"""The moving part of a first-order search: the batch of restarts, and the update rule's own state."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from core.reconstruction.candidate import Candidate
from core.reconstruction.solvers.best import BestIterates
from core.reconstruction.solvers.gradient import Gradient
from core.reconstruction.solvers.initial import Start
from core.reconstruction.solvers.plan import Plan
from core.reconstruction.solvers.protocol import FirstOrder
from core.reconstruction.solvers.search_space import SearchSpace

LEAST_RESTARTS = 2  # that halving leaves: their agreement is part of the confidence


class Search:
    """Everything that changes during a search, and that a checkpoint must hold."""

    def __init__(self, space: SearchSpace, start: Start, method: FirstOrder, *, signed_lam: bool) -> None:
        self.space, self.method = space, method
        self.coordinates = start.coordinates
        self.candidate = Candidate(space.images(start.coordinates), start.labels, start.lam)
        self.state_x, self.state_lam = method.init(start.coordinates), method.init(start.lam)
        self.best = BestIterates.at(self.candidate, signed_lam=signed_lam)
        self.active = torch.arange(len(start.lam))  # restarts in the batch; `best` holds all
        self.step, self.seconds, self.halvings = 0, 0.0, 0
        self.looked = -1  # the last step with a row of metrics

    def advance(self, gradient: Gradient, plan: Plan) -> None:
        """One step of the update rule, for images and multipliers alike."""
        rate = plan.rate(self.step)
        self.coordinates = self.method.step(self.coordinates, self.space.pull_back(gradient.x), self.state_x,
                                            learning_rate=plan.lr_x * rate)
        lam = self.candidate.lam
        if not plan.fixed_lam and plan.lambda_space == "linear":
            grad_lam = torch.where(lam == 0, 0.0, gradient.log_lam / lam)  # d/dlam; an exact 0 waits for its momentum
            lam = self.method.step(lam, grad_lam, self.state_lam, learning_rate=plan.lr_lam * rate)
        elif not plan.fixed_lam:
            lam = self.method.step(lam.log(), gradient.log_lam, self.state_lam, learning_rate=plan.lr_lam * rate).exp()
        self.candidate = replace(self.candidate, x=self.space.images(self.coordinates), lam=lam)
        self.step += 1

    def keep_best(self, residual: Tensor) -> None:
        """By the exact residual [A] of the batch."""
        self.best.keep(self.candidate, self.active, residual)

    def halve(self, residual: Tensor) -> None:
        """Successive halving: leave the worse half of the batch, by its exact residual [A], at the best it reached."""
        self.keep_best(residual)
        self.halvings += 1
        kept = max(-(-len(residual) // 2), min(LEAST_RESTARTS, len(residual)))
        usable = torch.where(self.best.alive[self.active], residual, math.inf)
        chosen = usable.argsort()[:kept].sort().values
        self.active = self.active[chosen]
        place = chosen.to(self.coordinates.device)
        self.coordinates = self.coordinates[place]
        labels, lam = self.candidate.labels[place], self.candidate.lam[place]
        self.candidate = Candidate(self.space.images(self.coordinates), labels, lam)
        for state in (self.state_x, self.state_lam):
            state |= {name: tensor[place] for name, tensor in state.items() if tensor.ndim}  # not Adam's count

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint, with `meta`."""
        states = {f"{kind}.{name}": tensor for kind, state in (("x", self.state_x), ("lam", self.state_lam))
                  for name, tensor in state.items()}
        return {"coordinates": self.coordinates, "candidate.lam": self.candidate.lam, "active": self.active,
                **self.best.tensors(), **states}

    def meta(self) -> dict[str, int | float]:
        return {"step": self.step, "seconds": self.seconds, "looked": self.looked, "halvings": self.halvings}

    def restore(self, tensors: dict[str, Tensor], meta: dict) -> None:
        """From a checkpoint."""
        def like(name: str, present: Tensor) -> Tensor:
            return tensors[name].to(present)

        self.best.restore(tensors)
        self.coordinates = like("coordinates", self.coordinates)
        self.active = like("active", self.active)
        self.candidate = Candidate(self.space.images(self.coordinates),
                                   self.candidate.labels[self.active.to(self.candidate.labels.device)],
                                   like("candidate.lam", self.candidate.lam))
        self.state_x = {name: like(f"x.{name}", tensor) for name, tensor in self.state_x.items()}
        self.state_lam = {name: like(f"lam.{name}", tensor) for name, tensor in self.state_lam.items()}
        self.step, self.seconds = meta["step"], meta["seconds"]
        self.looked, self.halvings = meta["looked"], meta["halvings"]
