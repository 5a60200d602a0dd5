"""The slider under a number field: drag it, or type. Both show one value, and the field's is the one that counts.

Streamlit's own slider is linear, reaches only its marks, and tells another widget nothing before the server has
answered, inside a form not at all. This one writes into the field in the browser.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from pages.components.knobs import Knob

SCRIPT = Path(__file__).with_suffix(".js")


def slider(knob: Knob, value: str, *, key: str, empty: str = "", disabled: bool = False) -> None:
    """Call right below the field of `knob`, which holds `value` as text; `empty` is what an empty field stands for.

    Draws nothing where the knob has no range that a slider could show.
    """
    if knob.reach is None:
        return
    low, high = knob.reach
    _component()(key=f"{key}-slider", data={
        "label": knob.label, "low": low, "high": high, "log": knob.scale == "log", "whole": knob.type == "int",
        "value": value, "empty": empty, "disabled": disabled})


@st.cache_resource(show_spinner=False)
def _component() -> Callable[..., Any]:
    return st.components.v2.component("number_slider", html='<input type="range" class="ai-slider">',
                                      js=SCRIPT.read_text(), isolate_styles=False)
