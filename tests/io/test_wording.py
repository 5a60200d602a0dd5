"""Numbers and times as people read them."""

import re

import pytest

from core.io.wording import ago, clock, counted, duration, fixed, number, percent


@pytest.mark.parametrize(("value", "text"), [
    (None, "–"), (float("nan"), "–"), (0, "0"), (0.0, "0"), (1500, "1,500"), (0.0281234, "0.0281"), (0.5, "0.5"),
    (123.456, "123"), (1234.5, "1,234"), (1e-4, "1e-4"), (1.234e-7, "1.23e-7"), (2.5e6, "2.5e6"), (-29.27, "−29.3"),
    (-3, "−3"), (float("inf"), "∞"), ("adam", "adam"), (True, "True"), (1.0, "1"), (0.001, "0.001"),
])
def test_number_keeps_sensible_digits(value, text):
    assert number(value) == text


def test_number_takes_more_digits_where_asked():
    assert number(0.99812, 4) == "0.9981"


@pytest.mark.parametrize(("seconds", "text"), [
    (None, "–"), (0.82, "0.8 s"), (42.4, "42 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min"),
    (3 * 86400 + 4 * 3600, "3 d 4 h"),
])
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("moment", "text"), [
    (None, "–"), (1000.0, "just now"), (910.0, "2 min ago"), (1000.0 - 7200, "2 h ago"),
    (1000.0 - 3 * 86400, "3 d ago"), (2000.0, "just now"),  # a clock that runs ahead
])
def test_ago(moment, text):
    assert ago(moment, now=1000.0) == text


def test_the_small_ones():
    assert re.fullmatch(r"[1-9]\d? \w+ \d\d:\d\d", clock(1_790_000_000.0))
    assert (fixed(0.9), fixed(None), percent(0.018), percent(None)) == ("0.90", "–", "1.8 %", "–")
    assert (counted(1, "step"), counted(2500, "step"), counted(2, "class", "classes")) == (
        "1 step", "2,500 steps", "2 classes")
