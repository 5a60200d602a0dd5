"""Which charts each kind of run has, from the metric names that the engines record."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, groupby

import numpy as np

from core.config.knob_change import Change
from core.data.catalogue import label_name
from core.io.wording import number
from core.plots.curves import Curves
from core.plots.series import Bars, Mark, Panel, Series, by_item, by_layer, drawn, scalar, scalars
from core.runs.directory import MetricsRow
from core.runs.reports.training import FinetuneReport

MOST_MARKED = 2  # knobs named at one line


def pretrain_panels(rows: Curves | Sequence[MetricsRow]) -> list[Panel]:
    """Log-loss, training error, margin and stationarity over the epochs."""
    rows = Curves.of(rows)
    return [
        Panel("log_loss", "Loss", "epoch", "ln(mean loss)", scalar(rows, "log-loss", "log_loss"),
              "Natural logarithm of the mean cross-entropy. Far below zero, the network sits close to the "
              "max-margin solution that reconstruction relies on."),
        Panel("kkt_residual", "KKT residual", "epoch", "relative residual",
              scalar(rows, "KKT residual", "kkt_residual", log_y=True),
              "How far the weights are from a non-negative combination of the samples' gradients, relative to "
              "their norm: 0 is stationary, 1 is unrelated.", log_y=True),
        Panel("layer_residuals", "KKT residual of each layer", "epoch", "relative residual",
              by_layer(rows, "kkt_residual", log_y=True),
              "The same combination of gradients, each layer against its own norm. An attack on the first layer "
              "cannot come below that layer's value.", log_y=True),
        Panel("alignment", "Alignment of each layer", "epoch", "cosine", by_layer(rows, "alignment"),
              "Cosine between a layer's weights and its part of that combination: 1 at a KKT point."),
        Panel("active", "Support samples", "epoch", "samples", scalar(rows, "active", "active"),
              "Training samples with a positive multiplier: all that a KKT attack can see."),
        Panel("margin", "Normalised margin", "epoch", "margin / ‖θ‖ᴸ",
              scalars(rows, {"margin": "smallest", "median_margin": "median"}),
              "Smallest and median y·f(x) over the training samples, divided by the weights' norm to the power of the "
              "depth. Negative while a sample is still misclassified."),
        Panel("error", "Training error", "epoch", "wrong / all samples", scalar(rows, "error", "error"),
              "Share of misclassified training samples."),
    ]


def finetune_panels(rows: Curves | Sequence[MetricsRow]) -> list[Panel]:
    """The loss, then what decides whether the samples can be read back: flips, features, coefficients, weights."""
    rows = Curves.of(rows)
    return [
        Panel("loss", "Loss", "step", "mean cross-entropy", scalar(rows, "loss", "loss", log_y=True),
              "Fine-tuning loss over the private samples.", log_y=True),
        flips_panel(rows), cosine_panel(rows),
        Panel("coefficients", "Loss coefficients", "step", "|dL/df|",
              by_item(rows, "sample", "coefficients", log_y=True, magnitude=True),
              "How strongly each sample pulls on the weights at this step. A sample with a tiny coefficient leaves "
              "no trace.", log_y=True),
        Panel("coefficient_drift", "Coefficient drift", "step", "relative change",
              by_item(rows, "sample", "coefficient_drift"),
              "Change of each sample's coefficient since the start: 0 is none, 1 is wholly changed."),
        Panel("weight_change", "Weight change", "step", "‖Δθ‖ / ‖θ₀‖",
              scalar(rows, "weight change", "weight_change", log_y=True),
              "Size of the update against the base. The linear (NTK) picture holds below about 0.01.",
              log_y=True),
        Panel("kink_distance", "Distance to the kink", "step", "median |pre-activation|",
              by_layer(rows, "kink_distance", log_y=True),
              "How far the samples' pre-activations lie from the ReLU's kink. Neurons close to it flip first.",
              log_y=True),
    ]


def flips_panel(rows: Curves | Sequence[MetricsRow]) -> Panel:
    """Neuron flips of a fine-tuning."""
    return Panel("flips", "Neuron flips", "step", "flipped / all (share)", by_layer(rows, "flips"),
                 "Share of (sample, neuron) pairs whose ReLU switched since the base. Each flip is a piece of the "
                 "samples' gradients that the attacker predicts wrongly.")


def cosine_panel(rows: Curves | Sequence[MetricsRow]) -> Panel:
    """Feature stability of a fine-tuning."""
    return Panel("feature_cosine", "Feature stability", "step", "cosine to step 0",
                 by_item(rows, "sample", "feature_cosine"),
                 "Cosine between each sample's gradient features at the base and now. Above 0.99 the frozen-feature "
                 "(NTK) attack sees what training saw.", least=(0.999, 1.0))


def visibility_bars(report: FinetuneReport | None, *, pictures: list[bytes] | None = None) -> Bars | None:
    """Visibility of each private sample against the rounding floor; None before the report exists."""
    if not report or not report.visibility:
        return None
    values, floor = report.visibility, report.rounding_floor
    verdicts = report.verdicts or ["hidden" if floor and value < floor else "visible" for value in values]
    names = []
    for index, (label, verdict) in enumerate(zip(report.labels or [None] * len(values), verdicts, strict=True), 1):
        named = label_name(report.problem, label)
        parts = [str(index), named, verdict if verdict != "visible" else ""]
        names.append(" · ".join(part for part in parts if part))
    return Bars("visibility", "Visibility of each private sample", "coefficient / largest", names, values, verdicts,
                floor, "A sample's loss coefficient against the largest. Under the dashed line it drowns in the "
                "rounding of the released files: no attack can bring it back. Weak samples are more than 30 times "
                "below the largest: out of reach for gradient-based attacks.", pictures)


def attack_panels(rows: Curves | Sequence[MetricsRow], *, best: int | None = None) -> list[Panel]:
    """Loss terms, residuals, coefficients, gates and restarts of an attack; the slack, where it solves programmes."""
    rows = Curves.of(rows)
    slack = scalar(rows, "mean slack", "mean_slack", log_y=True)
    unit = "samples solved" if slack else "attack step"
    return [
        *([Panel("slack", "Slack of the programmes", unit, "mean slack", slack, "How far the images violate "
                 "the equations and signs that were read off the update, averaged over the samples so far: 0 where "
                 "all fit.", log_y=True)] if slack else []),
        Panel("terms", "Loss terms", unit, "value",
              scalars(rows, {"loss": "total loss", "residual": "residual", "box": "box", "tv": "total variation",
                             "sparsity": "sparsity"}, log_y=True),
              "The attack's objective and its parts, weights included. Zeros are not drawn.", log_y=True),
        Panel("residual", "Residual by layer", unit, "relative residual",
              by_layer(rows, "residual", log_y=True),
              "Mismatch between the released update and the one that the candidates would cause, relative to the "
              "released one. 1 explains nothing.", log_y=True),
        Panel("restart_losses", "Restarts", unit, "relative residual",
              by_item(rows, "restart", "restart_losses", log_y=True, best=best),
              "Residual of every restart; the leading one is coloured. The smallest wins; the truth plays "
              "no part in that.",
              log_y=True),
        Panel("coefficients", "Recovered coefficients", unit, "λ",
              by_item(rows, "sample", "coefficients", log_y=True, magnitude=True),
              "The dual variable that the attack gives each sample of the best restart.", log_y=True),
        Panel("gate_flips", "Gate flips of the attack", unit, "changed / all (share)",
              by_layer(rows, "flips"),
              "Share of the best restart's ReLU gates that changed since the row before. It settles when the "
              "candidates do."),
        Panel("relu_alpha", "Surrogate sharpness", unit, "α", scalar(rows, "α", "relu_alpha", log_y=True),
              "Steepness of the ModifiedReLU's backward pass. It starts soft and hardens towards the true ReLU.",
              log_y=True),
    ]


def marked(panels: Sequence[Panel], changes: Sequence[Change]) -> list[Panel]:
    """The panels with a line at each step at which knobs were changed, as far as the curves have come."""
    marks = []
    for step, made in groupby(sorted(changes, key=lambda change: change.step), lambda change: change.step):
        words = [f"{change.knob} {number(change.value)}" for change in made]
        more = [f"and {len(words) - MOST_MARKED} more"] if len(words) > MOST_MARKED else []
        marks.append(Mark(step, [*words[:MOST_MARKED], *more]))
    return [replace(panel, marks=tuple(mark for mark in marks if mark.x <= _last(panel))) for panel in panels]


def _last(panel: Panel) -> float:
    return max((curve.x[-1] for curve in panel.series if curve.x), default=-1)


PANELS = {"pretrain": pretrain_panels, "finetune": finetune_panels, "attack": attack_panels}
COMPARED = {  # the curves that are worth laying over one another, by kind
    "pretrain": {"log_loss": ("ln(mean loss)", "Loss"), "kkt_residual": ("relative residual", "KKT residual")},
    "finetune": {"feature_cosine_mean": ("mean cosine to step 0", "Feature stability"),
                 "weight_change": ("‖Δθ‖ / ‖θ₀‖", "Weight change")},
    "attack": {"residual": ("relative residual", "Residual"), "loss": ("value", "Total loss")},
}


def compared_panels(kind: str, runs: dict[str, Curves | Sequence[MetricsRow]], *, by: str = "step",
                    smoothing: float = 0.0, log_y: bool | None = None) -> list[Panel]:
    """The same metric of several runs in one chart; `runs` maps the name shown to its rows.

    `by` "step" or "seconds". `smoothing` in [0, 1) is the weight of what came before in a running mean; `log_y` None
    is each metric's own scale.
    """
    panels = []
    x_title = "computing time (s)" if by == "seconds" else "epoch" if kind == "pretrain" else "step"
    for key, (y_title, title) in COMPARED[kind].items():
        log = key not in ("log_loss", "feature_cosine_mean") if log_y is None else log_y
        series: list[Series] = [one for name, rows in runs.items()
                                for one in _placed(Curves.of(rows), name, key, by, smoothing, log)]
        panels.append(Panel(key, title, x_title, y_title, series, log_y=log))
    return panels


def _placed(curves: Curves, name: str, key: str, by: str, smoothing: float, log_y: bool) -> list[Series]:
    """The curve of one metric, at the wanted place and smoothed."""
    step, seconds, y = curves.points(key).T
    x = seconds if by == "seconds" else step
    present = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[present], y[present]
    y = np.array(list(accumulate(y.tolist(), lambda mean, value: smoothing * mean + (1 - smoothing) * value)))
    return drawn(name, x, y, log_y=log_y)
