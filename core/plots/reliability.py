"""How far confidence can be trusted, as a reliability diagram: what was claimed over what came true.

Of the half of the pool to which nothing was fitted (`benchmarks.confidence`). On the diagonal a confidence of 0.7 is
right in 70 of 100 images; above it confidence is too modest, below it too bold.
"""

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from core.io.wording import fixed
from core.plots.figures import style
from core.plots.palette import ACCENT, QUIET, STRONG
from core.reconstruction.calibration import EVENT, Calibration

HEIGHT = 340
SIGMAS = 1.96             # bars hold the share with 95 %
SMALLEST, LARGEST = 8, 26 # pixels of a marker, its area by the images in it


@dataclass(frozen=True)
class Reliability:
    """Columns by bin of confidence, lists of one length."""

    claimed: list[float]   # mean confidence
    true: list[float]      # share of the images that are recognisable
    low: list[float]       # of that share, Wilson's interval
    high: list[float]
    images: list[int]
    guess: float           # what the mean guess claims of every image
    title: str
    help: str
    words: str             # the same in one sentence, for a screen reader and for people


def reliability(calibration: Calibration) -> Reliability | None:
    """None where nothing was measured."""
    measured = calibration.measured
    if measured is None:
        return None
    ends = [_wilson(each.share, each.images) for each in measured.bins]
    words = (f"{measured.images:,} images of {measured.cases} attacks. Brier score {fixed(measured.brier, 3)} (0 is "
             f"perfect); always guessing the mean scores {fixed(measured.mean_guess, 3)}, fit times agreement, the "
             f"confidence of earlier versions, {fixed(measured.before, 3)}. No result whose own status calls it a "
             f"guess claims more than {fixed(measured.highest_guess)}.")
    return Reliability(
        [each.confidence for each in measured.bins], [each.share for each in measured.bins],
        [low for low, _ in ends], [high for _, high in ends], [each.images for each in measured.bins],
        measured.guess, "How far confidence can be trusted",
        f"A confidence is the probability that {EVENT}. Each point holds the images of one range of confidence: where "
        "it stands is what was claimed, how high what came true; bars are 95 % intervals, size is the number of "
        "images. Measured on attacks that the map was not fitted to, of other bases and other samples: foreign bases, "
        "wrong means, inverted pictures, merged files, drift and AdamW among them.", words)


def reliability_figure(shown: Reliability, *, revision: str) -> go.Figure:
    """Points with their intervals beside the diagonal and the mean guess."""
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="as claimed", hoverinfo="skip",
                       line={"color": QUIET, "width": 1.5, "dash": "dot"})
    figure.add_scatter(x=[0, 1], y=[shown.guess, shown.guess], mode="lines", name="mean guess",
                       line={"color": ACCENT, "width": 1.5, "dash": "dash"}, hovertemplate="%{y:.2f}")
    most = max(shown.images, default=1)
    sizes = [SMALLEST + (LARGEST - SMALLEST) * math.sqrt(count / most) for count in shown.images]
    figure.add_scatter(
        x=shown.claimed, y=shown.true, mode="lines+markers", name="attacks", customdata=shown.images,
        line={"color": STRONG, "width": 2}, marker={"size": sizes, "color": STRONG, "opacity": 0.85},
        error_y={"type": "data", "symmetric": False, "color": STRONG, "thickness": 1.3, "width": 4,
                 "array": [high - true for high, true in zip(shown.high, shown.true, strict=True)],
                 "arrayminus": [true - low for low, true in zip(shown.low, shown.true, strict=True)]},
        hovertemplate="claimed %{x:.2f}, true of %{y:.2f}<br>%{customdata} images<extra></extra>")
    style(figure, revision=revision, height=HEIGHT, legend=True)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(title_text="confidence", range=[-0.02, 1.02])
    figure.update_yaxes(title_text="share recognisable", range=[-0.03, 1.05])
    return figure


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share among `count`."""
    square = SIGMAS ** 2
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = SIGMAS / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count ** 2))
    return max(0.0, centre - half), min(1.0, centre + half)
