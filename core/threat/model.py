"""What the adversary knows."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ThreatModel:
    """Knowledge beside the released files. A field that is None is not known.

    Architecture, base weights and input mean are always known: the base is published.
    """

    samples: int | None = None            # N
    labels: Tensor | None = None          # [N] in {0, 1}
    learning_rate: float | None = None    # of the fine-tuning
    steps: int | None = None              # T of the fine-tuning
    coefficients: Tensor | None = None    # [N], sum over steps of -lr * dL/df_i, in the order of `labels`

    @property
    def level(self) -> str:
        """``oracle``, ``informed``, ``released-only``, or ``partial`` for anything between the named levels."""
        if self.coefficients is not None:
            return "oracle"
        informed = [self.samples, self.labels, self.learning_rate, self.steps]
        if all(item is not None for item in informed):
            return "informed"
        return "released-only" if all(item is None for item in informed) else "partial"
