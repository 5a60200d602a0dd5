"""Showing plot data in a page."""

from collections.abc import Sequence

import streamlit as st

from core.viz.figures import bar_figure, line_figure
from core.viz.series import Bars, Panel

CONFIG = {"displaylogo": False, "displayModeBar": "hover",
          "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}


def chart(panel: Panel | Bars, run_id: str) -> None:
    """One chart under its title. The constant key and revision keep zoom and place over refreshes."""
    st.markdown(f"**{panel.title}**", help=panel.help or None)
    if isinstance(panel, Panel) and panel.empty:
        st.caption("No values recorded yet.")
        return
    draw = line_figure if isinstance(panel, Panel) else bar_figure
    axes = f"{panel.y_title} over {panel.x_title}" if isinstance(panel, Panel) else panel.y_title
    st.plotly_chart(draw(panel, revision=run_id), key=f"{run_id}-{panel.key}", config=CONFIG,
                    alt=f"{panel.title}: {axes}. {panel.help}".strip())


def grid(panels: Sequence[Panel], run_id: str, *, columns: int = 2) -> None:
    """Charts in rows of `columns`, aligned."""
    for start in range(0, len(panels), columns):
        for column, panel in zip(st.columns(columns, gap="medium"), panels[start:start + columns], strict=False):
            with column:
                chart(panel, run_id)
