"""Plotly figures from plot data.

Text, grid and background are left to the page's theme; traces carry colours of `core.plots.palette`.
`uirevision` keeps a reader's zoom while new points arrive.
"""

import base64
import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.io.wording import number
from core.plots.distribution import Distribution
from core.plots.palette import ACCENT, QUIET, STRONG, colour
from core.plots.series import Bars, Panel

# plotly.js puts a button into each plot that sends its data to a server of its makers: nothing leaves this machine.
AT_HOME = {"displaylogo": False, "showSendToCloud": False, "plotlyServerURL": ""}
HEIGHT = 250
MOST_NAMED = 10     # more curves than this get no legend
FEW_POINTS = 30     # up to here, points are marked
NARROW = 3          # values within this factor need no log axis
HIDDEN_SHOWN = 1e-3 # how far below the floor bars are told apart: 1e-9 and 1e-30 are equally lost
MOST_PICTURED = 16  # bars with their pictures underneath
VERDICTS = {"visible": STRONG, "weak": QUIET, "hidden": ACCENT}


def line_figure(panel: Panel, *, revision: str, height: int = HEIGHT) -> go.Figure:
    """Curves of a panel; markers where there are few points, a legend where there are several curves."""
    figure = go.Figure()
    emphasised = [curve for curve in panel.series if curve.emphasis]
    named = len(panel.series) > 1 and len(emphasised) <= MOST_NAMED
    rank = 0
    for curve in panel.series:
        few = sum(value is not None for value in curve.y) <= FEW_POINTS
        line = {"color": colour(rank), "width": 2} if curve.emphasis else {"color": QUIET, "width": 1}
        rank += curve.emphasis
        figure.add_scatter(x=np.array(curve.x, dtype=float), y=np.array(curve.y, dtype=float), name=curve.name,
                           mode="lines+markers" if few else "lines", line=line, marker={"size": 6},
                           opacity=1.0 if curve.emphasis else 0.55, showlegend=named and curve.emphasis,
                           connectgaps=False,
                           hovertemplate="%{y:.4g}" + ("" if len(panel.series) > 1 else "<extra></extra>"))
    style(figure, revision=revision, height=height, legend=named)
    figure.update_layout(hovermode="x unified" if len(panel.series) <= MOST_NAMED else "closest")
    figure.update_xaxes(title_text=panel.x_title, rangemode="tozero")
    for mark in panel.marks:
        figure.add_vline(x=mark.x, line={"color": QUIET, "dash": "dot", "width": 1.5})
        figure.add_annotation(x=mark.x, y=1, yref="paper", xanchor="right", yanchor="top", textangle=-90, align="right",
                              text="<br>".join(mark.lines), showarrow=False, font={"color": QUIET, "size": 10})
    last = max((curve.x[-1] for curve in panel.series if curve.x), default=0)
    if 0 < last <= 10:
        figure.update_xaxes(dtick=1)  # no half steps
    figure.update_yaxes(title_text=panel.y_title, exponentformat="e", **_scale(panel))
    return figure


def _scale(panel: Panel) -> dict[str, Any]:
    """The y axis: logarithmic where that shows more, from zero where zero is near, as wide as the panel asks."""
    values = [value for curve in panel.series for value in curve.y if value is not None]
    low, high = min(values, default=0.0), max(values, default=0.0)
    if panel.log_y and low > 0 and high > NARROW * low:
        ticks = log_ticks(low, high)
        return {"type": "log", "tickvals": ticks, "ticktext": [power(value) for value in ticks]}
    if panel.least is not None:
        low, high = min(low, panel.least[0]), max(high, panel.least[1])
        return {"range": [low - 0.05 * (high - low), high + 0.05 * (high - low)]}
    if low == high:  # a flat zero belongs on the floor, any other single value into the middle
        return {"range": sorted((0, 2 * low)) if low else [0, 1]}
    return {"rangemode": "tozero"} if 0 <= low < high / 2 else {}


def bar_figure(bars: Bars, *, revision: str, height: int = HEIGHT + 60) -> go.Figure:
    """Bars on a log axis with the floor as a dashed line and the pictures under the bars."""
    floor = bars.floor or 1.0
    lowest = max(min([value for value in bars.values if value > 0] + [floor]), floor * HIDDEN_SHOWN)
    bottom = math.floor(math.log10(lowest)) - 1
    positions = list(range(len(bars.values)))
    figure = go.Figure(go.Bar(
        x=positions, y=[max(value, 10.0**bottom) for value in bars.values], width=min(0.55, 0.12 * len(positions)),
        marker_color=[VERDICTS[verdict] for verdict in bars.verdicts], showlegend=False,
        text=[number(value, 2) for value in bars.values] if len(positions) <= MOST_PICTURED else None,
        textposition="outside", customdata=bars.names, cliponaxis=False,
        hovertemplate="sample %{customdata}: %{y:.3g}<extra></extra>"))
    if bars.floor:
        figure.add_shape(type="line", xref="paper", x0=0, x1=1, y0=bars.floor, y1=bars.floor,
                         line={"color": ACCENT, "dash": "dash", "width": 1.5})
        figure.add_annotation(xref="paper", x=1, xanchor="right", y=math.log10(bars.floor), yanchor="bottom",
                              text=f"rounding floor {number(bars.floor, 2)}", showarrow=False, font_color=ACCENT)
    style(figure, revision=revision, height=height, legend=False)
    pictured = bars.pictures is not None and len(positions) <= MOST_PICTURED
    figure.update_xaxes(tickmode="array", tickvals=positions if len(positions) <= 40 else [], ticktext=bars.names,
                        title_text=None if pictured else "private sample", showgrid=False,
                        range=[-0.6, len(positions) * 1.2 - 0.4])  # the floor's name stands right of the bars
    ticks = log_ticks(10.0**bottom, 1.0)
    figure.update_yaxes(type="log", range=[bottom, -0.09 * bottom], title_text=bars.y_title, tickvals=ticks,
                        ticktext=[power(value) for value in ticks])
    if pictured:
        figure.update_layout(margin_b=92)
        for position, picture in zip(positions, bars.pictures, strict=False):
            source = "data:image/png;base64," + base64.b64encode(picture).decode()
            figure.add_layout_image(source=source, xref="x", yref="paper", x=position, y=-0.14, sizex=0.5, sizey=0.28,
                                    xanchor="center", yanchor="top")
    return figure


def distribution_figure(chart: Distribution, *, revision: str, height: int = HEIGHT) -> go.Figure:
    """Bars from edge to edge, and the floor as a dashed line."""
    edges = np.array(chart.edges)
    figure = go.Figure(go.Bar(
        x=edges[:-1], offset=0, width=np.diff(edges), y=chart.counts, marker={"color": STRONG}, showlegend=False,
        customdata=edges[1:], hovertemplate="%{y} between %{x:.3g} and %{customdata:.3g}<extra></extra>"))
    if chart.floor:
        figure.add_vline(x=chart.floor, line={"color": ACCENT, "dash": "dash", "width": 1.5})
    style(figure, revision=revision, height=height, legend=False)
    figure.update_layout(bargap=0)
    figure.update_xaxes(title_text=chart.x_title, **({"type": "log"} if chart.log_x else {}), exponentformat="e")
    figure.update_yaxes(title_text="candidates", rangemode="tozero")
    return figure


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values from `low` to `high` for a log axis: powers of ten, or 1-2-5 within two decades."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 2:
        stride = math.ceil((last - first) / most)
        return [10.0**exponent for exponent in range(first, last + 1, stride)]
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        ticks = [factor * 10.0**exponent for exponent in range(first, last + 1) for factor in factors]
        ticks = [tick for tick in ticks if low * 0.8 <= tick <= high * 1.25]
        if len(ticks) >= 3:
            return ticks
    return [low] if low == high else [low, high]


def power(value: float) -> str:
    """A tick's text: plain from 0.001 to 1,000, else a power of ten."""
    if 1e-3 <= value <= 1e4:
        return number(value)
    mantissa, exponent = f"{value:.1e}".split("e")
    power = f"10<sup>{int(exponent)}</sup>".replace("-", "−")
    return power if float(mantissa) == 1 else f"{float(mantissa):g}·{power}"


def style(figure: go.Figure, *, revision: str, height: int, legend: bool) -> None:
    figure.update_layout(height=height, uirevision=revision, margin={"l": 8, "r": 8, "t": 30 if legend else 10, "b": 8},
                         legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "title_text": ""})
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
