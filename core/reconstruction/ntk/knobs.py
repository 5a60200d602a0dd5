"""The knobs of gradient matching, and what it takes for those left empty."""

from typing import Literal

from core.config.knob import knob
from core.reconstruction.knobs import FirstOrderKnobs, PriorKnobs, WhiteningKnobs

ALPHAS = (20.0, 50_000.0)
BOX = 1.0


class NTKKnobs(PriorKnobs, WhiteningKnobs, FirstOrderKnobs):
    """Knobs of gradient matching."""

    features: Literal["base", "both"] = knob(
        "base", help="Tangent features at the base alone, exact after one step; or the mean of those at the base "
        "and at the fine-tuned weights, for many steps.", group="expert", source="Loo et al. 2024")
