"""Reading run directories for display: each byte of metrics once, each picture once."""

from pathlib import Path
from typing import Any

import streamlit as st

from core.data.kinds import DEFAULT, KINDS
from core.runs.directory import Run
from core.runs.store import referred
from core.viz.images import tiles
from core.viz.patterns import read_rows
from core.viz.series import Row

MOST_FOLLOWED = 12  # runs whose rows one browser session keeps


def metrics(run: Run) -> list[Row]:
    """All rows so far. Only what was appended since the last call is read and parsed.

    A resumed run cuts its file back to the checkpoint: another attempt, or another inode, starts afresh.
    """
    kept: dict[str, dict[str, Any]] = st.session_state.setdefault("followed_metrics", {})
    path = run.file("metrics.jsonl")
    try:
        version = (run.stored_status().attempts, path.stat().st_ino)
    except FileNotFoundError:
        return []
    entry = kept.pop(str(run.path), None)
    if entry is None or entry["version"] != version:
        entry = {"version": version, "offset": 0, "rows": []}
    rows, offset = run.metrics(entry["offset"])
    if offset < entry["offset"]:  # cut while we looked: these rows are the whole file
        entry["rows"] = []
    entry["offset"] = offset
    entry["rows"].extend(rows)
    kept[str(run.path)] = entry  # last in the order of use
    while len(kept) > MOST_FOLLOWED:
        kept.pop(next(iter(kept)))
    return entry["rows"]


def pictures(path: Path) -> list[bytes]:
    """The single pictures of a grid PNG that a worker wrote; empty where there is none (yet)."""
    try:
        return _pictures(str(path), path.stat().st_mtime_ns)
    except FileNotFoundError:
        return []


@st.cache_data(max_entries=512, show_spinner=False)
def _pictures(path: str, stamp: int) -> list[bytes]:
    return tiles(Path(path).read_bytes())


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
    source = (run.report() or {}).get("data_source")
    if not source and run.config().kind == "finetune":
        base = referred(run, "base")
        return data_source(base) if base else ""
    names = KINDS[getattr(run.config(), "problem", DEFAULT)].sources
    return names.get(source or getattr(run.config(), "data_source", ""), source or "")
