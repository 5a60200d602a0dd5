"""What an experiment shows: the score over its axis, what explains it, and the table, as they fill."""

from typing import Any

import streamlit as st

from core.config.experiment import ExperimentConfig
from core.io.errors import InputError
from core.io.wording import fixed, number
from core.plots.experiment_figures import reasons_figure, scores_figure
from core.plots.experiments import point_name, reason_charts, score_chart, scored
from core.plots.variants import HELP, arm_name, arms_chart, arms_figure
from core.runs.directory import Run
from core.runs.reports.studies import ExperimentRow
from core.runs.status import Status
from core.runs.store import RunStore
from core.studies.experiments.presets import PRESETS
from core.studies.experiments.table import to_csv
from pages.components.layout import limits, open_run
from pages.components.plot import plot
from pages.components.reading import table_rows
from pages.components.runs import fraction, plain, progress_text

# Column of the table: (its name, places after the point; None as it is).
COLUMNS = {
    "arm": ("setting", None), "adaptation": ("adaptation", None), "rank": ("rank", None), "steps": ("T", None),
    "samples": ("N", None), "seed": ("seed", None), "coefficients": ("coefficients", None),
    "features": ("features at", None), "mean_ssim": ("mean SSIM", "%.3f"),
    "mean_image_ssim": ("mean image", "%.3f"), "wrong_release_ssim": ("wrong release", "%.3f"),
    "finding": ("finding", None), "recovered": ("SSIM > 0.4", None),
    "wrong_release_recovered": ("SSIM > 0.4, wrong release", "%.1f"),
    "targets": ("targets", None), "mean_psnr": ("PSNR (dB)", "%.1f"),
    "residual": ("residual", "%.2e"), "base_residual": ("KKT residual of the base", "%.3f"),
    "largest_coefficient": ("largest coefficient", "%.1e"),
    "flips": ("flips (share)", "%.4f"), "feature_cosine": ("feature cosine", "%.4f"),
    "coefficient_drift": ("coefficient drift", "%.3f"), "weight_change": ("weight change", "%.2e"),
    "loss_before": ("loss before", "%.3g"), "loss_after": ("loss after", "%.3g"),
    "learning_rate": ("learning rate", "%.2e"), "seconds": ("seconds", "%.0f"), "state": ("state", None),
    "reason": ("reason", None),
}

LINKS = {"attack": "attack", "finetune": "fine-tuning", "pretrain": "pretraining"}


def experiment_view(run: Run, config: ExperimentConfig, status: Status) -> None:
    """Numbers, what runs now, the two plots, limits, table."""
    rows, preset = table_rows(run, ExperimentRow), PRESETS[config.preset]
    scores = [row.mean_ssim for row in scored(rows)]
    failed = sum(row.state == "failed" for row in rows)
    with st.container(horizontal=True):
        st.metric("Points", f"{len(rows)} of {status.total}" if status.total else number(len(rows)), border=True,
                  help="Attacks that have ended, of all that the grid holds.")
        st.metric("Failed", number(failed), border=True, help="The table says why. The others do not suffer.")
        st.metric("Best mean SSIM", fixed(max(scores, default=None)), border=True,
                  help="Of one point, over all its targets.")
        st.metric("Lowest mean SSIM", fixed(min(scores, default=None)), border=True,
                  help="Of one point, over all its targets.")
    with st.container():
        if status.active:
            _now(run, status)
    if scores and preset.arms:
        _arms(run, rows, [arm.name for arm in preset.arms])
    elif scores:
        _plots(run, rows, preset.x)
    else:
        st.caption("The first point of the plot appears after the first attack." if status.active or not rows else
                   "No point has a score.")
    with st.container():
        limits("How to read this", run.outcome())
    if rows:
        _table(run, rows)


def _now(run: Run, status: Status) -> None:
    """The child that is under way."""
    try:
        child = RunStore(run.path.parent).get(status.summary.get("current", ""))
        config, now = child.config(), child.status()
    except InputError:
        return
    if now.active:
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.progress(fraction(now), text=f"Now: {config.kind}, {plain(config.name)} · {progress_text(now)}")
        with right:
            open_run(config.kind, child.id, label="Watch")


def _arms(run: Run, rows: list[ExperimentRow], names: list[str]) -> None:
    chart = arms_chart(rows, names)
    st.markdown("**What comes back**", help=HELP)
    clicked = plot(arms_figure(chart, revision=run.id), key=f"{run.id}-arms", selectable=True,
                   alt=f"Mean SSIM, and targets above 0.4, by setting: {', '.join(names)}. {HELP}")
    st.caption("Each point is one attack on a network trained on the targets themselves. Click a point to open its "
               "runs.")
    with st.container():
        _selected(rows, clicked)


def _plots(run: Run, rows: list[ExperimentRow], x: str) -> None:
    chart, clouds = score_chart(rows, x), reason_charts(rows)
    st.markdown(f"**{chart.title}**", help=chart.help)
    main = plot(scores_figure(chart, revision=run.id), key=f"{run.id}-scores", selectable=True,
                alt=f"{chart.title}: {chart.y_title} over {chart.x_title}. {chart.help}")
    help = " ".join(f"{cloud.title}: {cloud.help}" for cloud in clouds)
    st.markdown("**Why it works or fails**", help=help)
    st.caption("Each point is one attack: its score against what the fine-tuning did. Measured with the truth, which "
               "the attack never sees. Click a point, here or above, to open its runs.")
    reasons = plot(reasons_figure(clouds, revision=run.id), key=f"{run.id}-reasons", selectable=True,
                   alt=f"Score against four reasons. {help}")
    with st.container():
        _selected(rows, main + reasons)


def _selected(rows: list[ExperimentRow], points: list[Any]) -> None:
    """Links to the runs of the points that were clicked."""
    asked = [point[0] for point in points]
    for row in (row for row in rows if row.attack in asked):
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            name = arm_name(row) if row.arm else point_name(row)
            st.markdown(f"**{plain(name)}** · mean SSIM {fixed(row.mean_ssim)}", width="content")
            open_run("attack", row.attack, label="Open the attack")
            if row.finetune:
                open_run("finetune", row.finetune, label="Open the fine-tuning")
            if row.pretrain:
                open_run("pretrain", row.pretrain, label="Open the base")


def _table(run: Run, rows: list[ExperimentRow]) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown("**Table**", width="content")
        st.download_button("Download CSV", to_csv(rows), file_name=f"{run.id}.csv", mime="text/csv",
                           icon=":material/download:", key=f"csv-{run.id}", on_click="ignore")
    shown = [name for name in COLUMNS if any(getattr(row, name) not in (None, "") for row in rows)]
    # An address from the root: the page itself may stand under /experiments.
    table = {name: [f"/{kind}?run={getattr(row, kind)}" if getattr(row, kind) else None for row in rows]
             for kind, name in LINKS.items() if any(getattr(row, kind) for row in rows)}
    table |= {COLUMNS[name][0]: [getattr(row, name) for row in rows] for name in shown}
    numbers = {COLUMNS[name][0]: st.column_config.NumberColumn(format=COLUMNS[name][1]) for name in shown
               if COLUMNS[name][1]}
    links = {name: st.column_config.LinkColumn(display_text="open", width="small") for name in LINKS.values()
             if name in table}
    st.dataframe(table, hide_index=True, column_config={**numbers, **links}, key=f"table-{run.id}", placeholder="–",
                 alt="One row for each point of the experiment")
