"""What a LoRA adapter holds of one layer."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Factors:
    """One layer's LoRA factors: the update is scaling * B @ A; kept factored, never multiplied out."""

    A: Tensor        # [r, n_in]
    B: Tensor        # [n_out, r]
    scaling: float   # alpha / r (or alpha / sqrt(r) for rsLoRA)
    noise: float = 0.0   # spectral norm that rounding may have in B beyond that of its own entries
