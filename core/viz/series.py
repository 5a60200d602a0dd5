"""Plot data: what a chart shows, before any plotting library is involved.

A `Panel` is one chart: titles with units, scale, and its `Series`. Built from the rows of
``metrics.jsonl``; drawn by `core.viz.figures`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_POINTS = 2_000         # of one trace; more than a screen has pixels
MOST_PANEL_POINTS = 16_000  # of all traces of a chart together

Row = dict[str, Any]


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


def downsample(x: Sequence[float], y: Sequence[float | None], limit: int = MOST_POINTS,
               ) -> tuple[list[float], list[float | None]]:
    """At most `limit` of the points, in order: the ends, and the smallest and largest of each stretch.

    Peaks stay visible, unlike with every n-th point. A gap (None) counts as neither.
    """
    count = len(x)
    if count <= limit:
        return list(x), list(y)
    buckets = max(1, (limit - 2) // 2)
    keep = {0, count - 1}
    for bucket in range(buckets):
        start = 1 + bucket * (count - 2) // buckets
        stop = 1 + (bucket + 1) * (count - 2) // buckets
        present = [index for index in range(start, stop) if y[index] is not None]
        if present:
            keep.add(min(present, key=y.__getitem__))
            keep.add(max(present, key=y.__getitem__))
    chosen = sorted(keep)
    return [x[index] for index in chosen], [y[index] for index in chosen]


def scalar(rows: Sequence[Row], name: str, key: str, *, log_y: bool = False, limit: int = MOST_POINTS,
           emphasis: bool = True) -> list[Series]:
    """The curve of one scalar metric, in a list; empty where no row has a value to draw.

    On a log axis, values at or below zero cannot be drawn and become gaps.
    """
    pairs = [(row["step"], row[key]) for row in rows if key in row]
    y = [None if value is None or (log_y and value <= 0) else value for _, value in pairs]
    if all(value is None for value in y):
        return []
    x, y = downsample([step for step, _ in pairs], y, limit)
    return [Series(name, x, y, emphasis)]


def scalars(rows: Sequence[Row], names: dict[str, str], *, log_y: bool = False) -> list[Series]:
    """Curves of several metrics: `names` maps metric to legend."""
    return [one for key, name in names.items() for one in scalar(rows, name, key, log_y=log_y)]


def by_layer(rows: Sequence[Row], prefix: str, *, log_y: bool = False) -> list[Series]:
    """One curve a layer, from metrics named ``prefix.layers.i``."""
    keys = sorted({key for row in rows for key in row if key.startswith(prefix + ".layers.")})
    names = {key: f"layer {int(key.rsplit('.', 1)[1]) + 1}" for key in keys}
    return scalars(rows, names, log_y=log_y)


def by_item(rows: Sequence[Row], noun: str, key: str, *, log_y: bool = False, magnitude: bool = False,
            best: int | None = None) -> list[Series]:
    """One curve an entry of a list-valued metric: ``sample 1``, ``sample 2``, …

    Points are shared out, so that hundreds of curves stay quick. With `best`, the others are context.
    """
    lists = [(row["step"], row[key]) for row in rows if isinstance(row.get(key), list)]
    width = max((len(values) for _, values in lists), default=0)
    limit = max(20, min(MOST_POINTS, MOST_PANEL_POINTS // max(1, width)))
    curves = []
    for item in range(width):
        single = [{"step": step, "value": _entry(values, item, magnitude)} for step, values in lists]
        curves += scalar(single, f"{noun} {item + 1}", "value", log_y=log_y, limit=limit,
                         emphasis=best is None or item == best)
    return sorted(curves, key=lambda curve: curve.emphasis)  # what matters is drawn last, on top


def _entry(values: list[float | None], item: int, magnitude: bool) -> float | None:
    value = values[item] if item < len(values) else None
    return abs(value) if magnitude and value is not None else value
