"""What a pretraining run shows."""

import streamlit as st

from core.config.knob import RunConfig
from core.io.wording import number, percent
from core.plots.panels import pretrain_panels
from core.runs.directory import Run
from core.runs.reports.training import PretrainReport
from core.runs.status import Status
from pages.components.charts import grid
from pages.components.plane import trained_plane
from pages.components.reading import curves


def pretrain_view(run: Run, config: RunConfig, status: Status) -> None:
    """Four or five numbers, four curves."""
    drawn, report = curves(run), run.outcome(PretrainReport)
    last = {key: value for row in drawn.recent for key, value in row.items() if value is not None}
    if report:
        last |= {"log_loss": report.log_loss, "error": report.train_error, "kkt_residual": report.kkt_residual,
                 "margin": report.margin}
    with st.container(horizontal=True):
        st.metric("ln(mean loss)", number(last.get("log_loss")), border=True,
                  help="Natural logarithm of the mean cross-entropy: at -40 the network is wrong about a training "
                  "sample by 4e-18 on average.")
        st.metric("Training error", percent(last.get("error")), border=True,
                  help="Share of the training samples on the wrong side.")
        st.metric("KKT residual", number(last.get("kkt_residual")), border=True,
                  help="0 is stationary, 1 is unrelated.")
        st.metric("Normalised margin", number(last.get("margin")), border=True,
                  help="Smallest y·f(x) over the training samples, divided by the weights' norm to the power of the "
                  "depth. Training towards a KKT point raises it.")
        if report and report.holdout_accuracy is not None:
            st.metric("Hold-out accuracy", percent(report.holdout_accuracy), border=True,
                      help="Of samples of the same problem that the base never saw.")
    trained_plane(run)
    grid(pretrain_panels(drawn), run.id)
