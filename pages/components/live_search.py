"""What a search shows: its gain, the trials across their knobs, which knob matters, the best images, the table."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from core.io.errors import InputError
from core.io.wording import counted, fixed, number
from core.plots.search import importance, marks, parallel, score_title
from core.plots.search_figures import importance_figure, marks_figure, parallel_figure
from core.runs.directory import Run
from core.runs.kinds import SearchConfig
from core.runs.reports.attack import AttackReport
from core.runs.reports.studies import Trial
from core.runs.status import Status
from core.runs.store import RunStore
from core.studies.search.trials import best, counts
from pages.components.knobs import knobs
from pages.components.layout import NAVIGATION, limits, open_run
from pages.components.pictures import final_pairs
from pages.components.plot import plot
from pages.components.reading import table_rows
from pages.components.runs import fraction, plain, progress_text

PARALLEL_HELP = ("A line is a trial, from its knobs to what came out; blue is better. Drag along an axis to keep the "
                 "trials in that range, click beside it to have all back. The residual of a pruned trial is that of "
                 "its middle.")
IMPORTANCE_HELP = ("fANOVA: the share of each knob, alone and together with others, in how the finished trials differ. "
                   "Over few trials it is a rough guide.")
MARKS_HELP = ("Each point is a trial. The attack sees the residual alone; the score needs the truth. Where points fall "
              "from left to right, a low residual means good images. Click one to open it.")


def search_view(run: Run, config: SearchConfig, status: Status) -> None:
    """Numbers, what runs now, the charts, the best images, limits, table."""
    rows = table_rows(run, Trial)
    winner = best(rows, config.objective)
    if config.objective == "ssim":
        st.warning("**Oracle.** Trials are judged by the truth, which no adversary has: a ceiling, no attack claim.",
                   icon=":material/visibility:")
    _numbers(config, rows, winner)
    with st.container():
        if status.active:
            _now(run, status)
    with st.container():
        if not rows:
            st.caption("The first line appears after the first trial.")
        _charts(run, config, rows)
    if winner:
        _winner(run, config, winner)
    with st.container():
        limits("How to read this", run.outcome())
    if rows:
        _table(run, config, rows)


def _numbers(config: SearchConfig, rows: list[Trial], winner: Trial | None) -> None:
    ended, first = counts(rows), rows[0] if rows else None
    with st.container(horizontal=True):
        st.metric("Trials", f"{len(rows)} of {config.trials}", border=True,
                  help=f"{ended['done']} finished, {ended['pruned']} pruned in the middle, {ended['failed']} failed.")
        _gain("Residual of the best trial", "residual", winner, first, number,
              "Of the released weights or update, the share that the best trial leaves unexplained.")
        _gain(f"{score_title(config).replace('mean', 'Mean')} of it", "mean_ssim", winner, first, fixed,
              "Of the same trial. " + ("It was chosen by this score." if config.objective == "ssim" else
                                       "The search never sees it."))
        top = best(rows, "ssim")
        if config.objective == "residual" and top:
            st.metric("Best mean SSIM of any trial (oracle)", fixed(top.mean_ssim), border=True,
                      help=f"Trial {top.trial}. Only the truth can point at it: a ceiling, no attack claim.")


def _gain(label: str, key: str, winner: Trial | None, first: Trial | None, text: Callable[[float | None], str],
          help: str) -> None:
    """A value of the best trial, beside that of the first."""
    value, before = (getattr(trial, key, None) for trial in (winner, first))
    known = None not in (value, before) and winner is not first
    st.metric(label, text(value), delta=f"first trial: {text(before)}" if known else None,
              delta_color="off", delta_arrow="off", border=True, help=help)


def _now(run: Run, status: Status) -> None:
    """The trial that is under way."""
    try:
        child = RunStore(run.path.parent).get(status.summary.get("current", ""))
        config, now = child.config(), child.status()
    except InputError:
        return
    if now.active:
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.progress(fraction(now), text=f"Now: {plain(config.name)} · {progress_text(now)}")
        with right:
            open_run("attack", child.id, label="Watch")


def _charts(run: Run, config: SearchConfig, rows: list[Trial]) -> None:
    labels = {knob.name: knob.label for knob in knobs("search")}
    lines, shares, points = parallel(config, rows, labels), importance(config, rows, labels), marks(config, rows)
    if lines:
        st.markdown("**Trials across their knobs**", help=PARALLEL_HELP)
        plot(parallel_figure(lines, revision=run.id), key=f"{run.id}-parallel",
             alt=f"Parallel coordinates of {counted(len(rows), 'trial')}. {PARALLEL_HELP}")
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Which knob matters**", help=IMPORTANCE_HELP)
        if shares:
            plot(importance_figure(shares, revision=run.id), key=f"{run.id}-importance",
                 alt=f"Share of each knob. {IMPORTANCE_HELP}")
        else:
            st.caption("Known after six finished trials." if rows else "No trial has ended yet.")
    with right:
        st.markdown("**Is a low residual a good image?**", help=MARKS_HELP)
        if len(points) < 2:
            st.caption("Known where the truth is, after two trials.")
            return
        clicked = plot(marks_figure(points, y_title=score_title(config), revision=run.id), key=f"{run.id}-marks",
                       selectable=True, alt=f"Residual against score. {MARKS_HELP}")
        asked = [point[0] for point in clicked]
        for row in (row for row in rows if row.attack in asked):
            with st.container(horizontal=True, vertical_alignment="center", border=True):
                st.markdown(f"**Trial {row.trial}** · residual {number(row.residual)} · mean SSIM "
                            f"{fixed(row.mean_ssim)}", width="content")
                open_run("attack", row.attack)


def _winner(run: Run, config: SearchConfig, winner: Trial) -> None:
    """The best trial: its knobs, its images, and the way to an attack with them."""
    try:
        child = RunStore(run.path.parent).get(winner.attack)
        report = child.report(AttackReport) or AttackReport()
    except InputError as error:
        st.caption(plain(str(error)))
        return
    by = "the truth (oracle)" if config.objective == "ssim" else "its residual"
    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"**Best trial: {winner.trial}**, by {by}", width="content")
            with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center",
                              width="content"):
                open_run("attack", child.id, label="Open the trial")
                if st.button("Attack with these knobs", key=f"onward-{run.id}", icon=NAVIGATION["attack"].icon,
                             type="primary", help="Opens the attack form with them filled in: give it more steps and "
                                                  "restarts there."):
                    st.switch_page(NAVIGATION["attack"].script, query_params={"like": child.id})
        labels = {knob.name: knob.label for knob in knobs("search")}
        st.caption(" · ".join(f"{labels[name]} **{number(value)}**" for name, value in winner.params.items()))
        if child.file("reconstruction.png").exists():
            final_pairs(child, report, size=56)


def _table(run: Run, config: SearchConfig, rows: list[Trial]) -> None:
    st.markdown("**Table**")
    shown = {name: knob.label for name in rows[0].params for knob in knobs("search") if knob.name == name}
    table: dict[str, list[Any]] = {
        "trial": [row.trial for row in rows], "open": [f"/attack?run={row.attack}" for row in rows],
        "ended": [f"pruned at {row.pruned_at:,}" if row.pruned_at is not None else row.state for row in rows],
        **{label: [row.params[name] for row in rows] for name, label in shown.items()},
        "residual": [row.residual for row in rows], score_title(config): [row.mean_ssim for row in rows],
        "seconds": [row.seconds for row in rows]}
    if any(row.reason for row in rows):
        table["reason"] = [row.reason for row in rows]
    formats = {**dict.fromkeys(shown.values(), "%.3g"), "residual": "%.3e", score_title(config): "%.3f",
               "seconds": "%.0f"}
    columns = {name: st.column_config.NumberColumn(format=format) for name, format in formats.items()}
    st.dataframe(table, hide_index=True, key=f"table-{run.id}", placeholder="–", alt="One row for each trial",
                 column_config={**columns, "open": st.column_config.LinkColumn(display_text="open", width="small")})
