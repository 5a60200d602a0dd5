"""Plot data of an experiment, from the rows of its table. `core.plots.experiment_figures` draws it.

Two kinds of chart: the score over the axis of the preset, a curve for each setting (mean and range over the
seeds); and clouds that hold the score against what may explain it, one point an attack.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from core.runs.reports.studies import ExperimentRow

SCORE = "mean SSIM, all targets"
AXIS_TITLES = {"rank": "LoRA rank r", "steps": "fine-tuning steps T"}
# Column: (title, axis, where the NTK picture ends, help). The feature cosine is shown as its distance from 1, which a
# log axis spreads.
REASONS: dict[str, tuple[str, str, float | None, str]] = {
    "flips": ("Neuron flips", "neuron flips (share)", None,
              "Share of (sample, neuron) pairs whose ReLU switched during the fine-tuning."),
    "feature_cosine": ("Feature change", "1 − feature cosine", 0.01, "How far the samples' gradient features turned. "
                       "The NTK picture holds left of the dotted line, below 0.01."),
    "coefficient_drift": ("Coefficient drift", "coefficient drift (relative)", None,
                          "Change of the samples' loss coefficients from the first step to the last."),
    "weight_change": ("Weight change", "weight change ‖Δθ‖ / ‖θ₀‖", 0.01, "Size of the update against the base. The "
                      "NTK picture holds left of the dotted line, below 0.01."),
}


@dataclass(frozen=True)
class Dot:
    """One attack: its place, what it is in words, and its run."""

    x: float
    y: float
    name: str
    attack: str


@dataclass(frozen=True)
class Curve:
    """Mean and range over the seeds at each x. `colour`, `dashed` and `hollow` tell settings apart."""

    name: str
    x: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    dots: list[Dot]
    colour: int = 0
    dashed: bool = False   # coefficients known: a ceiling, no attack claim
    hollow: bool = False   # features at both ends
    level: bool = False    # a reference over the whole width, such as full fine-tuning in a plot over the ranks


@dataclass(frozen=True)
class Control:
    """What the scores at each x have to beat, mean over the attacks there (`core.assessment.controls`)."""

    name: str
    x: list[float]
    y: list[float]


@dataclass(frozen=True)
class Scores:
    """The score over ranks or steps; both axes of x are logarithmic, with a tick at each value."""

    key: str
    title: str
    x_title: str
    y_title: str
    curves: list[Curve]
    help: str = ""
    controls: tuple[Control, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.curves


@dataclass(frozen=True)
class Cloud:
    """The score against one explanation. `shade` (T, or rank where T is one) colours the points."""

    key: str
    title: str
    x_title: str
    y_title: str
    shade_title: str
    dots: list[Dot]
    shades: list[float | None]  # None is full fine-tuning in a plot shaded by rank
    full: list[bool]
    log_x: bool
    limit: float | None = None  # where the NTK picture ends
    help: str = ""


def scored(rows: Sequence[ExperimentRow]) -> list[ExperimentRow]:
    """The points that have a score."""
    return [row for row in rows if row.mean_ssim is not None]


def score_chart(rows: Sequence[ExperimentRow], x: str) -> Scores:
    """Score over `x` (*rank* or *steps*), one curve for each setting of everything else but the seed."""
    rows = scored(rows)
    keys = [key for key in ("rank", "steps", "samples", "coefficients", "features") if key != x]
    groups: dict[tuple[Any, ...], list[ExperimentRow]] = {}
    for row in sorted(rows, key=lambda row: _order(row, keys)):
        level = x == "rank" and row.rank is None
        groups.setdefault((level, *(getattr(row, key) for key in keys)), []).append(row)
    hue = "rank" if x == "steps" else "steps"  # the setting that the colour stands for
    hues = sorted({getattr(row, hue) for row in rows}, key=lambda value: (value is not None, value or 0))
    varying = [key for key in keys if len({getattr(row, key) for row in rows}) > 1]
    curves = [_curve(group, x, level=key[0], name=setting_name(group[0], varying, level=key[0]),
                     colour=hues.index(getattr(group[0], hue))) for key, group in groups.items()]
    return Scores("score", "What comes back", AXIS_TITLES[x], SCORE, curves,
                  "Structural similarity to the private samples, averaged over all of them after one-to-one matching: "
                  "1 is identical. Lines are means over the seeds, bars their range, small points single attacks: "
                  "click one to open it. Dashed: the coefficients were given, a ceiling and no attack claim. Grey: "
                  "what a score has to beat, the mean image and a wrong release; what is not above both is no "
                  "finding.",
                  _controls(rows, x))


def _controls(rows: Sequence[ExperimentRow], x: str) -> tuple[Control, ...]:
    """Two quiet lines; none of rows from before there were controls."""
    found = []
    for name, column in (("mean image", "mean_image_ssim"), ("wrong release", "wrong_release_ssim")):
        present = [(getattr(row, x), value) for row in rows if (value := getattr(row, column)) is not None
                   and getattr(row, x) is not None]
        places = sorted({place for place, _ in present})
        found.append(Control(name, places, [fmean(value for at, value in present if at == place) for place in places]))
    return tuple(control for control in found if control.x)


def setting_name(row: ExperimentRow, varying: Sequence[str], *, level: bool = False) -> str:
    """A curve in the legend: what it is, where more than one such thing is drawn."""
    parts = ["full fine-tuning"] if level or ("rank" in varying and row.rank is None) else []
    if "rank" in varying and row.rank is not None:
        parts.append(f"rank {row.rank}")
    parts += [f"T = {row.steps:,}"] if "steps" in varying else []
    parts += [f"N = {row.samples}"] if "samples" in varying else []
    parts += ["known coefficients"] if row.coefficients == "known" else []
    parts += ["both ends"] if row.features == "both" else []
    return ", ".join(parts) or ("LoRA" if row.adaptation == "lora" else "full fine-tuning")


def _curve(group: Sequence[ExperimentRow], x: str, *, level: bool, name: str, colour: int) -> Curve:
    places = sorted({0 if level else getattr(row, x) for row in group})
    at = {place: [row.mean_ssim for row in group if level or getattr(row, x) == place] for place in places}
    dots = [] if level else [_dot(row, getattr(row, x)) for row in group]
    return Curve(name, list(places), [fmean(at[place]) for place in places], [min(at[place]) for place in places],
                 [max(at[place]) for place in places], dots, colour, dashed=group[0].coefficients == "known",
                 hollow=group[0].features == "both", level=level)


def reason_charts(rows: Sequence[ExperimentRow]) -> list[Cloud]:
    """The score against flips, feature change, coefficient drift and weight change."""
    rows = scored(rows)
    by_steps = len({row.steps for row in rows}) > 1 or not any(row.rank for row in rows)
    shade, shade_title = ("steps", "T") if by_steps else ("rank", "rank")
    clouds = []
    for key, (title, x_title, limit, help) in REASONS.items():
        present = [row for row in rows if getattr(row, key) is not None]
        values = [getattr(row, key) for row in present]
        values = [max(0.0, 1 - value) for value in values] if key == "feature_cosine" else values
        positive = [value for value in values if value > 0]
        log_x = bool(positive) and max(positive) > 10 * min(positive)
        # A log axis has no zero: nothing flipped is drawn at its left end.
        least = min(positive, default=0.0) / 3
        dots = [_dot(row, max(value, least) if log_x else value) for row, value in zip(present, values, strict=True)]
        note = " Zeros stand at the left edge." if log_x and len(positive) < len(values) else ""
        clouds.append(Cloud(key, title, x_title, SCORE, shade_title, dots, [getattr(row, shade) for row in present],
                            [row.adaptation == "full" for row in present], log_x, limit, help + note))
    return clouds


def point_name(row: ExperimentRow) -> str:
    """``full, T = 10, N = 2, seed 0, known coefficients``"""
    parts = ["full" if row.rank is None else f"rank {row.rank}", f"T = {row.steps:,}", f"N = {row.samples}",
             f"seed {row.seed}"]
    parts += ["known coefficients"] if row.coefficients == "known" else []
    parts += ["features at both ends"] if row.features == "both" else []
    return ", ".join(parts)


def _dot(row: ExperimentRow, x: float) -> Dot:
    return Dot(x, row.mean_ssim, point_name(row), row.attack)


def _order(row: ExperimentRow, keys: Sequence[str]) -> tuple[Any, ...]:
    """Full fine-tuning first, then rising; None is where a setting does not exist."""
    values = [getattr(row, key) for key in keys]
    return tuple((value is not None, value if value is not None else 0) for value in values)
