"""Reading run directories for display: each byte of metrics once, each picture once, for all browsers together."""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import streamlit as st

from core.data.catalogue import DEFAULT, KINDS
from core.io.images import PICTURED, row_names, thumbnail, tiles
from core.plots.curves import Curves
from core.plots.panels import PANELS
from core.plots.patterns import read_rows
from core.runs.directory import Run
from core.runs.reports.attack import AttackReport
from core.runs.reports.read import Row, as_rows
from core.runs.reports.stored import Stored
from core.runs.reports.training import FinetuneReport, PretrainReport
from core.runs.store import RunStore, referred

MOST_FOLLOWED = 32  # runs whose numbers the server keeps
MOST_AHEAD = 4      # runs in flight whose numbers are read before anybody asks
CHUNK = 1 << 22     # bytes of metrics that are parsed at a time


class _Followed:
    """What one run's metrics.jsonl held when it was last looked at; one for all browsers."""

    def __init__(self, version: tuple[int, int]) -> None:
        self.version, self.offset = version, 0
        self.curves, self.rows = Curves(), []  # of a table: rows are models
        self.mutex = threading.Lock()

    def update(self, run: Run, tabled: type[Stored] | None) -> None:
        while True:
            rows, offset = run.metrics(self.offset, most=CHUNK)
            if offset < self.offset:  # cut while we looked: these rows begin at the start of the file
                self.curves, self.rows = Curves(), []
            self.offset = offset
            if tabled:
                self.rows.extend(as_rows(tabled, rows, run.file("metrics.jsonl")))
            else:
                self.curves.extend(rows)
            if not rows:
                return


@st.cache_resource(show_spinner=False)
def _followed() -> tuple[OrderedDict[str, _Followed], threading.Lock]:
    return OrderedDict(), threading.Lock()


def _follow(run: Run, tabled: type[Stored] | None = None) -> _Followed | None:
    """Only what was appended since the last call is read and parsed; as rows of the model `tabled`, else as curves.

    A resumed run cuts its file back to the checkpoint: another attempt, or another inode, starts afresh.
    """
    try:
        version = (run.stored_status().attempts, run.file("metrics.jsonl").stat().st_ino)
    except FileNotFoundError:
        return None
    kept, mutex = _followed()
    with mutex:
        key = f"{run.path} {tabled and tabled.__name__}"
        entry = kept.get(key)
        if entry is None or entry.version != version:
            entry = kept[key] = _Followed(version)
        kept.move_to_end(key)
        while len(kept) > MOST_FOLLOWED:
            kept.popitem(last=False)
    with entry.mutex:
        entry.update(run, tabled)
    return entry


def curves(run: Run) -> Curves:
    """The numbers so far of a run that is drawn as curves."""
    entry = _follow(run)
    if entry is None:
        return Curves()
    entry.curves.draw(all_of_it=not run.status().active)
    return entry.curves


def read_ahead(root: Path) -> None:
    """The numbers of the newest runs in flight: seconds for a long one, which its first reader need not wait for."""
    active = [run for run in RunStore(root).list() if run.status().active]
    for run in active[:MOST_AHEAD]:
        if run.config().kind in PANELS:  # others are shown as a table
            curves(run)


def table_rows(run: Run, model: type[Row]) -> list[Row]:
    """The rows so far of a run that is shown as a table: `ExperimentRow` of an experiment, `Trial` of a search."""
    entry = _follow(run, model)
    return entry.rows if entry else []


def pictures(path: Path) -> list[bytes]:
    """The single pictures of a grid PNG that a worker wrote; empty where there is none (yet)."""
    try:
        return _pictures(str(path), path.stat().st_mtime_ns)
    except FileNotFoundError:
        return []


@st.cache_data(max_entries=512, show_spinner=False)
def _pictures(path: str, stamp: int) -> list[bytes]:
    return tiles(Path(path).read_bytes())


def thumbnail_of(run: Run) -> bytes | None:
    """The first targets of a scored attack beside what was found of them, in one PNG; None where there are none."""
    report = run.outcome(AttackReport)
    assignment = report.score.assignment if report and report.score else []
    paths = [run.file("truth.png"), run.file("reconstruction.png")]
    if not assignment or not all(path.exists() for path in paths):
        return None
    return _thumbnail(*map(str, paths), tuple(path.stat().st_mtime_ns for path in paths), tuple(assignment[:PICTURED]))


@st.cache_data(max_entries=4096, show_spinner=False)
def _thumbnail(truth: str, found: str, stamps: tuple[int, ...], assignment: tuple[int | None, ...]) -> bytes:
    return thumbnail(Path(truth).read_bytes(), Path(found).read_bytes(), assignment)


def picture_rows(path: Path) -> dict[str, list[bytes]]:
    """The pictures of a grid PNG by the names of its rows; empty where there is none (yet)."""
    try:
        stamp = path.stat().st_mtime_ns
    except FileNotFoundError:
        return {}
    images, names = _pictures(str(path), stamp), _row_names(str(path), stamp)
    width = len(images) // max(1, len(names))
    return {name: images[index * width:(index + 1) * width] for index, name in enumerate(names)}


@st.cache_data(max_entries=512, show_spinner=False)
def _row_names(path: str, stamp: int) -> list[str]:
    return row_names(Path(path).read_bytes())


def gate_rows(path: Path, prefix: str) -> dict[str, Any]:
    """Neurons by samples that a worker stored as ``PREFIX.layers.l``; empty where there are none (yet)."""
    try:
        return _gate_rows(str(path), path.stat().st_mtime_ns, prefix)
    except FileNotFoundError:
        return {}


@st.cache_data(max_entries=64, show_spinner=False)
def _gate_rows(path: str, stamp: int, prefix: str) -> dict[str, Any]:
    return read_rows(Path(path), prefix)


def data_source(run: Run) -> str:
    """Where a run's data come from, in words: its own report, else its base's, else what was asked for."""
    report = run.report(PretrainReport) or run.report(FinetuneReport)
    source = report.data_source if report else ""
    if not source and run.config().kind == "finetune":
        base = referred(run, "base")
        return data_source(base) if base else ""
    names = KINDS[getattr(run.config(), "problem", DEFAULT)].sources
    return names.get(source or getattr(run.config(), "data_source", ""), source or "")
