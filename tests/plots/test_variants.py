"""Plot data of experiments on a base alone: means, controls and counts, worked out by hand."""

import pytest

from core.plots.variants import arm_name, arms_chart, arms_figure
from core.runs.reports.studies import ExperimentRow

NAMES = ["one", "two", "three"]


def row(arm: str, seed: int, ssim: float | None, recovered: int = 3, wrong: float | None = 0.3) -> ExperimentRow:
    return ExperimentRow(arm=arm, seed=seed, mean_ssim=ssim, recovered=recovered, targets=20, attack=f"{arm}-{seed}",
                         wrong_release_ssim=wrong, wrong_release_recovered=None if wrong is None else 10 * wrong,
                         mean_image_ssim=0.1)


def test_means_counts_and_controls_stand_at_their_arms():
    rows = [row("one", 0, 0.2, 4), row("one", 1, 0.6, 8), row("two", 0, 0.5, 5, None), row("two", 1, None)]
    ssim, count = arms_chart(rows, NAMES).panels
    assert ssim.means == [pytest.approx(0.4), 0.5, None]
    assert ssim.wrong_release == [pytest.approx(0.3), None, None]
    assert (count.means, count.top) == ([6, 5, None], 20)
    assert ssim.mean_image == [pytest.approx(0.1), pytest.approx(0.1), None]
    assert count.wrong_release == [pytest.approx(3.0), None, None]
    assert count.y_title == "SSIM > 0.4, of 20 targets"
    assert [dot.attack for dot in ssim.dots] == ["one-0", "one-1", "two-0"]
    assert [round(dot.x) for dot in ssim.dots] == [0, 0, 1]
    assert ssim.dots[0].x < 0 < ssim.dots[1].x
    assert [dot.y for dot in count.dots] == [4, 8, 5]
    assert arm_name(rows[0]) == "one, seed 0"


def test_figure_names_each_arm_and_carries_the_attacks():
    figure = arms_figure(arms_chart([row("one", 0, 0.2), row("three", 0, 0.4)], NAMES), revision="r")
    assert list(figure.layout.xaxis.ticktext) == NAMES
    dots, means, wrong, mean_image = figure.data[:4]
    assert [data[0] for data in dots.customdata] == ["one-0", "three-0"]
    assert list(means.y) == [0.2, 0.2, None, None, None, None, 0.4, 0.4, None]
    assert (wrong.line.dash, mean_image.line.dash) == ("dot", "dash")
    assert figure.layout.yaxis2.title.text.endswith("of 20 targets")


def test_nothing_yet_is_an_empty_chart():
    chart = arms_chart([row("one", 0, None)], NAMES)
    assert chart.empty
    assert len(arms_figure(chart, revision="r").data) == 6
