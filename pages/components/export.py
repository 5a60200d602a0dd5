"""Taking results out: one HTML report, the metrics as CSV, tensors as they are stored."""

import time
from collections.abc import Callable, Sequence

import streamlit as st

from core.io.csv_text import csv_text
from core.runs.directory import Run
from pages.components.plot import SAVED_AS

TENSORS = {"reconstruction.safetensors": "Reconstruction", "result.safetensors": "All tensors"}


def report_button(runs: Sequence[Run], *, key: str) -> None:
    """The file is made when it is asked for."""
    name = runs[0].id if len(runs) == 1 else f"{len(runs)}-runs-{time.strftime('%Y%m%d-%H%M')}"
    st.download_button("Report (HTML)", _report(runs), f"{name}.html", "text/html", key=key, icon=":material/article:",
                       on_click="ignore", help="One file with pictures, scores, curves, reasons, configs and commands. "
                       "It opens in any browser, without a network.")


def _report(runs: Sequence[Run]) -> Callable[[], str]:
    def write() -> str:
        from core.report.build import report  # the plots of a report are imported with the first one

        return report(runs)

    return write


def exports(run: Run) -> None:
    """Buttons for whatever the run has."""
    with st.container(horizontal=True):
        report_button([run], key=f"report-{run.id}")
        if run.file("metrics.jsonl").exists():
            st.download_button("Metrics (CSV)", lambda: csv_text(run.metrics()[0]), f"{run.id}-metrics.csv", "text/csv",
                               key=f"metrics-csv-{run.id}", icon=":material/table:", on_click="ignore",
                               help="Every recorded row; lists, such as one value a sample, have a column for each.")
        for file, label in TENSORS.items():
            if run.file(file).exists():
                st.download_button(f"{label} (safetensors)", run.file(file).read_bytes, f"{run.id}-{file}",
                                   "application/octet-stream", key=f"{file}-{run.id}", icon=":material/deployed_code:",
                                   on_click="ignore")
    st.segmented_control("The camera in the corner of a plot saves it as", list(SAVED_AS), default="SVG",
                         required=True, key="plot-format", persist_state="session")
    st.caption("The run's folder with all it builds on: "
               f"`python -m core export {run.id} {run.id}.zip`.")
