"""What a LoRA adapter holds of one layer."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Factors:
    """One layer's LoRA factors: the update is scaling * B @ A; kept factored, never multiplied out.

    Training began with B = 0 and A drawn, as in peft, or the other way round.
    """

    A: Tensor        # [r, n_in]
    B: Tensor        # [n_out, r]
    scaling: float   # alpha / r (or alpha / sqrt(r) for rsLoRA)
    noise: float = 0.0   # spectral norm that rounding may have in B beyond that of its own entries
    a_began_at_zero: bool = False   # then B is what was drawn, and A holds the update
