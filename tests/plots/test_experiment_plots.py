"""Plot data and figures of experiments."""

import math

import pytest

from core.plots.experiment_figures import reasons_figure, scores_figure
from core.plots.experiments import REASONS, reason_charts, score_chart
from core.runs.reports.studies import ExperimentRow


def row(rank=8, steps=10, seed=0, ssim=0.5, coefficients="free", features="base", **values):
    return ExperimentRow(**{
        "adaptation": "full" if rank is None else "lora", "rank": rank, "steps": steps, "samples": 2, "seed": seed,
        "coefficients": coefficients, "features": features, "mean_ssim": ssim, "flips": 0.01, "weight_change": 0.1,
        "feature_cosine": 0.9, "coefficient_drift": 0.2, "attack": f"a-{rank}-{steps}-{seed}-{coefficients}",
        **values})


def test_a_curve_is_mean_and_range_over_the_seeds():
    rows = [row(seed=0, ssim=0.2), row(seed=1, ssim=0.6), row(steps=100, ssim=0.1), row(seed=2, ssim=None)]
    (curve,) = score_chart(rows, "steps").curves
    assert (curve.x, curve.low, curve.high) == ([10, 100], [0.2, 0.1], [0.6, 0.1])
    assert curve.mean == pytest.approx([0.4, 0.1])
    assert [dot.attack for dot in curve.dots] == ["a-8-10-0-free", "a-8-10-1-free", "a-8-100-0-free"]


def test_over_steps_there_is_a_curve_for_every_setting():
    rows = [row(rank=rank, coefficients=known, features=ends) for rank in (None, 8, 64)
            for known in ("free", "known") for ends in ("base", "both")]
    curves = score_chart(rows, "steps").curves
    assert len(curves) == 12
    assert [curve.name for curve in curves][:4] == [
        "full fine-tuning", "full fine-tuning, both ends", "full fine-tuning, known coefficients",
        "full fine-tuning, known coefficients, both ends"]
    assert {curve.name: (curve.dashed, curve.hollow) for curve in curves}["rank 8, known coefficients, both ends"] == (
        True, True)
    assert [curve.colour for curve in curves] == [0] * 4 + [1] * 4 + [2] * 4  # the rank is the colour
    assert not any(curve.level for curve in curves)


def test_over_ranks_full_fine_tuning_is_a_level():
    rows = [row(rank=rank, seed=seed, ssim=0.1 * seed + (0.5 if rank is None else 0.0), coefficients=None,
                features=None) for rank in (None, 1, 8) for seed in (0, 1)]
    full, lora = sorted(score_chart(rows, "rank").curves, key=lambda curve: not curve.level)
    assert (full.name, full.level, full.mean, full.low, full.high) == ("full fine-tuning", True, [0.55], [0.5], [0.6])
    assert (lora.name, lora.x, lora.level) == ("LoRA", [1, 8], False)
    figure = scores_figure(score_chart(rows, "rank"), revision="r")
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis.tickvals) == [1, 8]
    band, line, mean, dots = figure.data
    assert band.fill == "toself"
    assert list(line.y) == [0.55, 0.55]
    assert line.x[0] < 1 < 8 < line.x[1]
    assert list(mean.error_y.array) == pytest.approx([0.05, 0.05])
    assert dots.customdata[0][0] == "a-1-10-0-None"


def test_two_numbers_of_steps_over_ranks_are_two_colours():
    rows = [row(rank=rank, steps=steps) for rank in (None, 1) for steps in (1, 100)]
    chart = score_chart(rows, "rank")
    assert sorted(curve.name for curve in chart.curves) == ["T = 1", "T = 100", "full fine-tuning, T = 1",
                                                            "full fine-tuning, T = 100"]
    colours = {curve.name: curve.colour for curve in chart.curves}
    assert colours["T = 1"] == colours["full fine-tuning, T = 1"] != colours["T = 100"]


def test_reasons_hold_every_score_against_each_measure():
    rows = [row(steps=1, flips=0.0, feature_cosine=1.0), row(steps=10, flips=0.001), row(steps=100, flips=0.1)]
    clouds = {cloud.key: cloud for cloud in reason_charts(rows)}
    assert set(clouds) == set(REASONS)
    flips = clouds["flips"]
    assert flips.log_x
    assert [dot.x for dot in flips.dots] == pytest.approx([0.001 / 3, 0.001, 0.1])  # zero stands at the left edge
    assert "Zeros" in flips.help
    assert [dot.x for dot in clouds["feature_cosine"].dots][1:] == pytest.approx([0.1, 0.1])
    assert flips.shades == [1, 10, 100]
    assert flips.shade_title == "T"


def test_one_number_of_steps_is_shaded_by_rank():
    cloud = reason_charts([row(rank=None), row(rank=1), row(rank=8)])[0]
    assert cloud.shade_title == "rank"
    assert cloud.shades == [None, 1, 8]
    assert cloud.full == [True, False, False]


@pytest.mark.parametrize("rows", [
    [], [row()], [row(rank=None)], [row(ssim=None)], [row(flips=None)],
    [row(rank=rank, steps=steps, ssim=-0.05) for rank in (None, 1, 1000) for steps in (1, 1000)],
    [row(steps=steps) for steps in range(1, 40)], [row(flips=0.0, feature_cosine=1.0, weight_change=0.0)]])
@pytest.mark.parametrize("x", ["rank", "steps"])
def test_any_table_can_be_drawn(rows, x):
    scores = scores_figure(score_chart(rows, x), revision="r")
    reasons = reasons_figure(reason_charts(rows), revision="r")
    assert scores.layout.uirevision == reasons.layout.uirevision == "r"
    for figure in (scores, reasons):
        assert all(value is None or math.isfinite(value) for trace in figure.data for value in trace.y)
    for low in (scores.layout.yaxis.range[0], reasons.layout.yaxis.range[0]):
        assert low <= min([item.mean_ssim for item in rows if item.mean_ssim is not None], default=0)


def test_what_scores_have_to_beat_are_two_quiet_lines():
    rows = [row(steps=steps, seed=seed, mean_image_ssim=0.2, wrong_release_ssim=0.25 + 0.1 * seed)
            for steps in (1, 10) for seed in (0, 1)]
    chart = score_chart(rows, "steps")
    assert [(control.name, control.x) for control in chart.controls] == [("mean image", [1, 10]),
                                                                         ("wrong release", [1, 10])]
    assert chart.controls[1].y == pytest.approx([0.3, 0.3])
    lines = {trace.name: trace.line.dash for trace in scores_figure(chart, revision="r").data}
    assert (lines["mean image"], lines["wrong release"]) == ("dash", "dot")
    assert score_chart([row()], "steps").controls == ()  # rows of earlier runs
