"""Guided demo: five live steps from a public base to what a small rank protects."""

import streamlit as st

from core.io.errors import InputError
from core.io.wording import counted, duration
from core.runs.directory import Run
from core.runs.reports.attack import AttackReport
from core.runs.store import RunStore
from core.studies.guided import ROLES, STEPS, Step, config_values
from pages.components.actions import launch, stop
from pages.components.export import report_button
from pages.components.layout import NAVIGATION, heading, inside_app, open_run, present
from pages.components.pictures import TRUTH, final_pairs, pairs, strip
from pages.components.reading import pictures
from pages.components.runs import badge, band, fraction, plain, progress_text

REFRESH_SECONDS = 1.0


def made() -> dict[str, Run]:
    """Role to run, from the address: a reload finds them again."""
    found = {}
    for role, run_id in zip(ROLES, filter(None, st.query_params.get("made", "").split(",")), strict=False):
        try:
            run = RunStore().get(run_id)
            run.status()
            found[role] = run
        except InputError as error:
            st.error(str(error), icon=":material/error:")
            break
    return found


def begin(role: str, runs: dict[str, Run]) -> None:
    """Launch the run of `role`; the address keeps it."""
    ids = {name: run.id for name, run in runs.items()}
    try:
        ids[role] = launch(config_values(role, ids)).id
    except InputError as error:
        st.session_state["guided_error"] = str(error)
        return
    st.query_params["made"] = ",".join(ids.values())


def following(runs: dict[str, Run]) -> str | None:
    """The role whose run comes next; None while one goes on, where one ended otherwise, and after the last."""
    if any(run.status().state != "done" for run in runs.values()):
        return None
    return next((role for role in ROLES if role not in runs), None)


def watch() -> None:
    """All steps; while they go on, the next one begins by itself."""
    runs = made()
    role = following(runs)
    if runs and role and "guided_error" not in st.session_state:
        begin(role, runs)
        runs = made()
        st.rerun()
    if runs and not going(runs) and st.session_state.get("guided_going"):
        st.session_state["guided_going"] = False
        st.rerun()  # the whole page: the timer ends
    for number, step in enumerate(STEPS, 1):
        show(number, step, runs)
    if len(runs) == len(ROLES) and not going(runs):
        ending(runs)


def going(runs: dict[str, Run]) -> bool:
    states = [run.status().state for run in runs.values()]
    return bool(states) and (any(run.status().active for run in runs.values())
                             or (len(runs) < len(ROLES) and all(state == "done" for state in states)))


def show(number: int, step: Step, runs: dict[str, Run]) -> None:
    mine = {role: runs[role] for role in step.makes if role in runs}
    done = len(mine) == len(step.makes) and all(run.status().state == "done" for run in mine.values())
    with st.container(border=True, key=f"guided-{number}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(f"{number} · {step.title}", anchor=False, width="content")
            if mine:
                badge(list(mine.values())[-1].status())
        st.markdown(step.after if done else step.before)
        for run in mine.values():
            one(run)


def one(run: Run) -> None:
    """The run's pictures as far as they are, or its progress."""
    config, status = run.config(), run.status()
    if status.active:
        left, right = st.columns([6, 1], vertical_alignment="center")
        left.progress(fraction(status), text=progress_text(status))
        with right:
            st.button("Stop", key=f"guided-stop-{run.id}", icon=":material/stop:", on_click=stop, args=(run,))
        if config.kind == "attack" and (taken := run.snapshots()):
            pairs(pictures(run.file("truth.png")), pictures(taken[-1][1]), matched=False, size=112,
                  found_name=f"step {taken[-1][0]:,}")
        return
    if status.state != "done":
        st.warning(plain(status.message or f"This step was {status.state}."), icon=":material/pause_circle:")
    elif config.kind == "pretrain":
        st.html(f'<div class="ai-band">{band(run, config)}</div>')
    elif config.kind == "finetune":
        strip(pictures(run.file("truth.png")), noun="private digit", size=112)
        st.caption(f"The {TRUTH}")
    else:
        final_pairs(run, run.outcome(AttackReport) or AttackReport(), size=112)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{duration(status.seconds)} of computing", width="content")
        open_run(config.kind, run.id)


def ending(runs: dict[str, Run]) -> None:
    attacks = [run for run in runs.values() if run.config().kind == "attack"]
    took = sum(run.status().seconds for run in runs.values())
    st.success(f"{counted(len(runs), 'run')} in {duration(took)} of computing. All of them are ordinary runs, and can "
               "be opened, repeated and changed.", icon=":material/check_circle:")
    with st.container(horizontal=True):
        if st.button("Compare the three attacks", icon=NAVIGATION["compare"].icon, type="primary"):
            st.switch_page(NAVIGATION["compare"].script, query_params={"runs": ",".join(run.id for run in attacks)})
        report_button(attacks, key="report-guided")


def demo() -> None:
    inside_app("demo")
    heading("demo")
    runs = made()
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Start again" if runs else "Start the demo", icon=":material/play_arrow:",
                     type="secondary" if runs else "primary", disabled=going(runs),
                     help="Six small runs, one after the other: about a minute and a half on two cores."):
            st.session_state.pop("guided_error", None)
            st.query_params.pop("made", None)
            begin(ROLES[0], {})
            st.rerun()
        present()
    if not runs:
        st.caption("Nothing of it is made yet. This page may be closed meanwhile: its address finds the demo again.")
    if message := st.session_state.pop("guided_error", None):
        st.error(message, icon=":material/error:")
    st.session_state["guided_going"] = going(runs)
    st.fragment(run_every=REFRESH_SECONDS if going(runs) else None)(watch)()


demo()
