"""Showing plot data in a page."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import streamlit as st

from core.diagnostics.plane import Plane
from core.plots.anatomy_figures import coefficient_figure, gate_figure, spectrum_figure
from core.plots.coefficients import Coefficients
from core.plots.distribution import Distribution
from core.plots.figures import bar_figure, distribution_figure, line_figure
from core.plots.patterns import GatePicture
from core.plots.plane_figure import plane_figure
from core.plots.series import Bars, Panel
from core.plots.spectrum import Spectrum
from pages.components.plot import Prepared, plot, prepared

MOST_KEPT = 200  # figures, a few dozen kB each

Chart = Panel | Bars | Distribution | Spectrum | Coefficients | GatePicture | Plane
DRAW = {Panel: line_figure, Bars: bar_figure, Distribution: distribution_figure,
        Spectrum: spectrum_figure, Coefficients: coefficient_figure,
        GatePicture: gate_figure, Plane: plane_figure}


def chart(panel: Chart, run_id: str) -> None:
    """One chart under its title."""
    st.markdown(f"**{panel.title}**", help=panel.help or None)
    if isinstance(panel, Panel) and panel.empty:
        st.caption("No values recorded yet.")
        return
    axes = [getattr(panel, name, "") for name in ("y_title", "x_title")]
    words = " over ".join(axis for axis in axes if axis) or "neurons by samples"
    plot(_figure(panel, run_id), key=f"{run_id}-{panel.key}", alt=f"{panel.title}: {words}. {panel.help}".strip())


def _figure(panel: Chart, run_id: str) -> Prepared:
    """Drawn anew where it shows something else than at the last refresh, which costs far more than to compare."""
    if type(panel) is not Panel:
        return prepared(DRAW[type(panel)](panel, revision=run_id))
    kept, mutex = _kept_figures()
    key = f"{run_id}-{panel.key}"
    shown, figure = kept.get(key, (None, None))
    if shown != panel:
        figure = prepared(line_figure(panel, revision=run_id))
    with mutex:
        kept[key] = panel, figure
        kept.move_to_end(key)
        while len(kept) > MOST_KEPT:
            kept.popitem(last=False)
    return figure


@st.cache_resource(show_spinner=False)
def _kept_figures() -> tuple[OrderedDict[str, tuple[Panel, Prepared]], threading.Lock]:
    """Of all browsers together."""
    return OrderedDict(), threading.Lock()


def grid(panels: Sequence[Panel], run_id: str, *, columns: int = 2) -> None:
    """Charts in rows of `columns`, aligned."""
    for start in range(0, len(panels), columns):
        for column, panel in zip(st.columns(columns, gap="medium"), panels[start:start + columns], strict=False):
            with column:
                chart(panel, run_id)
