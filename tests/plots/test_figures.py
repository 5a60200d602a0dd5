"""Figures, colours and pictures."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from core.config.knob_change import Change
from core.io.errors import InputError
from core.io.images import grid_png, tiles
from core.plots.figures import bar_figure, line_figure, log_ticks
from core.plots.palette import BACKGROUNDS, COLOURS, QUIET, contrast
from core.plots.panels import PANELS, attack_panels, compared_panels, finetune_panels, marked, visibility_bars
from core.plots.series import Panel, Series
from core.plots.sparkline import sparkline_svg
from core.runs.reports.training import FinetuneReport

ROW = {"step": 3, "seconds": 0.1, "loss": 0.5, "residual": 0.4, "residual.layers.0": 0.3, "box": 0.01, "tv": 0.0,
       "relu_alpha": 20.0, "coefficients": [0.1, 0.2], "restart_losses": [0.6, 0.5], "flips.layers.0": 0.1}


@pytest.mark.parametrize("colour", [*COLOURS, QUIET])
@pytest.mark.parametrize("theme", BACKGROUNDS)
def test_every_colour_is_legible_in_both_themes(colour, theme):
    assert contrast(colour, BACKGROUNDS[theme]) >= 3.0


def test_contrast_agrees_with_the_definition_at_its_ends():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == pytest.approx(1)


@pytest.mark.parametrize("kind", PANELS)
def test_every_panel_is_named_and_can_be_drawn_without_rows(kind):
    panels = PANELS[kind]([])
    assert len({panel.key for panel in panels}) == len(panels)
    for panel in panels:
        assert panel.empty
        assert panel.title
        assert panel.x_title
        assert panel.y_title
        assert panel.help
        assert not line_figure(panel, revision="r").data


def test_an_attack_draws_what_it_recorded():
    drawn = {panel.key: [curve.name for curve in panel.series] for panel in attack_panels([ROW], best=1)}
    assert drawn["terms"] == ["total loss", "residual", "box"]  # a total variation of 0 has no place on a log axis
    assert drawn["residual"] == ["layer 1"]
    assert drawn["restart_losses"] == ["restart 1", "restart 2"]
    assert drawn["gate_flips"] == ["layer 1"]


def test_changed_knobs_are_marked_where_the_curves_have_come_to():
    changes = [Change(step=2, knob="lr_x", value=0.01), *(Change(step=3, knob=knob, value=1.5)
                                                         for knob in ("lr_x", "min_lambda", "box_weight")),
               Change(step=4, knob="lr_x", value=0.02)]
    panels = {panel.key: panel for panel in marked(attack_panels([{**ROW, "step": 0}, ROW]), changes)}
    marks = panels["residual"].marks
    assert [(mark.x, mark.lines) for mark in marks] == [(2, ["lr_x 0.01"]),
                                                        (3, ["lr_x 1.5", "min_lambda 1.5", "and 1 more"])]
    assert panels["terms"].marks == marks
    figure = line_figure(panels["residual"], revision="r")
    assert [shape.x0 for shape in figure.layout.shapes] == [2, 3]
    assert [note.text for note in figure.layout.annotations] == ["<br>".join(mark.lines) for mark in marks]
    assert not marked(attack_panels([]), changes)[0].marks


def test_a_finetuning_draws_sizes_of_coefficients():
    panels = {panel.key: panel for panel in finetune_panels([{"step": 0, "coefficients": [-0.25, 0.0]}])}
    (curve,) = panels["coefficients"].series
    assert curve.y == [0.25]


def test_line_figure_keeps_zoom_and_axes():
    panel = Panel("k", "T", "step", "value", [Series("a", [0, 1], [1.0, 0.01]), Series("b", [0, 1], [None, 2.0])],
                  log_y=True)
    figure = line_figure(panel, revision="run-1")
    assert figure.layout.uirevision == "run-1"
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.xaxis.title.text == "step"
    assert [trace.showlegend for trace in figure.data] == [True, True]
    assert all(trace.mode == "lines+markers" for trace in figure.data)  # a single step must be seen


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (0.02, 0.9), (1e-9, 1.0), (3.0, 4.0), (20, 500), (1e-300, 1e9)])
def test_log_ticks_are_few_and_lie_about_the_range(low, high):
    ticks = log_ticks(low, high)
    assert 1 <= len(ticks) <= 9
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= high
    assert ticks[-1] >= low


def test_visibility_names_the_verdict_and_draws_the_floor():
    report = {"visibility": [1.0, 1e-3, 1e-7], "labels": [1, 0, 1], "verdicts": ["visible", "weak", "hidden"],
              "rounding_floor": 1e-5}
    bars = visibility_bars(FinetuneReport(**report), pictures=tiles(grid_png(torch.rand(3, 1, 28, 28))))
    assert bars.names == ["1 · odd", "2 · even · weak", "3 · odd · hidden"]
    figure = bar_figure(bars, revision="r")
    assert len(set(figure.data[0].marker.color)) == 3
    assert figure.layout.shapes[0].y0 == 1e-5
    assert len(figure.layout.images) == 3
    assert figure.layout.yaxis.range[0] == -8  # the smallest value is just above the bottom line


def test_visibility_far_below_the_floor_does_not_squeeze_the_rest():
    bars = visibility_bars(FinetuneReport(visibility=[1.0, 1e-32], labels=[1, 0], rounding_floor=1e-5))
    assert bars.verdicts == ["visible", "hidden"]
    assert bar_figure(bars, revision="r").layout.yaxis.range[0] >= -10


def test_axes_fit_their_values():
    def axis(values, **options):
        curve = Series("a", list(range(len(values))), values)
        return line_figure(Panel("k", "T", "x", "y", [curve], **options), revision="r").layout.yaxis

    assert axis([1.0, 0.01], log_y=True).type == "log"
    assert axis([1.05, 0.86], log_y=True).type is None  # a decade is more than it needs
    assert axis([0.0, 0.0]).range == (0, 1)
    assert axis([0.1, 0.5]).rangemode == "tozero"
    assert axis([0.99999, 1.0], least=(0.999, 1.0)).range[0] < 0.9991
    assert axis([0.5, 1.0], least=(0.999, 1.0)).range[0] < 0.5


def test_visibility_of_all_zero_coefficients_still_draws():
    bars = visibility_bars(FinetuneReport(visibility=[0.0, 0.0], labels=[0, 1]))
    assert bar_figure(bars, revision="r").data[0].y == (0.1, 0.1)  # on the bottom line
    assert visibility_bars(None) is None


def test_compared_panels_lay_runs_over_one_another():
    panels = compared_panels("attack", {"A": [ROW], "B": [ROW | {"residual": 0.2}]})
    assert [(curve.name, curve.y) for curve in panels[0].series] == [("A", [0.4]), ("B", [0.2])]


def test_an_attack_that_found_nothing_has_an_empty_grid():
    assert tiles(grid_png(torch.zeros(0, 1, 28, 28))) == []


@pytest.mark.parametrize(("count", "channels", "side"), [(1, 1, 28), (13, 1, 28), (3, 3, 32)])
def test_tiles_take_a_grid_apart_again(count, channels, side):
    images = torch.rand(count, channels, side, side)
    found = tiles(grid_png(images))
    assert len(found) == count
    picture = Image.open(io.BytesIO(found[-1]))
    assert picture.size == (side, side)
    last = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
    assert (last - images[-1].expand(3, -1, -1)).abs().max() <= 0.5 / 255 + 1e-6


def test_a_damaged_picture_is_named():
    whole = grid_png(torch.rand(1, 1, 28, 28))
    for content in (b"", b"no picture", whole[:40]):
        with pytest.raises(InputError, match="picture"):
            tiles(content)


def test_sparkline_needs_two_points():
    assert sparkline_svg(Series("loss", [0], [1.0])) == ""
    assert "polyline" in sparkline_svg(Series("loss", [0, 1, 2], [1.0, None, 0.5]))
    assert "nan" not in sparkline_svg(Series("flat", [0, 1], [1.0, 1.0]))
