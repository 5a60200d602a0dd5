"""The plane of a network whose inputs are points: what trained it, and what an attack finds there."""

import json
from pathlib import Path
from typing import Any

import streamlit as st
from safetensors.numpy import load_file

from core.data.catalogue import KINDS
from core.diagnostics.plane import Points, plane, points
from core.runs.directory import Run
from pages.components.charts import chart

CLASSES = KINDS["toy-2d"].classes


def trained_plane(run: Run) -> None:
    """Of a pretraining that has ended: training points, as large as their pull on the weights."""
    data = _landscape(run)
    if data:
        chart(plane(data, [_marks("training point", data["x"], data["labels"], data["multipliers"])], CLASSES), run.id)


def attacked_plane(run: Run, found: Path | None, labels: list[int], name: str) -> bool:
    """Of an attack: the points in the file `found` beside the truth, where it is known; False where there is none."""
    data = _landscape(run)
    if not data:
        return False
    truth = run.file("truth.safetensors")
    known = load_file(truth) if truth.exists() else None
    marks = [_marks("training point", known["x"], known["labels"]) if known else Points("training point", [], [], [])]
    if found is not None and found.exists():
        x = load_file(found)["x"]
        marks.append(_marks(name, x, labels if len(labels) == len(x) else [1] * len(x)))
    chart(plane(data, marks, CLASSES), run.id)
    if not known:
        st.caption("The training points appear once the attack is scored; it never sees them.")
    return True


def _marks(name: str, x: Any, labels: Any, sizes: list[float] | None = None) -> Points:
    return points(name, x, [int(label) for label in labels], sizes)


def _landscape(run: Run) -> dict[str, Any] | None:
    path = run.file("plane.json")
    return json.loads(path.read_text()) if path.exists() else None
