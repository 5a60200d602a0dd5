"""Rows of metrics to columns that grow."""

import numpy as np
import pytest

from core.plots import curves as module
from core.plots.curves import Curves


def rows(first: int, last: int) -> list[dict]:
    return [{"step": step, "seconds": step / 2, "loss": 1.0 / (step + 1), "restart_losses": [step, -step]}
            for step in range(first, last)]


def test_appending_in_pieces_is_the_same_as_all_at_once():
    whole, grown = Curves.of(rows(0, 100)), Curves()
    for start in range(0, 100, 7):
        grown.extend(rows(start, min(100, start + 7)))
    assert grown.rows == whole.rows == 100
    assert grown.last == rows(99, 100)[0]
    for name, listed in (("loss", False), ("restart_losses", True)):
        assert np.array_equal(grown.points(name, listed=listed), whole.points(name, listed=listed))
    assert whole.points("restart_losses", listed=True)[3].tolist() == [3, 1.5, 3, -3]


def test_rows_of_different_names_keep_their_order_and_text_is_no_curve():
    mixed = [{"step": 0, "loss": 1.0, "phase": "first"}, {"step": 1, "flips": 0.5}, {"step": 2, "loss": None},
             {"step": 3, "loss": 4.0, "phase": "second"}]
    curves = Curves.of(mixed)
    assert curves.points("loss")[:, 0].tolist() == [0, 2, 3]
    assert np.array_equal(curves.points("loss")[:, 2], [1.0, np.nan, 4.0], equal_nan=True)
    assert not len(curves.points("phase"))
    assert not len(curves.points("loss", listed=True))
    assert curves.last["phase"] == "second"


def test_a_list_that_grows_and_a_row_without_it():
    curves = Curves.of([{"step": 0, "lam": [1.0]}, {"step": 1, "lam": None}, {"step": 2, "lam": [2.0, None, 3.0]}])
    assert np.array_equal(curves.points("lam", listed=True)[:, 2:], [[1, np.nan, np.nan], [2, np.nan, 3]],
                          equal_nan=True)


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_memory_is_bounded_and_what_is_kept_stands_evenly(monkeypatch, piece):
    monkeypatch.setattr(module, "MOST_NUMBERS", 300)  # 100 rows of step, seconds and value
    curves = Curves()
    for start in range(0, 1000, piece):
        curves.extend(rows(start, min(1000, start + piece)))
    steps = curves.points("loss")[:, 0]
    assert 30 < len(steps) <= 100
    assert len(set(np.diff(steps))) == 1
    assert curves.rows == 1000
    assert curves.last["step"] == 999


def test_a_long_run_is_drawn_anew_only_where_an_eye_could_tell():
    curves = Curves()
    curves.extend(rows(0, 1000))
    curves.draw(all_of_it=False)
    assert curves.points("loss")[-1, 0] == 999
    curves.extend(rows(1000, 1003))
    curves.draw(all_of_it=False)
    assert curves.points("loss")[-1, 0] == 999
    curves.extend(rows(1003, 1006))
    curves.draw(all_of_it=False)
    assert curves.points("loss")[-1, 0] == 1005
    curves.extend(rows(1006, 1007))
    curves.draw(all_of_it=True)
    assert curves.points("loss")[-1, 0] == 1006
