"""How multipliers are spread."""

import math

import pytest

from core.plots.distribution import multipliers
from core.plots.figures import distribution_figure


@pytest.mark.parametrize("values", [[0.1, -0.2, 0.3, 0.11, 0.12], [1e-6, 1e-3, 0.5, 2.0, 3.0, 1e-6], [0.2] * 7])
def test_every_candidate_is_counted_once_whatever_its_sign(values):
    chart = multipliers(values)
    assert sum(chart.counts) == len(values)
    assert chart.log_x == (max(map(abs, values)) > 10 * min(map(abs, values)))


def test_few_values_zeros_and_gaps_are_no_distribution():
    assert multipliers([0.1, 0.2, 0.3]) is None
    assert multipliers([0.0, math.nan, 0.1, 0.2, 0.3, 0.4]) is None


def test_the_floor_is_drawn():
    figure = distribution_figure(multipliers([0.1, 0.2, 0.3, 0.4, 0.5], floor=0.1), revision="r")
    assert figure.layout.shapes[0].x0 == 0.1
    assert sum(figure.data[0].y) == 5
