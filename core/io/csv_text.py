"""Rows as CSV, for spreadsheets and other programs."""

import csv
import io
from collections.abc import Sequence
from typing import Any


def csv_text(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> str:
    """A header, then a line a row; nothing stands for a value that does not exist.

    Without `columns` every name that a row has is one, and lists, such as one value a sample, have a column for each.
    """
    if columns is None:
        rows = [_flat(row) for row in rows]
        columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if row.get(name) is None else row[name] for name in columns])
    return text.getvalue()


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= {f"{name}.{index}": item for index, item in enumerate(value)} if isinstance(value, list) else {
            name: value}
    return flat
