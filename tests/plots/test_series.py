"""Rows of metrics to plot data."""

import math

from core.plots.series import MOST_PANEL_POINTS, MOST_POINTS, by_item, by_layer, downsample, scalar


def test_downsample_keeps_few_points_as_they_are():
    assert downsample([0, 1, 2], [5.0, None, 7.0]) == ([0, 1, 2], [5.0, None, 7.0])


def test_downsample_keeps_ends_and_peaks_within_the_limit():
    x = list(range(50_000))
    y = [math.sin(step / 900) for step in x]
    y[31_234], y[17] = 9.0, -9.0
    kept_x, kept_y = downsample(x, y)
    assert len(kept_x) <= MOST_POINTS
    assert (kept_x[0], kept_x[-1]) == (0, 49_999)
    assert kept_y[kept_x.index(31_234)] == 9.0
    assert kept_y[kept_x.index(17)] == -9.0
    assert kept_x == sorted(set(kept_x))


def test_downsample_survives_long_gaps():
    y = [1.0] + [None] * 20_000 + [2.0]
    assert downsample(range(len(y)), y) == ([0, 20_001], [1.0, 2.0])


def test_scalar_leaves_out_rows_without_the_metric_and_gaps_what_a_log_axis_cannot_show():
    rows = [{"step": 0, "tv": 0.0}, {"step": 1}, {"step": 2, "tv": 0.5}, {"step": 3, "tv": None}]
    (curve,) = scalar(rows, "tv", "tv", log_y=True)
    assert (curve.x, curve.y) == ([0, 2, 3], [None, 0.5, None])


def test_scalar_of_nothing_drawable_is_no_curve():
    rows = [{"step": step, "tv": 0.0} for step in range(5)]
    assert scalar(rows, "tv", "tv", log_y=True) == []
    assert len(scalar(rows, "tv", "tv")) == 1


def test_by_layer_finds_its_layers_only():
    rows = [{"step": 0, "flips.layers.1": 0.2, "flips.layers.0": 0.1, "residual.layers.0": 3.0, "flips": 1.0}]
    assert [(curve.name, curve.y) for curve in by_layer(rows, "flips")] == [("layer 1", [0.1]), ("layer 2", [0.2])]


def test_by_item_follows_each_entry_even_when_their_number_changes():
    rows = [{"step": 0, "coefficients": [-1.0]}, {"step": 1, "coefficients": [-2.0, 4.0]}, {"step": 2}]
    first, second = by_item(rows, "sample", "coefficients", magnitude=True)
    assert (first.name, first.x, first.y) == ("sample 1", [0, 1], [1.0, 2.0])
    assert (second.name, second.y) == ("sample 2", [None, 4.0])


def test_by_item_puts_the_best_on_top_and_shares_out_the_points():
    rows = [{"step": step, "restart_losses": [float(step + index) for index in range(256)]} for step in range(3000)]
    curves = by_item(rows, "restart", "restart_losses", best=3)
    assert curves[-1].name == "restart 4"
    assert [curve.emphasis for curve in curves] == [False] * 255 + [True]
    assert sum(len(curve.x) for curve in curves) <= MOST_PANEL_POINTS
