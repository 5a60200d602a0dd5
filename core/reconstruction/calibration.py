"""The map from facts to confidence as it is stored, and how far it could be trusted when it was measured.

Loads no torch: pages show it. `core.reconstruction.confidence` applies it, `benchmarks.confidence` makes it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.config.thresholds import RECOVERED

CALIBRATION = Path(__file__).parents[2] / "assets" / "confidence.json"  # python -m benchmarks.confidence --fit
# What a confidence is the probability of.
EVENT = f"the image is recognisable: SSIM above {RECOVERED} against the private sample that it is matched to"


@dataclass(frozen=True)
class Fact:
    """One line on what is measured; where it counts as met and where as wholly unmet, on a log scale unless `met` is
    0 or `linear`."""

    says: str
    met: float
    unmet: float
    linear: bool = False

    def degree(self, value: float) -> float:
        """How far it is unmet, in [0, 1]."""
        if not math.isfinite(value):
            return 1.0
        if self.linear or self.met == 0:
            share = (value - self.met) / (self.unmet - self.met)
        else:
            share = math.log(max(value, 1e-300) / self.met) / math.log(self.unmet / self.met)
        return min(1.0, max(0.0, share))


FACTS = {
    "residual": Fact("share of a sample's equations that its image leaves unexplained", 1e-5, 1.0),
    "unexplained": Fact("share of what was released that a search leaves unexplained", 0.0, 1.0),
    "noise": Fact("noise of the sample's own measurements, relative", 1e-6, 0.1),
    "tail": Fact("share of the update beyond N directions", 1e-6, 0.3),
    "misfit": Fact("share of the neurons that read neither on nor off", 0.0, 0.2),
    "uncertain": Fact("share of the neurons without a vote", 0.0, 0.5),
    "slack": Fact("violated signs, in units of a normalised row, by pixel", 1e-7, 0.05),
    "contradiction": Fact("1 where no image in [0, 1] meets the sample's equations and signs", 0.0, 1.0),
    "drift": Fact("1 where A moved visibly while fine-tuning", 0.0, 1.0),
    "recount": Fact("1 where the spectrum's N did not come apart, and another N was taken", 0.0, 1.0),
    "open": Fact("free pixels by linear measurement", 1.0, 100.0),
    "signs": Fact("free pixels by sign", 0.2, 10.0),
    "prior": Fact("1 less the correlation with the image under the prior alone", 0.3, 0.8, linear=True),
    "unsaid": Fact("1 where no input mean is known, or only a flat one", 0.0, 1.0),
    "weak": Fact("largest coefficient by the sample's own", 1.0, 1e4),
    "mean": Fact("correlation with the input mean", 0.7, 1.0, linear=True),
    "unlike": Fact("1 less the correlation with the input mean", 0.6, 1.0, linear=True),
    "rough": Fact("total variation by pixel, over the mean deviation of a pixel", 1.1, 1.8, linear=True),
    "outside": Fact("mean distance of the pixels from [0, 1] before clipping", 0.0, 0.2),
    "disagreement": Fact("1 less the agreement of restarts that explain as much", 0.0, 1.0),
    "alone": Fact("1 where no other restart came as far", 0.0, 1.0),
    "unmoved": Fact("share of the other layers left unexplained, the worst", 0.3, 1.0, linear=True),
    "floor": Fact("the floor of a multiplier by the sample's own", 0.1, 1.0),
    "inhomogeneous": Fact("1 where the network is not homogeneous: its weights are no sum of features", 0.0, 1.0),
    "unproven": Fact("share of the patches that their equations do not prove, flat ones left out", 0.0, 1.0,
                     linear=True),
    "unlike_step": Fact("1 less the cosine of the simulated step with the released one, where patches are not proven",
                        0.0, 1.0, linear=True),
    "guessed": Fact("1 where patches were put together to images by a guess", 0.0, 1.0),
    "copy": Fact("highest correlation with another candidate of its label", 0.5, 1.0, linear=True),
}

@dataclass(frozen=True)
class Bin:
    """Images of the test half whose confidence lies between `low` and `high`."""

    low: float
    high: float
    confidence: float  # mean
    share: float       # of them that are recognisable
    images: int


@dataclass(frozen=True)
class Measured:
    """On the half of the pool that nothing was fitted to. Brier score: mean squared difference of confidence and
    outcome, 0 at best. `mean_guess` is that of somebody who always says the share of the other half, `before` that of
    the product of fit and agreement that stood here earlier."""

    cases: int
    images: int
    recognisable: float  # share of the images
    guess: float         # the same of the other half, which is what the mean guess says
    brier: float
    mean_guess: float
    before: float
    highest_guess: float  # highest confidence of a result whose own status calls it a guess
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Calibration:
    """``p = sigmoid(start - sum of weight * degree)`` by method, and what was measured of it."""

    start: Mapping[str, float]
    weights: Mapping[str, Mapping[str, float]]
    measured: Measured | None


def calibration(path: Path = CALIBRATION) -> Calibration:
    """Read anew only where the file has changed."""
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _read(path: Path, stamp: int) -> Calibration:
    stored = json.loads(path.read_text())
    methods, measured = stored["methods"], stored.get("measured")
    return Calibration({name: float(values["start"]) for name, values in methods.items()},
                       {name: values["weights"] for name, values in methods.items()},
                       measured and Measured(**{**measured, "bins": tuple(Bin(**each) for each in measured["bins"])}))
