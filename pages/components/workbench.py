"""The page of one kind of run: its form with the list of runs, or one run's view."""

from typing import Any

import streamlit as st

from core.io.errors import InputError
from core.runs.directory import Run
from core.runs.store import RunStore
from pages.components.experiment_form import choose_grid
from pages.components.forecast import choose_attack, choose_finetuning
from pages.components.form import launch_form
from pages.components.layout import NAVIGATION, heading, inside_app, paged
from pages.components.live import show_run
from pages.components.presets import NOTES, PRESETS
from pages.components.references import Choice
from pages.components.runs import caption, own, parent, row
from pages.components.search_form import choose_search

LISTED = 12
ATTACK_BASE = "KKT"  # the preset for a base alone
CHOOSERS = {"finetune": choose_finetuning, "attack": choose_attack, "experiment": choose_grid,
            "search": choose_search}


def workbench(kind: str) -> None:
    """``?run=ID`` shows that run, with ``&like=ID`` beside the one it was made from; ``?like=ID`` alone prefills the
    form from it."""
    inside_app(kind)
    run = _asked_for(kind)
    if run is None:
        heading(kind)
        _new(kind)
        return
    # A point of an experiment or a trial stands among the others of it, any other run among those people launched.
    runs = {item.id: item for item in RunStore().list(kind=kind) if parent(item) == parent(run)}
    with st.container(horizontal=True, vertical_alignment="bottom", key="chrome-runs"):
        chosen = st.selectbox(f"{NAVIGATION[kind].title.removesuffix('s')} run", list(runs),
                              index=list(runs).index(run.id), key=f"shown-{_visit(run)}",
                              format_func=lambda run_id: caption(runs[run_id]))
        if chosen != run.id:
            st.query_params.from_dict({"run": chosen})
            st.rerun()
        paused = False
        if run.status().active:
            paused = st.toggle("Pause refresh", key=f"paused-{run.id}", help="The run goes on; only this page rests.")
        st.button(f"New {NAVIGATION[kind].noun}", icon=":material/add:", on_click=st.query_params.clear)
    show_run(run, paused=paused)


def _asked_for(kind: str) -> Run | None:
    run_id = st.query_params.get("run")
    if run_id is None:
        return None
    try:
        run = RunStore().get(run_id)
        actual = run.config().kind
        run.status()
    except InputError as error:
        st.error(str(error), icon=":material/error:")
        return None
    if actual != kind:
        st.switch_page(NAVIGATION[actual].script, query_params={"run": run_id})
    return run


def _visit(run: Run) -> int:
    """Another number whenever another run is shown.

    The browser may send the value of a select box that is long gone; under a key of its own, and
    without a callback, it cannot lead away from a run that was just started.
    """
    last, number = st.session_state.get("visit", ("", 0))
    if last != run.id:
        number += 1
        st.session_state["visit"] = (run.id, number)
    return number


def _new(kind: str) -> None:
    form, runs = st.columns([0.7, 0.3], gap="large")
    with form:
        defaults, stamp = _prefill(kind)
        choice = CHOOSERS[kind](defaults, stamp) if kind in CHOOSERS else Choice()
        launched = launch_form(kind, defaults=defaults, choice=choice, stamp=stamp,
                               label=f"Start {NAVIGATION[kind].noun if kind != 'pretrain' else 'pretraining'}")
        if launched:
            like = st.query_params.get("like", "")
            st.query_params.from_dict({"run": launched.id, **({"like": like} if like else {})})
            st.rerun()
    with runs:
        _list(kind)


def _prefill(kind: str) -> tuple[dict[str, Any], str]:
    """Values to start from, and a stamp that names where they come from."""
    like = st.query_params.get("like")
    if like is not None:
        try:
            run = RunStore().get(like)
            config = run.config()
            if config.kind == kind:
                changes = run.changes()
                made = " It makes the same changes at the same steps: they stand under Expert." if changes else ""
                st.info(f"Prefilled from {caption(run)}.{made}", icon=":material/content_copy:")
                return config.model_dump() | ({"changes": changes} if changes else {}), like
            st.error(f"like: {like} is a run of kind {config.kind}, not {kind}.", icon=":material/error:")
        except InputError as error:
            st.error(str(error), icon=":material/error:")
    names = list(PRESETS[kind])
    preset = st.pills("Start from", names, default=names[0], required=True, key=f"preset-{kind}",
                      persist_state="session", wrap=True)
    st.caption(NOTES[kind, preset])
    defaults = dict(PRESETS[kind][preset])
    given = {"finetune": "base", "attack": "finetune", "experiment": "base", "search": "base"}.get(kind)
    reference = st.query_params.get(given) if given else None
    if kind == "attack" and (base := st.query_params.get("base")):  # its own training set, out of its weights alone
        checkpoint = str((RunStore().root / base / "result.safetensors").absolute())
        return PRESETS[kind][ATTACK_BASE] | {"checkpoint": checkpoint}, f"{ATTACK_BASE}-{base}"
    if reference:
        return defaults | {given: reference}, f"{preset}-{reference}"
    return defaults, preset


def _list(kind: str) -> None:
    st.markdown("**Runs**")
    runs = own(RunStore().list(kind=kind))
    if not runs:
        st.caption("None yet. The one you start appears here.")
    shown, place = paged(runs, LISTED, key=f"list-page-{kind}")
    with place, st.container(key="runlist", gap="xsmall"):
        for run in shown:
            row(run)
