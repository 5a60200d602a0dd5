"""What a page may do: create and submit a run, stop it, resume it. Failures become one sentence."""

from pathlib import Path
from typing import Any

import streamlit as st

from core.execution.queue_entry import waiting
from core.io.errors import InputError
from core.runs.directory import Run
from core.runs.kinds import parse_config
from core.runs.store import RunStore

# The scheduler behind `core.execution.queue` is imported on the first action, not with every page.


@st.cache_resource(show_spinner=False)
def recover(root: str) -> str:
    """Once for each server: place the runs again that wait in the queue of a cluster that is gone (a reboot).

    Returns a sentence for people where that failed, else nothing.
    """
    if not waiting(Path(root)):
        return ""
    from core.execution import queue

    try:
        queue.recover(Path(root))
    except InputError as error:
        return str(error)
    return ""


def launch(values: dict[str, Any]) -> Run:
    """Validate, create, submit. Raises `InputError`; a run that could not be placed stays visible as pending."""
    from core.execution import queue

    run = RunStore().create(parse_config(values))
    queue.submit(run)
    return run


def stop(run: Run) -> None:
    """Button callback."""
    from core.execution import queue

    _report(queue.stop, run)


def resume(run: Run) -> None:
    """Button callback."""
    from core.execution import queue

    _report(queue.resume, run)


def _report(action: Any, run: Run) -> None:
    """Callbacks cannot draw; the view shows what is left here, once."""
    try:
        action(run)
    except InputError as error:
        st.session_state["action_error"] = str(error)


def show_action_error() -> None:
    if message := st.session_state.pop("action_error", None):
        st.error(message, icon=":material/error:")
