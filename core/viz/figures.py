"""Plotly figures from plot data.

Text, grid and background are left to the page's theme; traces carry colours of `core.viz.palette`.
`uirevision` keeps a reader's zoom while new points arrive.
"""

import base64

import plotly.graph_objects as go

from core.viz.palette import ACCENT, QUIET, STRONG, colour
from core.viz.series import Bars, Panel
from core.viz.text import number

HEIGHT = 250
MOST_NAMED = 10  # more curves than this share a colour scheme without a legend


def line_figure(panel: Panel, *, revision: str, height: int = HEIGHT) -> go.Figure:
    """Curves of a panel; markers where there are few points, a legend where there are several curves."""
    figure = go.Figure()
    emphasised = [curve for curve in panel.series if curve.emphasis]
    named = 1 < len(panel.series) and len(emphasised) <= MOST_NAMED
    rank = 0
    for curve in panel.series:
        few = sum(value is not None for value in curve.y) <= 30
        line = {"color": colour(rank), "width": 2} if curve.emphasis else {"color": QUIET, "width": 1}
        rank += curve.emphasis
        figure.add_scatter(x=curve.x, y=curve.y, name=curve.name, mode="lines+markers" if few else "lines",
                           line=line, marker={"size": 5}, opacity=1.0 if curve.emphasis else 0.55,
                           showlegend=named and curve.emphasis, connectgaps=False,
                           hovertemplate="%{y:.4g}" + ("" if len(panel.series) > 1 else "<extra></extra>"))
    _frame(figure, revision=revision, height=height, legend=named)
    figure.update_layout(hovermode="x unified" if len(panel.series) <= MOST_NAMED else "closest")
    figure.update_xaxes(title_text=panel.x_title, rangemode="tozero")
    figure.update_yaxes(title_text=panel.y_title)
    if panel.log_y:
        figure.update_yaxes(type="log", exponentformat="power", dtick=_decades(panel))
    if panel.y_range:
        figure.update_yaxes(range=list(panel.y_range))
    return figure


def bar_figure(bars: Bars, *, revision: str, height: int = HEIGHT + 60) -> go.Figure:
    """Bars on a log axis with the floor as a dashed line and the pictures under the bars."""
    lowest = min([value for value in bars.values if value > 0] + [bars.floor or 1.0])
    bottom = 10 ** _below(lowest)
    positions = list(range(len(bars.values)))
    reachable = [bars.floor is None or value >= bars.floor for value in bars.values]
    figure = go.Figure(go.Bar(
        x=positions, y=[max(value, bottom) for value in bars.values], width=0.55, showlegend=False,
        marker_color=[STRONG if seen else ACCENT for seen in reachable],
        text=[number(value, 2) for value in bars.values] if len(positions) <= 16 else None, textposition="outside",
        customdata=bars.names, hovertemplate="sample %{customdata}: %{y:.3g}<extra></extra>", cliponaxis=False))
    if bars.floor:
        figure.add_hline(y=bars.floor, line={"color": ACCENT, "dash": "dash", "width": 1.5},
                         annotation_text=f"precision floor {number(bars.floor, 2)}",
                         annotation_position="top right", annotation_font_color=ACCENT)
    _frame(figure, revision=revision, height=height, legend=False)
    named = len(positions) <= 40
    pictured = bars.pictures is not None and len(positions) <= 16
    figure.update_xaxes(tickmode="array", tickvals=positions if named else None, ticktext=bars.names,
                        title_text=None if pictured else "private sample", range=[-0.6, len(positions) - 0.4],
                        showgrid=False)
    figure.update_yaxes(type="log", range=[_below(lowest), 0.4], title_text=bars.y_title, exponentformat="power",
                        dtick=max(1, -_below(lowest) // 4))
    if pictured:
        figure.update_layout(margin_b=92)
        for position, picture in zip(positions, bars.pictures, strict=False):
            source = "data:image/png;base64," + base64.b64encode(picture).decode()
            figure.add_layout_image(source=source, xref="x", yref="paper", x=position, y=-0.14, sizex=0.5, sizey=0.28,
                                    xanchor="center", yanchor="top")
    return figure


def _frame(figure: go.Figure, *, revision: str, height: int, legend: bool) -> None:
    figure.update_layout(height=height, uirevision=revision, margin={"l": 8, "r": 8, "t": 30 if legend else 10, "b": 8},
                         legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "title_text": ""})
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)


def _decades(panel: Panel) -> int | None:
    """Whole powers of ten as ticks, a handful of them; None (plotly's choice) within a single decade or two."""
    values = [value for curve in panel.series for value in curve.y if value]
    if not values or max(values) / min(values) < 50:
        return None
    return max(1, (_below(max(values)) - _below(min(values))) // 4)


def _below(value: float) -> int:
    """The exponent of the power of ten at or below `value`."""
    return int(f"{value:e}".split("e")[1])
