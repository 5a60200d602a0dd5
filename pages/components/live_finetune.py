"""What a fine-tuning run shows: who will be visible, and what training did to the features."""

import streamlit as st

from core.config.knob import RunConfig
from core.io.wording import fixed, number, percent
from core.plots.figures import MOST_PICTURED
from core.plots.panels import finetune_panels, visibility_bars
from core.runs.directory import Run
from core.runs.reports.training import FinetuneReport
from core.runs.status import Status
from pages.components.anatomy import flipped_anatomy
from pages.components.charts import chart, grid
from pages.components.forecast import finished_forecast
from pages.components.layout import limits
from pages.components.pictures import TRUTH, strip
from pages.components.reading import curves, pictures


def finetune_view(run: Run, config: RunConfig, status: Status) -> None:
    """Visibility first: it decides what any attack can do."""
    drawn, report = curves(run), run.outcome(FinetuneReport)
    last = drawn.last
    flips = [value for key, value in last.items() if key.startswith("flips.") and value is not None]
    with st.container(horizontal=True):
        st.metric("Loss", number(last.get("loss")), border=True,
                  help="Mean cross-entropy over the private samples at the last step.")
        if report and status.summary.get("visible") is not None:
            st.metric("Above the floor", f"{status.summary['visible']} of {len(report.visibility)}", border=True,
                      help="Samples whose coefficient is above the rounding floor of what is released.")
        st.metric("Largest flip share", percent(max(flips, default=None)), border=True,
                  help="Share of (sample, neuron) pairs that switched, in the layer with the most.")
        st.metric("Feature cosine", fixed(last.get("feature_cosine_mean"), 4), border=True,
                  help="Mean over the samples; above 0.99 the frozen-feature attack fits.")
        st.metric("Weight change", number(last.get("weight_change")), border=True,
                  help="Norm of the update against that of the base. The frozen-feature (NTK) picture holds below "
                  "about 0.01.")
    truth = pictures(run.file("truth.png"))
    bars = visibility_bars(report, pictures=truth or None)
    loss, *others = finetune_panels(drawn)
    left, right = st.columns([2, 1], gap="medium")
    with left:
        if bars:
            chart(bars, run.id)
        else:
            st.markdown("**Visibility of each private sample**")
            st.caption("Appears when the fine-tuning has ended.")
    with right:
        chart(loss, run.id)
    with st.container():
        limits("What will limit an attack", report)
    with st.container():
        finished_forecast(run, config, report)
    with st.container():
        if truth and not (bars and len(truth) <= MOST_PICTURED):  # else their pictures are under the bars
            st.markdown(f"**The private samples** ({TRUTH})")
            strip(truth, noun="private sample")
    grid(others, run.id, columns=3)
    with st.container():
        flipped_anatomy(run, report)
