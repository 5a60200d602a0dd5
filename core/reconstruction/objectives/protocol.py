"""What every objective gives its solver."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from core.reconstruction.candidate import Candidate


@dataclass(frozen=True)
class Evaluation:
    """One value a restart and the gradients of their sum: restarts do not see each other."""

    value: Tensor                # [R]
    terms: dict[str, Tensor]     # named parts of the value, each [R]
    grad_x: Tensor               # [R, N, C, H, W]
    grad_log_lam: Tensor         # [R, N], with respect to log(lam)


class Objective(Protocol):
    """How badly a candidate explains an observation: 0 is perfect, 1 is what an empty candidate scores."""

    recordable: bool  # `evaluate` is the same kernels whatever the values, and never waits for the device

    @property
    def input_mean(self) -> Tensor:
        """What the network subtracts from an image, [C, H, W], where the objective computes."""

    def evaluate(self, candidate: Candidate, *, relu_alpha: float | Tensor) -> Evaluation:
        """Value and gradients with the ModifiedReLU surrogate of sharpness `relu_alpha`; as a tensor [] where a step is
        recorded."""

    def residuals(self, candidate: Candidate) -> dict[str, Tensor]:
        """Exact ReLU, no surrogate: ``residual`` (the mean over layers) and each named part, [R] float64, CPU.

        Comparable over a whole run, whatever the surrogate; restarts are chosen by it.
        """

    def gates(self, candidate: Candidate) -> list[Tensor]:
        """Which neurons are on, for each hidden layer [R, N, n_out] bool."""

    def best_common_lam(self, candidate: Candidate) -> Tensor:
        """The lam > 0, the same for all samples of a restart, that explains most: [R]. A start for the search."""

    def allowed_inputs(self) -> tuple[Tensor, Tensor] | None:
        """Orthonormal bases [D, K] of the centred inputs that the observation sees, and of those that it leaves open;
        float64 on the CPU. None where it says nothing of them."""


class WeightsObjective(Objective, Protocol):
    """An objective on trained weights."""

    homogeneous: bool  # where it is not, the weights are no sum of features, however long they were trained

    def importance(self, candidate: Candidate) -> Tensor:
        """How much each candidate contributes, [R, N]: more of them are searched for than are given back."""
