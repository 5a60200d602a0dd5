"""Plot data: what a chart shows, before any plotting library is involved.

A `Panel` is one chart: titles with units, scale, and its `Series`. Built from the rows of
``metrics.jsonl``; drawn by `core.plots.figures`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.plots.curves import Curves
from core.runs.directory import MetricsRow

MOST_POINTS = 1_200        # of one trace; more than a chart has pixels
MOST_PANEL_POINTS = 8_000  # of all traces of a chart together


@dataclass(frozen=True)
class Series:
    """One curve. A None in `y` is a gap."""

    name: str
    x: list[float]
    y: list[float | None]
    emphasis: bool = True  # False is drawn thin and grey: context, such as the restarts that lost


@dataclass(frozen=True)
class Mark:
    """A vertical line with what was changed at that step, in lines of text."""

    x: float
    lines: list[str]


@dataclass(frozen=True)
class Panel:
    """One chart of curves. `help` says in a sentence or two what it tells."""

    key: str
    title: str
    x_title: str
    y_title: str
    series: list[Series]
    help: str = ""
    log_y: bool = False
    least: tuple[float, float] | None = None  # the y axis shows at least this much, so that rounding looks flat
    marks: tuple[Mark, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.series


@dataclass(frozen=True)
class Bars:
    """One chart of a value a sample on a log axis, with the floor under which a sample is out of reach."""

    key: str
    title: str
    y_title: str
    names: list[str]
    values: list[float]
    verdicts: list[str]  # visible, weak or hidden
    floor: float | None
    help: str = ""
    pictures: list[bytes] | None = None  # PNG, one under each bar


def downsample(x: Sequence[float] | np.ndarray, y: Sequence[float | None] | np.ndarray, limit: int = MOST_POINTS,
               ) -> tuple[list[float], list[float | None]]:
    """At most `limit` of the points, in order: the ends, and the smallest and largest of each stretch.

    Peaks stay visible, unlike with every n-th point. A gap (None or NaN) counts as neither.
    """
    places, values = np.asarray(x, dtype=float), np.array(y, dtype=float)
    if len(places) > limit:
        kept = _peaks(values, limit)
        places, values = places[kept], values[kept]
    return places.tolist(), [None if value != value else value for value in values.tolist()]


def _peaks(values: np.ndarray, limit: int) -> np.ndarray:
    """Which of the values to keep."""
    inner, buckets = len(values) - 2, max(1, (limit - 2) // 2)
    width = -(-inner // buckets)
    padded = np.full(width * -(-inner // width), np.nan)
    padded[:inner] = values[1:-1]
    table = padded.reshape(-1, width)
    empty = np.isnan(table)
    first = 1 + width * np.arange(len(table))
    low = first + np.where(empty, np.inf, table).argmin(1)
    high = first + np.where(empty, -np.inf, table).argmax(1)
    present = ~empty.all(1)
    return np.unique(np.concatenate([[0, len(values) - 1], low[present], high[present]]))


def scalar(rows: Curves | Sequence[MetricsRow], name: str, key: str, *, log_y: bool = False, limit: int = MOST_POINTS,
           emphasis: bool = True) -> list[Series]:
    """The curve of one scalar metric, in a list; empty where no row has a value to draw.

    On a log axis, values at or below zero cannot be drawn and become gaps.
    """
    block = Curves.of(rows).points(key)
    return drawn(name, block[:, 0], block[:, 2], log_y=log_y, limit=limit, emphasis=emphasis)


def drawn(name: str, x: np.ndarray, y: np.ndarray, *, log_y: bool = False, limit: int = MOST_POINTS,
          emphasis: bool = True) -> list[Series]:
    """The curve through points [n], in a list; empty where nothing can be drawn."""
    if log_y:
        y = np.where(y > 0, y, np.nan)
    if np.isnan(y).all():
        return []
    return [Series(name, *downsample(x, y, limit), emphasis)]


def scalars(rows: Curves | Sequence[MetricsRow], names: dict[str, str], *, log_y: bool = False) -> list[Series]:
    """Curves of several metrics: `names` maps metric to legend."""
    curves = Curves.of(rows)
    return [one for key, name in names.items() for one in scalar(curves, name, key, log_y=log_y)]


def by_layer(rows: Curves | Sequence[MetricsRow], prefix: str, *, log_y: bool = False) -> list[Series]:
    """One curve a layer, from metrics named ``prefix.layers.i``."""
    curves = Curves.of(rows)
    keys = sorted(key for key in curves.columns if key.startswith(prefix + ".layers."))
    names = {key: f"layer {int(key.rsplit('.', 1)[1]) + 1}" for key in keys}
    return scalars(curves, names, log_y=log_y)


def by_item(rows: Curves | Sequence[MetricsRow], noun: str, key: str, *, log_y: bool = False, magnitude: bool = False,
            best: int | None = None) -> list[Series]:
    """One curve an entry of a list-valued metric: ``sample 1``, ``sample 2``, …

    Points are shared out, so that hundreds of curves stay quick. With `best`, the others are context.
    """
    block = Curves.of(rows).points(key, listed=True)
    steps, values = block[:, 0], np.abs(block[:, 2:]) if magnitude else block[:, 2:]
    limit = max(20, min(MOST_POINTS, MOST_PANEL_POINTS // max(1, values.shape[1])))
    curves = []
    for item in range(values.shape[1]):
        curves += drawn(f"{noun} {item + 1}", steps, values[:, item], log_y=log_y, limit=limit,
                        emphasis=best is None or item == best)
    return sorted(curves, key=lambda curve: curve.emphasis)  # what matters is drawn last, on top
