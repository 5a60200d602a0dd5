"""Evidence: claims, each with the experiment that could overturn it, its plot and our verdict."""


import streamlit as st

from core.io.errors import InputError
from core.io.wording import counted, duration
from core.plots.experiment_figures import scores_figure
from core.plots.experiments import score_chart, scored
from core.plots.reliability import reliability, reliability_figure
from core.plots.variants import HELP, arms_chart, arms_figure
from core.reconstruction.calibration import calibration
from core.runs.directory import Run
from core.runs.reports.studies import ExperimentRow
from core.runs.store import RunStore
from core.studies.claims import FAILS, HOLDS, LADDER, MIXED, Claim, Judgement
from core.studies.experiments.presets import PRESETS
from pages.components.actions import launch
from pages.components.layout import NAVIGATION, heading, inside_app, open_run, verdict_table
from pages.components.plot import plot
from pages.components.reading import table_rows
from pages.components.runs import plain, progress_text

VERDICTS = {HOLDS: (":material/check_circle:", "green"), FAILS: (":material/cancel:", "red"),
            MIXED: (":material/help:", "orange")}
UNBROKEN = "\u00a0"  # a space at which no line ends
LOOKS = {HOLDS: ("clear", "✓"), FAILS: ("failed", "✕"), MIXED: ("suspect", "!")}  # in the ladder


def evidence() -> None:
    inside_app("evidence")
    heading("evidence")
    store = RunStore()
    experiments = store.list(kind="experiment")
    states = {claim.key: _state(claim, experiments) for claim in LADDER}
    _ladder(states)
    st.subheader("The claims", anchor=False)
    base = next((run for run in store.list(kind="pretrain") if _usable(run)), None)
    for claim in LADDER:
        _claim(claim, *states[claim.key], base)
    _confidence()


def _usable(run: Run) -> bool:
    """A finished base that fine-tuning takes: fully connected, of one logit, of pictures."""
    config = run.config()
    return (run.status().state == "done" and config.network == "mlp"
            and config.problem not in ("toy-2d", "mnist-digits"))


def _state(claim: Claim, experiments: list[Run]) -> tuple[Run | None, list[ExperimentRow], Judgement | None]:
    """The newest experiment that bears on a claim: a judged one, else one that is under way."""
    mine = [run for run in experiments if run.config().preset == claim.preset]
    for run in mine:
        rows = table_rows(run, ExperimentRow)
        if run.status().state == "done" and (judged := claim.judge(rows)):
            return run, rows, judged
    going = next((run for run in mine if run.status().active), None)
    return going, table_rows(going, ExperimentRow) if going else [], None


def _ladder(states: dict[str, tuple[Run | None, list[ExperimentRow], Judgement | None]]) -> None:
    st.subheader("De-risk ladder", anchor=False)
    st.caption("The cheapest experiment that could overturn the plan comes first: climb only while the rungs below "
               "hold.")
    rows = []
    for rung, claim in enumerate(LADDER, 1):
        run, _, judged = states[claim.key]
        status = run.status() if run else None
        time = f"took {duration(status.seconds)}" if status and judged else f"about {claim.minutes} min"
        cost = f"{counted(claim.attacks(), 'attack')}, {time.replace(' ', UNBROKEN)}"
        state = judged.verdict if judged else status.state if status else "not tested yet"
        rows.append((*LOOKS.get(state, ("unknown", "?")), [state, f"{rung}. {claim.text}", claim.falsified, cost]))
    verdict_table(("State", "Claim", "Would be overturned by", "Cost on two cores"), rows)


def _claim(claim: Claim, run: Run | None, rows: list[ExperimentRow], judged: Judgement | None,
           base: Run | None) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**{claim.text}**", width="content")
            if judged:
                icon, colour = VERDICTS[judged.verdict]
                st.badge(judged.verdict, icon=icon, color=colour)
            else:
                st.badge("not tested yet" if run is None else "under way", color="gray")
        preset = PRESETS[claim.preset]
        st.caption(f"Claimed by: {claim.source}. Setting: {preset.title}, small. {preset.note}")
        if judged:
            st.markdown(f"**Our verdict: {judged.verdict}.** {judged.text}")
            _plot(claim, run, rows)
        elif run:
            st.progress(min(1.0, run.status().step / max(1, run.status().total)), text=progress_text(run.status()))
        _actions(claim, run, base)


def _confidence() -> None:
    """What attacks claim of their own images, against what came true."""
    shown = reliability(calibration())
    if shown is None:
        return
    st.subheader(shown.title, anchor=False, help=shown.help)
    with st.container(border=True):
        plot(reliability_figure(shown, revision="confidence"), key="confidence",
             alt=f"{shown.title}: share of recognisable images over confidence. {shown.words} {shown.help}")
        st.caption(shown.words)


def _plot(claim: Claim, run: Run, rows: list[ExperimentRow]) -> None:
    preset = PRESETS[claim.preset]
    if preset.arms:
        names = [arm.name for arm in preset.arms]
        plot(arms_figure(arms_chart(rows, names), revision=run.id), key=f"{claim.key}-{run.id}",
             alt=f"Mean SSIM and targets above 0.4 by setting: {', '.join(names)}. {HELP}")
    elif scored(rows):
        chart = score_chart(rows, preset.x)
        plot(scores_figure(chart, revision=run.id), key=f"{claim.key}-{run.id}",
             alt=f"{chart.title}: {chart.y_title} over {chart.x_title}. {chart.help}")


def _actions(claim: Claim, run: Run | None, base: Run | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        missing = claim.needs_base and base is None
        if st.button("Test it again" if run else "Test it", key=f"test-{claim.key}", icon=":material/play_arrow:",
                     disabled=missing or bool(run and run.status().active),
                     help=f"Runs {counted(claim.attacks(), 'attack')} one after another, on "
                     + ("bases of its own." if not claim.needs_base else "the newest base.")):
            try:
                started = launch(claim.config(base.id if base else ""))
                st.switch_page(NAVIGATION["experiment"].script, query_params={"run": started.id})
            except InputError as error:
                st.error(str(error), icon=":material/error:")
        if missing:
            st.page_link(NAVIGATION["pretrain"].script, label="Needs a finished base: pretrain one",
                         icon=NAVIGATION["pretrain"].icon)
        if run:
            open_run("experiment", run.id, label=f"Open {plain(run.id)}")


try:
    evidence()
except InputError as error:
    st.error(str(error), icon=":material/error:")
