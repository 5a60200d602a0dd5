"""Plot data and figures of searches."""

import math

import pytest

from core.plots.search import importance, marks, parallel
from core.plots.search_figures import importance_figure, marks_figure, parallel_figure
from core.runs.kinds import SearchConfig
from core.runs.reports.studies import Trial

LABELS = {"lr_x": "rate", "min_lambda": "least"}
CONFIG, ORACLE = SearchConfig(), SearchConfig(objective="ssim")


def row(trial, *, state="done", residual=0.1, ssim=0.5, **values):
    return Trial(trial=trial, attack=f"a-{trial}", state=state, residual=residual, mean_ssim=ssim,
                 params={"lr_x": 10.0**-trial, "min_lambda": 0.1 * trial}, **values)


def test_lines_run_from_the_knobs_to_what_came_out():
    rows = [row(1), row(2, residual=0.01, ssim=0.7), row(3, residual=None)]
    data = parallel(CONFIG, rows, LABELS)
    assert [(axis.title, axis.log) for axis in data.axes] == [
        ("rate", True), ("least", False), ("residual", True), ("mean SSIM (truth)", False)]
    assert data.axes[0].values == [0.1, 0.01]
    assert (data.shade.title, data.low_is_good) == ("residual", True)
    assert parallel(CONFIG, rows[:1], LABELS) is None


def test_an_oracle_is_named_and_colours_by_the_score():
    data = parallel(ORACLE, [row(1), row(2)], LABELS)
    assert (data.shade.title, data.low_is_good) == ("mean SSIM (oracle)", False)


def test_without_a_truth_there_is_no_score():
    rows = [row(1), row(2, ssim=None)]
    assert [axis.title for axis in parallel(CONFIG, rows, LABELS).axes] == ["rate", "least", "residual"]
    assert [mark.attack for mark in marks(CONFIG, rows)] == ["a-1"]


@pytest.mark.parametrize(("config", "good"), [(CONFIG, 0.01), (ORACLE, 0.9)])
def test_blue_is_good_whatever_is_searched_for(config, good):
    rows = [row(1, residual=0.1, ssim=0.2), row(2, residual=0.01, ssim=0.9)]
    line = parallel_figure(parallel(config, rows, LABELS), revision="r").data[0].line
    place = (line.color[1] - line.cmin) / (line.cmax - line.cmin)
    assert dict(line.colorscale)[round(place)] == "#3b82f6"


def test_log_axes_have_round_ticks_at_their_places():
    rows = [row(number) for number in (1, 2, 3, 4)]
    first = parallel_figure(parallel(CONFIG, rows, LABELS), revision="r").data[0].dimensions[0]
    assert list(first.ticktext) == ["1e-4", "0.001", "0.01", "0.1"]
    assert list(first.tickvals) == pytest.approx([-4, -3, -2, -1])
    assert list(first.values) == pytest.approx([-1, -2, -3, -4])


def test_importance_is_the_latest_and_sorted():
    rows = [row(1, importance={"residual": {"lr_x": 1.0, "min_lambda": 0.0}}),
            row(2, importance={"residual": {"lr_x": 0.2, "min_lambda": 0.8},
                               "mean_ssim": {"lr_x": 0.6, "min_lambda": 0.4}}), row(3)]
    data = importance(CONFIG, rows, LABELS)
    assert data.knobs == ["least", "rate"]
    assert data.shares == {"for the residual": [0.8, 0.2], "for the mean SSIM (truth)": [0.4, 0.6]}
    assert importance(ORACLE, rows, LABELS).knobs == ["rate", "least"]
    assert importance(CONFIG, [row(1)], LABELS) is None
    assert [bar.name for bar in importance_figure(data, revision="r").data] == list(data.shares)


def test_marks_tell_first_best_and_pruned():
    rows = [row(1, residual=0.1), row(2, state="pruned", residual=0.001, ssim=0.1), row(3, residual=0.01, ssim=0.4)]
    assert {mark.name: mark.kind for mark in marks(CONFIG, rows)} == {
        "trial 1": "first", "trial 2": "pruned", "trial 3": "best"}
    assert marks(ORACLE, rows)[-1].name == "trial 1"
    figure = marks_figure(marks(CONFIG, rows), y_title="score", revision="r")
    assert [(trace.name, trace.customdata[0][0]) for trace in figure.data] == [
        ("pruned", "a-2"), ("first trial", "a-1"), ("best trial", "a-3")]
    assert all(math.isfinite(tick) for tick in figure.layout.xaxis.tickvals)
