"""How an attack's images compare with the truth, which the attack never saw: the ``score`` of its report.

Lists run over the targets, in the order of the truth, all of them: a target without a reconstruction counts as 0.
"""

from itertools import zip_longest
from typing import ClassVar

from core.io.wording import fixed
from core.models.modality import IMAGES, POINTS, Modality
from core.runs.reports.stored import Number, Stored


class Nearest(Stored):
    """The training image that is most like one reconstruction."""

    set: str = ""       # "private samples", "base's training set"
    index: int = 0      # its place there
    ssim: Number = None


class Controls(Stored):
    """What a score has to beat (`core.assessment.controls`): means of the modality's headline over all targets."""

    mean_image: Number = None                # None where there is none
    mean_image_recovered: int | None = None
    wrong_release: Number = None             # None where no other sets could be drawn
    wrong_release_spread: Number = None
    wrong_release_best: Number = None
    wrong_release_recovered: Number = None
    draws: int = 0


class PublishedScore(Stored):
    """The score of Haim et al. 2022 (`core.assessment.published`)."""

    ssim: list[Number] = []
    nearest: list[int] = []      # index of each target's reconstruction
    mean_ssim: Number = None
    recovered: int = 0                 # targets with an SSIM above `core.config.thresholds.RECOVERED`
    targets: int = 0
    used: int = 0                      # reconstructions that are the nearest of any target
    controls: Controls | None = None
    chance_mean_ssim: Number = None    # of reports from before there were controls
    chance_recovered: Number = None


class Score(Stored):
    """One assignment over all targets. What `ImageScore` and `PointScore` have in common; the measures of their
    `modality` are fields of theirs, one list a measure and its mean."""

    modality: ClassVar[Modality] = IMAGES

    targets: int = 0
    recovered: int | None = None                # None in reports from before targets were counted
    assignment: list[int | None] = []     # for each target the index of its reconstruction
    labels: list[int] = []
    coefficients: list[Number] = []       # the true ones, of a fine-tuning
    problem: str = ""
    of: str = ""                                # "training digits" of a base; empty: private samples
    gate_mismatch: dict[str, list[Number]] = {}     # by layer, share of wrong gates
    pattern_mismatch: dict[str, list[Number]] = {}  # of those read off the update
    nearest: list[Nearest] = []           # by reconstruction
    controls: Controls | None = None
    finding: bool | None = None           # above both controls
    chance_recovered: Number = None       # of reports from before there were controls, as the other chance_…
    selected_by: str = "the residual"

    def values(self) -> list[Number]:
        """The headline measure of each target."""
        return getattr(self, self.modality.headline.name)

    def words(self) -> list[str]:
        """The same for people: ``SSIM 0.81``."""
        return [f"{self.modality.headline.title} {fixed(value)}" for value in self.values()]

    def by_target(self) -> list[dict[str, Number]]:
        """One row a target, with all measures."""
        names = [measure.name for measure in self.modality.measures]
        return [dict(zip(names, row, strict=True)) for row in zip_longest(*(getattr(self, name) for name in names))]

    @property
    def mean(self) -> Number:
        """The headline measure over all targets."""
        return getattr(self, f"mean_{self.modality.headline.name}", None)

    @property
    def card(self) -> dict[str, Number]:
        """The one number that cards show, and whether it is a finding."""
        finding = {} if self.finding is None else {"finding": self.finding}
        return {f"mean_{self.modality.headline.name}": self.mean, **finding}


class ImageScore(Score):
    """Of pictures."""

    ssim: list[Number] = []
    psnr: list[Number] = []  # dB
    ncc: list[Number] = []
    mean_ssim: Number = None
    mean_psnr: Number = None
    mean_ncc: Number = None
    recovered_above: Number = None
    chance_mean_ssim: Number = None
    candidates: int | None = None  # that were searched for
    as_published: PublishedScore | None = None


class PointScore(Score):
    """Of points of the plane: distances in the unit square."""

    modality: ClassVar[Modality] = POINTS

    distance: list[Number]
    mean_distance: Number = None
    recovered_below: Number = None
    chance_mean_distance: Number = None
