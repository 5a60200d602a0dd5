"""The report of an attack: what it found, how far it trusts that, and the score that it was given afterwards."""

from typing import Annotated

from pydantic import Field

from core.config.knob_change import Change
from core.runs.reports.score import ImageScore, PointScore
from core.runs.reports.stored import LayerSpectrum, Number, Report, Stored


class Separation(Stored):
    """What the algebraic attack read off the update before any image."""

    misfit: list[Number] = []                                      # by sample
    certain: dict[str, list[Number]] = {}  # by layer, share of each sample's gates


class InputTrial(Stored):
    """How one candidate for the mean and deviation of the inputs explains the update."""

    violated_signs: Number = None   # sum, in the units of a pixel
    misfit: Number = None           # relative, of the linear measurements
    pixels_inside: int = 0          # strictly inside [0, 1]
    patches_proven: int | None = None   # of a vision transformer
    fits: bool = False


class Inputs(Stored):
    """What was done to the pixels of files made elsewhere before the network saw them, and how that is known."""

    chosen: str = ""
    why: str = ""
    tried: dict[str, InputTrial] = {}


class AttackReport(Report):
    """Lists run over the reconstructions [N], in the order of ``reconstruction.safetensors``."""

    method: str = ""            # that was used: ntk, kkt, algebraic
    method_reason: str = ""
    status: str = ""            # how it ended, a name of `core.reconstruction.solvers.protocol.Status` in small letters
    status_message: str = ""
    threat: str = ""
    samples: int = 0            # N
    samples_found_by: str = ""
    labels: list[int] = []
    labels_found_by: str = ""
    coefficients: list[Number] = []  # signed: what multiplies each sample's feature
    residuals: dict[str, Number] = {}
    confidence: list[Number] = []    # in [0, 1]
    confidence_is: str = ""          # the event that it is the probability of
    sample_facts: list[dict[str, Number]] = []  # what it rests on, by `core.reconstruction.calibration.FACTS`
    # A point's distance tells the two apart.
    score: Annotated[PointScore | ImageScore | None, Field(union_mode="left_to_right")] = None
    inputs: Inputs | None = None     # of files made elsewhere
    changes: list[Change] = []       # of knobs, in the middle of it
    seconds: Number = None

    # Facts that some methods know; None or empty of the others.
    spectrum: dict[str, LayerSpectrum] = {}  # by layer
    iterations: int | None = None
    restarts: int | None = None
    best_restart: int | None = None
    restarts_near_best: int | None = None
    candidates: int | None = None   # images that were searched for
    copies: int | None = None       # of these, left out as copies of another
    equations: int | None = None    # measurements of one sample
    unknowns: int | None = None     # pixels
    signs: int | None = None        # inequalities of one sample
    separation: Separation | None = None
    exact: list[bool] = []    # the equations alone determine the image
    slack: list[Number] = []
    free: list[int] = []      # pixels strictly inside [0, 1]
    noise: list[Number] = []
    drifted: bool | None = None     # many steps: the features moved
    closed_form: bool | None = None
    timings: dict[str, Number] = {}  # seconds
    polish: dict[str, float | str | None] | None = None

    @property
    def residual(self) -> Number:
        """The headline: what of the release is left unexplained."""
        return self.residuals.get("residual")
