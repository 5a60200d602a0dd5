"""The knobs of the algebraic attack and of its first-order polish."""

from core.config.knob import knob
from core.reconstruction.knobs import PriorKnobs, WhiteningKnobs


class AlgebraicKnobs(PriorKnobs, WhiteningKnobs):
    """Knobs of the algebraic attack and of its first-order polish."""

    scale_reward: float | None = knob(
        None, help="Reward for a sample's brightness scale, as a share of what the prior charges for it; 0 "
        "shrinks images, above 1 they saturate. Empty: 0.6 at rank 1, towards 1 with more equations.", ge=0.0, le=3.0,
        group="expert")
    polish: int | None = knob(
        None, help="Steps of a first-order polish from its images, with features at the base or at both "
        "ends. Empty: 300 after a fine-tuning of many steps where the first layer's rank fixes every pixel, else none; "
        "0 never polishes.", unit="steps", ge=0, le=100_000, group="expert", source="Loo et al. 2024")
