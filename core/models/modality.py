"""What private data is: pictures of any size, points of the plane, …; its words, range and measures in one object.

What searches, scores, draws and counts asks the modality instead of the shape of a tensor. Another kind of data is one
more `Modality` here, one table of likeness in `core.assessment.likeness`, and one score with its measures in
`core.runs.reports.score`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.config.thresholds import NEAR, RECOVERED

if TYPE_CHECKING:  # pages read scores without torch
    from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Measure:
    """One number that compares a found sample with its target."""

    name: str        # in reports
    title: str       # for people
    missing: float   # what a target counts that has no reconstruction
    digits: int = 2  # shown behind the point


@dataclass(frozen=True)
class Modality:
    """The first measure is the headline: by it samples are matched, and found where they pass `found`."""

    name: str
    noun: str
    measures: tuple[Measure, ...]
    higher: bool          # a larger headline is better
    found: float
    low: float            # range of each number of a sample
    high: float
    planar: bool = False  # drawn as marks in the plane, over what the network says there

    @property
    def headline(self) -> Measure:
        return self.measures[0]

    def is_found(self, value: float | None) -> bool:
        """Whether a target with this headline counts as found; None is a target that was not compared."""
        return value is not None and (value > self.found if self.higher else value < self.found)

    def clip(self, x: "Tensor") -> "Tensor":
        """Samples of any leading shape, within their range."""
        return x.clamp(self.low, self.high)


IMAGES = Modality("images", "picture", (Measure("ssim", "SSIM", 0.0), Measure("psnr", "PSNR", 0.0, 1),
                                        Measure("ncc", "NCC", 0.0)), True, RECOVERED, 0.0, 1.0)
# A target without a point counts as far as the unit square is wide.
POINTS = Modality("points", "point", (Measure("distance", "distance", math.sqrt(2), 3),), False, NEAR, 0.0, 1.0,
                  planar=True)
POINT_SHAPE = (1, 1, 2)  # of a point as a network's input: x, then y


def of_shape(shape: Sequence[int]) -> Modality:
    """By the shape of one sample, [C, H, W]."""
    return POINTS if tuple(shape) == POINT_SHAPE else IMAGES


def unknowns(shape: Sequence[int]) -> int:
    """Numbers of one sample that an attack has to find."""
    return math.prod(shape)
