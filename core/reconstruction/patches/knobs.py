"""The knobs of the patch attack."""

from core.config.knob import knob
from core.reconstruction.knobs import PriorKnobs


class PatchKnobs(PriorKnobs):
    """Knobs of the patch attack on adapters of transformers."""

    starts: int = knob(60, help="Linear programmes in random directions for each patch, where its equations leave "
                       "pixels open: more find more patches that can be proven.", scale="log", ge=1, le=10_000)
