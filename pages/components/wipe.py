"""Before and after: one picture laid over another, with an edge that is dragged in the browser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from pages.components.pictures import data_uri

SCRIPT = Path(__file__).with_suffix(".js")
HTML = '<div class="ai-wipe"><img><img class="ai-over"><input type="range" min="0" max="100" value="50"></div>'


def wipe(below: bytes, over: bytes, *, below_name: str, over_name: str, key: str) -> None:
    """`over` covers the left part of `below`; two PNG of one size."""
    _component()(key=key, data={"below": data_uri(below), "over": data_uri(over), "below_name": below_name,
                                "over_name": over_name})


@st.cache_resource(show_spinner=False)
def _component() -> Callable[..., Any]:
    return st.components.v2.component("wipe", html=HTML, js=SCRIPT.read_text(), isolate_styles=False)
