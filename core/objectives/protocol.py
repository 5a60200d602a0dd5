"""What every objective gives its solver."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from core.candidate import Candidate


@dataclass(frozen=True)
class Evaluation:
    """One value a restart and the gradients of their sum: restarts do not see each other."""

    value: Tensor                # [R]
    terms: dict[str, Tensor]     # named parts of the value, each [R]
    grad_x: Tensor               # [R, N, C, H, W]
    grad_log_lam: Tensor         # [R, N], with respect to log(lam)


class Objective(Protocol):
    """How badly a candidate explains an observation: 0 is perfect, 1 is what an empty candidate scores."""

    def evaluate(self, candidate: Candidate, *, relu_alpha: float) -> Evaluation:
        """Value and gradients with the ModifiedReLU surrogate of sharpness `relu_alpha`."""

    def residuals(self, candidate: Candidate) -> dict[str, Tensor]:
        """Exact ReLU, no surrogate: ``residual`` (the mean over layers) and each named part, [R] float64, CPU.

        Comparable over a whole run, whatever the surrogate; restarts are chosen by it.
        """

    def gates(self, candidate: Candidate) -> list[Tensor]:
        """Which neurons are on, for each hidden layer [R, N, n_out] bool."""
