"""The reliability diagram: bins, intervals, the mean guess, and the asset that ships."""

import pytest

from core.plots.reliability import reliability, reliability_figure
from core.reconstruction.calibration import FACTS, Bin, Calibration, Measured, calibration
from core.reconstruction.registry import METHODS

MEASURED = Measured(cases=40, images=60, recognisable=0.45, guess=0.4, brier=0.11, mean_guess=0.24, before=0.31,
                    highest_guess=0.45, bins=(Bin(0.0, 0.2, 0.1, 0.05, 40), Bin(0.8, 1.0, 0.9, 1.0, 20)))


def test_points_stand_at_what_was_claimed_and_what_came_true():
    shown = reliability(Calibration({}, {}, MEASURED))
    assert (shown.claimed, shown.true, shown.images) == ([0.1, 0.9], [0.05, 1.0], [40, 20])
    # Wilson's interval of 2 in 40 and of 20 in 20, by hand
    assert (shown.low[0], shown.high[0]) == (pytest.approx(0.0138, abs=1e-3), pytest.approx(0.165, abs=1e-3))
    assert (shown.low[1], shown.high[1]) == (pytest.approx(0.839, abs=1e-3), 1.0)
    assert "Brier score 0.110" in shown.words
    assert "0.240" in shown.words


def test_figure_has_the_diagonal_the_mean_guess_and_the_attacks():
    diagonal, guess, attacks = reliability_figure(reliability(Calibration({}, {}, MEASURED)), revision="r").data
    assert (list(diagonal.x), list(diagonal.y)) == ([0, 1], [0, 1])
    assert list(guess.y) == [0.4, 0.4]
    assert list(attacks.error_y.array) == pytest.approx([0.165 - 0.05, 0.0], abs=1e-3)
    assert attacks.marker.size[0] > attacks.marker.size[1]


def test_nothing_is_drawn_where_nothing_was_measured():
    assert reliability(Calibration({}, {}, None)) is None


def test_the_stored_calibration_was_measured_and_beats_the_mean_guess():
    stored = calibration()
    assert set(stored.start) == set(METHODS)
    assert all(weight > 0 and name in FACTS for weights in stored.weights.values() for name, weight in weights.items())
    assert stored.measured.brier < stored.measured.mean_guess
    assert stored.measured.brier < stored.measured.before
    assert stored.measured.highest_guess < 0.5
