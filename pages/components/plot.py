"""One plotly figure on a page, drawn by plotly.js itself.

`st.plotly_chart` of Streamlit 1.67 mounts a plot anew whenever its figure changes, and with it goes the reader's zoom.
This one hands new data to the plot that stands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly
import plotly.graph_objects as go
import streamlit as st
from streamlit.components.v1 import declare_component

from core.plots.figures import AT_HOME

SCRIPT = Path(__file__).with_suffix(".js")
PLOTLY = Path(plotly.__file__).parent / "package_data"  # holds plotly.min.js
SAVED_AS = {"SVG": {"format": "svg"}, "PNG": {"format": "png", "scale": 3}}


@dataclass(frozen=True)
class Prepared:
    """A figure on its way to the browser: JSON, and its height in pixels."""

    spec: str
    height: int


def plot(figure: go.Figure | Prepared, *, key: str, alt: str, selectable: bool = False) -> list[Any]:
    """Draws a figure; returns the custom data of the points that the reader selected.

    `key` stays the same from refresh to refresh; `alt` is what a screen reader says. A click selects a point where
    `selectable`, a double click none.
    """
    ready = figure if isinstance(figure, Prepared) else prepared(figure)
    mount, source = _component()
    events = {"default": {"points": []}, "on_points_change": lambda: None} if selectable else {}
    result = mount(key=key, height=ready.height, data={
        "figure": ready.spec, "height": ready.height, "alt": alt, "source": source, "config": _config(),
        "selectable": selectable}, **events)
    return list(result.points or []) if selectable else []


def prepared(figure: go.Figure) -> Prepared:
    """Takes plotly's own template off the figure: in the browser the page's theme stands in its place."""
    figure.layout.template = None
    return Prepared(figure.to_json(), figure.layout.height)


def _config() -> dict[str, Any]:
    """The bar of buttons, with the format in which its camera saves the plot."""
    return {**AT_HOME, "displayModeBar": "hover",
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
            "toImageButtonOptions": SAVED_AS[st.session_state.get("plot-format") or "SVG"]}


@st.cache_resource(show_spinner=False)
def _component() -> tuple[Callable[..., Any], str]:
    """The component, and where the browser fetches plotly.js: Streamlit serves the folder of a declared component."""
    folder = declare_component("plotly", path=PLOTLY)
    base = st.get_option("server.baseUrlPath").strip("/")
    mount = st.components.v2.component("plot", html='<div class="ai-plot" role="figure"></div>',
                                       css=".ai-plot:fullscreen { background: var(--st-background-color); }",
                                       js=SCRIPT.read_text(), isolate_styles=False)
    return mount, f"{'/' + base if base else ''}/component/{folder.name}/plotly.min.js"
