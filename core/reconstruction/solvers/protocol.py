"""What every solver gives back, and what a first-order method implements."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from torch import Tensor

from core.models.modality import of_shape
from core.reconstruction.candidate import Candidate


class Status(Enum):
    """How an attack ended; the value is the sentence for people."""

    CONVERGED = "The residual fell below the tolerance."
    ITERATIONS = "All iterations were used."
    TIME_LIMIT = "The time limit was reached before all iterations were used."
    STOPPED = "Stopped on request; the best images so far are kept and Resume continues."
    NOT_HOMOGENEOUS = ("The network is not homogeneous (biases beyond its first layer, dropout or a norm): its weights "
                       "are no sum of features, however long it was trained, so the KKT images are a guess.")
    NOT_STATIONARY = ("More than half of the first layer is left unexplained: the network is not trained to "
                      "stationarity, or the search was too short or had too few candidates. The images are a guess.")
    SOLVED = "Every sample's equations and signs were solved."
    PARTLY = ("Some patches are proven by their equations; the others are what is preferred among those that fit, or "
              "were not found.")
    NO_EQUATIONS = "The adapter leaves no equation that its private images would have to meet; there are none to show."
    NOT_SEPARABLE = "The update does not come apart into single samples, so there are no images to show."
    CONTRADICTORY = ("No image in [0, 1] meets the equations and signs of some samples; what is shown violates them "
                     "least.")
    DIVERGED = "Every restart became non-finite; lower the learning rates. The last finite images are kept."


@dataclass(frozen=True)
class Reconstruction:
    """The best iterate of every restart, and which restart won on the attack's own residual."""

    candidate: Candidate           # R restarts
    residuals: dict[str, Tensor]   # exact ReLU, [R] each: ``residual`` and its parts
    best: int                      # index of the restart with the smallest residual
    status: Status
    iterations: int
    seconds: float
    diverged: list[int] = field(default_factory=list)  # restarts that became non-finite at some step

    @property
    def x(self) -> Tensor:
        """Samples of the best restart [N, *shape], within the range of their modality."""
        x = self.candidate.x[self.best]
        return of_shape(x.shape[1:]).clip(x)


class FirstOrder(Protocol):
    """One update rule, used alike for images and for log-coefficients."""

    def init(self, like: Tensor) -> dict[str, Tensor]:
        """The method's state for a variable."""

    def step(self, variable: Tensor, gradient: Tensor, state: dict[str, Tensor], *, learning_rate: float) -> Tensor:
        """The next value of the variable; updates `state` in place."""
