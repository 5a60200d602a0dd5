"""The numbers of a metrics.jsonl in columns: what hundred thousand rows are drawn from, again and again."""

import math
from collections import deque
from collections.abc import Sequence
from itertools import compress
from types import NoneType
from typing import Any

import numpy as np

from core.runs.directory import MetricsRow

MOST_NUMBERS = 1 << 21  # in one column, 16 MiB; beyond it every second row is kept, then every fourth, …
RECENT = 20             # rows that are kept whole
NOTICEABLE = 200        # a new part of the curves shorter than their 200th is narrower than a line is wide


class Column:
    """One metric: `block` [n, 2 + width] of step, seconds and values; NaN stands for no value.

    A metric of one value a row has width 1, a list as many as its longest. A reader takes `block` once: another thread
    may append meanwhile.
    """

    def __init__(self, *, listed: bool) -> None:
        self.listed = listed
        self.block = self._held = np.empty((0, 3))  # `_held` has room to grow behind `block`
        self._stride, self._seen = 1, 0

    def extend(self, places: np.ndarray, values: Sequence[Any]) -> None:
        """Append rows: `places` [n, 2] of step and seconds, a value or a list each."""
        if self._stride > 1:
            kept = slice(-self._seen % self._stride, None, self._stride)
            self._seen += len(values)
            places, values = places[kept], values[kept]
        if not len(values):
            return
        width = max(map(len, values)) if self.listed else 1
        block = np.full((len(values), 2 + max(width, self.block.shape[1] - 2)), np.nan)
        block[:, :2] = places
        if not self.listed:
            block[:, 2] = np.array(values, dtype=float)
        elif all(len(value) == width for value in values):
            block[:, 2:2 + width] = np.array(values, dtype=float)
        else:
            for row, value in zip(block, values, strict=True):
                row[2:2 + len(value)] = np.array(value, dtype=float)
        self._append(block)
        while self.block.size > MOST_NUMBERS:
            if self._stride == 1:
                self._seen = len(self.block)
            self.block = self._held = self.block[::2].copy()
            self._stride *= 2

    def _append(self, block: np.ndarray) -> None:
        length = len(self.block)
        needed = length + len(block)
        if needed > len(self._held) or block.shape[1] > self._held.shape[1]:
            grown = np.full((max(needed, 2 * length), block.shape[1]), np.nan)
            grown[:length, :self._held.shape[1]] = self.block
            self._held = grown
        self._held[length:needed] = block
        self.block = self._held[:needed]


class Curves:
    """All metrics of a run, appended to as its file grows. Text is kept in the last rows only.

    `drawn_to` is the step up to which they are drawn: it follows the last one in strides that an eye can see, so that
    a long run's charts are not drawn anew for each row.
    """

    def __init__(self) -> None:
        self.drawn_to, self._rows_drawn = math.inf, 0
        self.columns: dict[str, Column] = {}
        self.recent: deque[MetricsRow] = deque(maxlen=RECENT)
        self.rows = 0

    @classmethod
    def of(cls, rows: "Curves | Sequence[MetricsRow]") -> "Curves":
        """`rows` themselves where they are curves already."""
        if isinstance(rows, Curves):
            return rows
        made = cls()
        made.extend(rows)
        return made

    @property
    def last(self) -> MetricsRow:
        return self.recent[-1] if self.recent else {}

    def points(self, name: str, *, listed: bool = False) -> np.ndarray:
        """[n, 2 + width] of step, seconds and values, up to `drawn_to`; [0, 3] where there is no such metric."""
        column = self.columns.get(name)
        if column is None or column.listed != listed:
            return np.empty((0, 3))
        block = column.block
        return block[:np.searchsorted(block[:, 0], self.drawn_to, side="right")]

    def draw(self, *, all_of_it: bool) -> None:
        """Move `drawn_to` on if there is enough to see, or to the end."""
        if all_of_it:
            self.drawn_to = math.inf
        elif self.rows and (self.rows - self._rows_drawn) * NOTICEABLE >= self.rows:
            self.drawn_to, self._rows_drawn = self.last["step"], self.rows

    def extend(self, rows: Sequence[MetricsRow]) -> None:
        alike: dict[tuple[str, ...], list[int]] = {}  # rows of the same names are turned into columns at once
        for index, row in enumerate(rows):
            alike.setdefault(tuple(row), []).append(index)
        parts: dict[str, list[tuple[list[int], Sequence[Any]]]] = {}
        for names, members in alike.items():
            for name, values in zip(names, zip(*(rows[index].values() for index in members), strict=True), strict=True):
                parts.setdefault(name, []).append((members, values))
        places = np.array([(row["step"], row.get("seconds", np.nan)) for row in rows], dtype=float)
        for name, pieces in parts.items():
            self._add(name, places, *_in_order(pieces))
        self.recent.extend(rows[-RECENT:])
        self.rows += len(rows)

    def _add(self, name: str, places: np.ndarray, members: np.ndarray, values: Sequence[Any]) -> None:
        """`values` of the rows `members`, of which `places` [n, 2] are step and seconds."""
        places = places[members]
        kinds = set(map(type, values))
        if str in kinds:
            return
        column = self.columns.get(name)
        if column is None:
            column = self.columns[name] = Column(listed=list in kinds)
        if kinds - ({list} if column.listed else {int, float, bool, NoneType}):  # None says nothing of any entry
            fits = [isinstance(value, list) == column.listed for value in values]
            places, values = places[fits], list(compress(values, fits))
        column.extend(places, values)


def _in_order(pieces: Sequence[tuple[list[int], Sequence[Any]]]) -> tuple[np.ndarray, Sequence[Any]]:
    """Row numbers and values of several pieces, by row number."""
    members = np.concatenate([np.array(index) for index, _ in pieces])
    if len(pieces) == 1:
        return members, pieces[0][1]
    order, values = np.argsort(members), [value for _, piece in pieces for value in piece]
    return members[order], [values[index] for index in order.tolist()]
