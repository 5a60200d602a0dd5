"""Changing an attack's knobs while it runs, and what was changed so far."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import streamlit as st

from core.config.knob_change import Change
from core.io.errors import InputError
from core.io.wording import counted
from core.reconstruction.registry import searches
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.status import Status
from core.runs.tuning import request
from pages.components.form import readable, widget
from pages.components.knobs import knobs, typed
from pages.components.runs import parent, plain

COLUMNS = 5


def tuning(run: Run, config: AttackConfig, status: Status) -> None:
    """The form while the run goes on, then the list of changes. It stands in a fragment that is drawn again and again:
    what somebody has typed stays, since a widget is a new one only where values or the list have changed."""
    changes = run.changes()
    if status.active and searches(config.method) and parent(run) is None:
        with st.expander("Tune while it runs", icon=":material/tune:", expanded=bool(changes), key=f"tune-{run.id}"):
            _form(run, config, status, stamp=f"{run.id}-{len(changes)}-{list(status.tunable.values())}")
            _list(changes, status)
    elif changes:
        with st.expander(f"{counted(len(changes), 'change')} on the way", icon=":material/tune:",
                         key=f"tune-{run.id}"):
            _list(changes, status)


def _form(run: Run, config: AttackConfig, status: Status, *, stamp: str) -> None:
    if not status.tunable:
        st.caption("The knobs appear once the search has begun. An attack that solves and does not search has none.")
        return
    shown = [knob for name in status.tunable for knob in knobs("attack") if knob.name == name]
    with st.form(f"tune-form-{run.id}", border=False):
        readers: dict[str, Callable[[], Any]] = {}
        for start in range(0, len(shown), COLUMNS):
            for column, knob in zip(st.columns(COLUMNS), shown[start:start + COLUMNS], strict=False):
                with column:
                    readers[knob.name] = widget(knob, "tune", status.tunable, stamp,
                                                disabled=status.state != "running")
        with st.container(horizontal=True, vertical_alignment="center"):
            sent = st.form_submit_button("Change", icon=":material/tune:", disabled=status.state != "running")
            st.caption("From its next step on the run goes on as if it had had these values from its start, schedules "
                       f"included (both learning rates: {config.lr_schedule}). A repeat makes the same changes.",
                       width="content")
    said = f"tune-said-{run.id}"  # a refresh must not wipe out the answer
    if sent:
        st.session_state[said] = _ask(run, readers, status.tunable)
    if st.session_state.get(said):
        st.error(st.session_state[said], icon=":material/error:")


def _ask(run: Run, readers: dict[str, Callable[[], Any]], present: dict[str, float]) -> str:
    """Ask for the values that differ from the present ones; a sentence where that is refused, else nothing."""
    try:
        values = {name: read() for name, read in readers.items()}
        wanted = {name: value for name, value in values.items() if value is not None and value != present[name]}
        if not wanted:
            raise InputError("No knob has another value yet: type one, then send it again.")
        request(run, wanted)
    except InputError as error:
        return readable("attack", str(error))
    return ""


def _list(changes: list[Change], status: Status) -> None:
    labels, lines = {knob.name: knob.label for knob in knobs("attack")}, []
    for step, made in groupby(changes, lambda change: change.step):
        when = "From step" if step <= status.step else "Planned from step"
        words = [f"{plain(labels[change.knob])} = **{typed(change.value)}**" for change in made]
        lines.append(f"{when} {step:,} on: {', '.join(words)}")
    st.markdown("  \n".join(lines))
