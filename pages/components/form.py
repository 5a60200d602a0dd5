"""The launch form of a kind of run, generated from its config model."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from core.io.errors import InputError
from core.runs.directory import Run
from pages.components.actions import launch
from pages.components.knobs import CHOICES, EMPTY, EMPTY_IN_GRID, Knob, knobs, parse, typed
from pages.components.references import Choice
from pages.components.slider import slider

COLUMNS = 3


def launch_form(kind: str, *, defaults: dict[str, Any], choice: Choice, stamp: str, label: str) -> Run | None:
    """Draw the form; returns the launched run.

    `defaults` prefill knobs, `choice` comes from widgets outside. Another `stamp` (preset, copied
    run) makes fresh widgets, so that prefills show.
    """
    shown = [knob for knob in knobs(kind) if knob.name not in choice.fixed and knob.name not in choice.hidden]
    basic = [knob for knob in shown if not knob.expert or knob.name in choice.promoted]
    with st.form(f"launch-{kind}-{stamp}", border=True):
        readers = _draw(sorted(basic, key=lambda knob: knob.name not in choice.promoted), kind, defaults, stamp)
        with st.expander("Expert", icon=":material/settings:"):
            readers |= _draw([knob for knob in shown if knob not in basic], kind, defaults, stamp)
        with st.container(horizontal=True, vertical_alignment="center"):
            submitted = st.form_submit_button(label, type="primary", icon=":material/play_arrow:")
            st.caption("It runs as a process of its own: this page may be closed and opened again.", width="content")
        if submitted:
            try:
                return launch({"kind": kind, **choice.fixed, **{name: read() for name, read in readers.items()}})
            except InputError as error:
                st.error(readable(kind, str(error)), icon=":material/error:")
    return None


def live_knobs(kind: str, names: Sequence[str], defaults: dict[str, Any], stamp: str, *,
               columns: int = COLUMNS) -> dict[str, Any]:
    """Knobs outside the form, whose values count at once; what cannot be read is said, and refused at the launch."""
    known = {knob.name: knob for knob in knobs(kind)}
    shown, values = [known[name] for name in names], {}
    wide = [[knob] for knob in shown if knob.name in CHOICES]
    rest = [knob for knob in shown if knob.name not in CHOICES]
    for row in [*wide, *(rest[start:start + columns] for start in range(0, len(rest), columns))]:
        places = [st.container()] if row[0].name in CHOICES else st.columns(columns)
        for place, knob in zip(places, row, strict=False):
            with place:
                read = widget(knob, kind, defaults, stamp)
                try:
                    values[knob.name] = read()
                except InputError as error:
                    st.error(readable(kind, str(error)), icon=":material/error:")
                    values[knob.name] = "not readable"  # the launch refuses it
    return values


def readable(kind: str, message: str) -> str:
    """An error sentence with the field's label in front of its name."""
    name, separator, rest = message.partition(": ")
    labels = {knob.name: knob.label for knob in knobs(kind)}
    return f"**{labels[name]}** (`{name}`): {rest}" if separator and name in labels else message


def _draw(shown: Sequence[Knob], kind: str, defaults: dict[str, Any], stamp: str) -> dict[str, Callable[[], Any]]:
    """Widgets in rows, so that tabbing goes along a row; returns how to read each value."""
    readers: dict[str, Callable[[], Any]] = {}
    for knob in (knob for knob in shown if knob.name in CHOICES):  # these explain themselves over the whole width
        readers[knob.name] = widget(knob, kind, defaults, stamp)
    rest = [knob for knob in shown if knob.name not in CHOICES]
    for start in range(0, len(rest), COLUMNS):
        for column, knob in zip(st.columns(COLUMNS), rest[start:start + COLUMNS], strict=False):
            with column:
                readers[knob.name] = widget(knob, kind, defaults, stamp)
    return readers


def widget(knob: Knob, kind: str, defaults: dict[str, Any], stamp: str, *,
           disabled: bool = False) -> Callable[[], Any]:
    """One input. Numbers are typed (1e-3 and 1,000 both work), since no slider hits 149.87, or dragged."""
    value = defaults.get(knob.name, knob.default)
    common = {"help": knob.hint, "key": f"{kind}/{stamp}/{knob.name}", "persist_state": "session",
              "disabled": disabled}
    if knob.name in CHOICES:
        meanings = {option: text for option, text in CHOICES[knob.name].items() if option in knob.options}
        options = [*meanings, *(option for option in knob.options if option not in meanings)]
        chosen = st.radio(knob.label, options, index=options.index(value), horizontal=True,
                          captions=[meanings.get(option, "") for option in options], **common)
        return lambda: chosen
    if knob.type == "choice":
        picked = st.selectbox(knob.label, knob.options, index=knob.options.index(value), **common)
        return lambda: picked
    if knob.type == "choices":
        several = st.pills(knob.label, knob.options, default=value or [], selection_mode="multi", **common)
        return lambda: [option for option in knob.options if option in several] or (None if knob.optional else [])
    if knob.type == "names":
        named = st.multiselect(knob.label, list(dict.fromkeys([*knob.options, *(value or [])])), default=value or [],
                               accept_new_options=True, placeholder="all" if knob.optional else "name one", **common)
        return lambda: list(named) or (None if knob.optional else [])
    if knob.type == "switch":
        on = st.toggle(knob.label, value=value, **common)
        return lambda: on
    if knob.type == "text":
        text = st.text_input(knob.label, value=value or "", **common)
        return lambda: text.strip()
    empty = (EMPTY_IN_GRID if kind == "experiment" else EMPTY.get(knob.name, "automatic")) if knob.optional else None
    with st.container(gap=None):
        if knob.type == "int" and knob.scale == "linear" and not knob.optional:
            entered = st.number_input(knob.label, value=value, step=1, **common)
        else:
            entered = st.text_input(knob.label, value=typed(value), placeholder=empty, **common)
        slider(knob, typed(entered) if isinstance(entered, int) else entered or "", key=common["key"],
               empty=empty or "", disabled=disabled)
    return lambda: entered if isinstance(entered, int) else parse(knob, entered or "")
