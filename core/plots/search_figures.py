"""Plotly figures of a search, from the plot data of `core.plots.search`."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from core.io.wording import number
from core.plots.experiment_figures import CLICKED, SHADES
from core.plots.figures import HEIGHT, log_ticks, power, style
from core.plots.palette import ACCENT, GOOD, QUIET, STRONG
from core.plots.search import Axis, Importance, Mark, Parallel

PARALLEL_HEIGHT = 360
BAR_HEIGHT = 38  # of a knob
KINDS: dict[str, tuple[str, str, str, int]] = {  # of a trial: (name, symbol, colour, size)
    "pruned": ("pruned", "circle-open", QUIET, 8), "failed": ("failed", "x", QUIET, 8),
    "done": ("finished", "circle", STRONG, 9), "first": ("first trial", "diamond", ACCENT, 12),
    "best": ("best trial", "star", GOOD, 15),
}


def parallel_figure(data: Parallel, *, revision: str) -> go.Figure:
    """A line for each trial across all axes, coloured by what is searched for: blue is good, orange is bad."""
    scale = SHADES if data.low_is_good else [(1 - place, paint) for place, paint in reversed(SHADES)]
    shade = _placed(data.shade)
    figure = go.Figure(go.Parcoords(
        dimensions=[_dimension(axis) for axis in data.axes], labelside="bottom",
        labelfont={"size": 13}, tickfont={"size": 12}, rangefont={"size": 1, "color": "rgba(0,0,0,0)"},
        line={"color": shade, "colorscale": scale, "cmin": min(shade), "cmax": max(max(shade), min(shade) + 1e-9)},
        unselected={"line": {"color": QUIET, "opacity": 0.15}}))
    style(figure, revision=revision, height=PARALLEL_HEIGHT, legend=False)
    figure.update_layout(margin={"l": 60, "r": 60, "t": 20, "b": 45})
    return figure


def _placed(axis: Axis) -> list[float]:
    return [math.log10(value) for value in axis.values] if axis.log else axis.values


def _dimension(axis: Axis) -> dict[str, Any]:
    values = _placed(axis)
    low, high = min(values), max(values)
    room = 0.03 * (high - low) or 0.5
    facts = {"label": axis.title, "values": values, "range": [low - room, high + room]}
    if not axis.log:
        return facts | {"tickformat": ".2~f"}
    ticks = [tick for tick in log_ticks(min(axis.values), max(axis.values)) if
             low - room <= math.log10(tick) <= high + room]
    return facts | {"tickvals": [math.log10(tick) for tick in ticks], "ticktext": [_tick(tick) for tick in ticks]}


def _tick(value: float) -> str:
    """Parallel coordinates draw text as it is: no markup."""
    return number(value, 2) if value >= 1e-3 else f"{value:.0e}".replace("e-0", "e-")


def importance_figure(data: Importance, *, revision: str) -> go.Figure:
    """Bars of shares, the most important knob on top."""
    figure = go.Figure()
    for (target, shares), paint in zip(data.shares.items(), (STRONG, ACCENT), strict=False):
        figure.add_bar(y=data.knobs, x=shares, name=target, orientation="h", marker_color=paint,
                       text=[f"{100 * share:.0f} %" for share in shares], textposition="outside", cliponaxis=False,
                       hovertemplate="%{y}: %{x:.0%}<extra></extra>")
    style(figure, revision=revision, height=110 + BAR_HEIGHT * len(data.knobs) * len(data.shares), legend=True)
    figure.update_layout(barmode="group", bargap=0.25, legend_traceorder="normal")
    figure.update_yaxes(autorange="reversed")
    highest = max(share for shares in data.shares.values() for share in shares)
    figure.update_xaxes(title_text="share of the variance", tickformat=".0%", range=[0, 1.18 * highest])
    return figure


def marks_figure(marks: Sequence[Mark], *, y_title: str, revision: str) -> go.Figure:
    """Residual (log) against score, a point a trial; each carries its run as custom data."""
    figure = go.Figure()
    for kind, (name, symbol, paint, size) in KINDS.items():
        chosen = [mark for mark in marks if mark.kind == kind]
        if chosen:
            figure.add_scatter(
                x=[mark.residual for mark in chosen], y=[mark.score for mark in chosen], mode="markers", name=name,
                marker={"symbol": symbol, "color": paint, "size": size}, **CLICKED,
                customdata=[[mark.attack, mark.name] for mark in chosen],
                hovertemplate="%{customdata[1]}: %{y:.3f} at %{x:.3g}<extra></extra>")
    style(figure, revision=revision, height=HEIGHT + 60, legend=True)
    ticks = log_ticks(min(mark.residual for mark in marks), max(mark.residual for mark in marks), most=5)
    figure.update_xaxes(type="log", title_text="residual", tickvals=ticks, ticktext=[power(tick) for tick in ticks])
    figure.update_yaxes(title_text=y_title, rangemode="tozero")
    figure.update_layout(hovermode="closest", clickmode="event+select")
    return figure
