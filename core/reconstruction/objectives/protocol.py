"""What an objective gives its solver, and what it may offer besides.

Every objective is an `Objective`; the others are capabilities, which a solver asks for with ``isinstance`` and does
without where an objective lacks them. A new objective implements what it can, and nothing that it cannot.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

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

    @property
    def input_mean(self) -> Tensor:
        """What the network subtracts from an image, [C, H, W], where the objective computes."""

    @property
    def evaluate(self) -> Callable[..., Evaluation]:
        """A method (candidate, **annealed): value and gradients. `annealed` is what the plan changes from step to step
        (``relu_alpha``, the sharpness of a ModifiedReLU surrogate), by name; as tensors [] where a step is recorded."""

    def residuals(self, candidate: Candidate) -> dict[str, Tensor]:
        """Without surrogate: ``residual`` (the mean over layers) and each named part, [R] float64, CPU.

        Comparable over a whole run, whatever is annealed; restarts are chosen by it.
        """


@runtime_checkable
class Gated(Protocol):
    """Its network has neurons that are on or off."""

    def gates(self, candidate: Candidate) -> list[Tensor]:
        """Which neurons are on, for each hidden layer [R, N, n_out] bool."""


@runtime_checkable
class StartsLam(Protocol):
    """It says which multipliers are a good start."""

    def best_common_lam(self, candidate: Candidate) -> Tensor:
        """The lam > 0, the same for all samples of a restart, that explains most: [R]."""


@runtime_checkable
class Confining(Protocol):
    """Its observation says which inputs are possible."""

    @property
    def pixel_scale(self) -> Tensor:
        """How far a pixel moves for one unit of the network's input, [C, H, W]: what it divides by, or ones."""

    def allowed_inputs(self) -> tuple[Tensor, Tensor] | None:
        """Orthonormal bases [D, K] of the network's inputs that the observation sees, and of those that it leaves open;
        float64 on the CPU. None where it says nothing of them."""


@runtime_checkable
class Recordable(Protocol):
    """`evaluate` is the same kernels whatever the values, and never waits for the device."""

    recordable: Literal[True]


@runtime_checkable
class NeedsHomogeneity(Protocol):
    """It explains weights as a sum of features, which those of a homogeneous network alone can be."""

    homogeneous: bool


class Ranking(Objective, Protocol):
    """An objective on trained weights: more candidates are searched for than are given back."""

    def importance(self, candidate: Candidate) -> Tensor:
        """How much each candidate contributes, [R, N]."""
