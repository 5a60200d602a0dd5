"""Plotly figures of an experiment, from the plot data of `core.plots.experiments`.

Each small point carries the id of its attack as custom data: a page makes a link of it.
"""

import math
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.plots.experiments import Cloud, Curve, Scores
from core.plots.figures import log_ticks, power, style
from core.plots.palette import COLOURS, QUIET, colour

HEIGHT, CLOUD_HEIGHT = 400, 270
MOST_TICKS = 12
SYMBOLS = {"LoRA": "circle", "full fine-tuning": "diamond"}
# Blue, violet, pink, orange.
SHADES: list[tuple[float, str]] = [(0.0, COLOURS[0]), (0.34, COLOURS[4]), (0.67, COLOURS[3]), (1.0, COLOURS[1])]
FAINT = 0.45
# A clicked point grows; plotly would fade all others nearly to nothing.
CLICKED = {"selected": {"marker": {"size": 14, "opacity": 1.0}}, "unselected": {"marker": {"opacity": 0.55}}}
DODGE = 0.012  # of the axis: curves stand beside one another, so that their range bars do not hide each other


def scores_figure(scores: Scores, *, revision: str) -> go.Figure:
    """Means with their range as bars, single attacks as small points, references as level lines with a band."""
    figure = go.Figure()
    values = sorted({x for curve in scores.curves if not curve.level for x in curve.x})
    for curve in scores.curves:
        if curve.level:
            _level(figure, curve, values or [1])
    beside = [curve for curve in scores.curves if not curve.level]
    decades = math.log10(values[-1] / values[0]) if values else 0.0
    shifts = [10 ** (DODGE * max(decades, 1.0) * (index - (len(beside) - 1) / 2)) for index in range(len(beside))]
    for control, dash in zip(scores.controls, ("dash", "dot"), strict=False):
        figure.add_scatter(x=control.x, y=control.y, name=control.name, hovertemplate="%{y:.3f}",
                           mode="lines+markers" if len(control.x) == 1 else "lines",
                           line={"color": QUIET, "width": 1.5, "dash": dash}, marker={"color": QUIET, "size": 6})
    for curve, shift in zip(beside, shifts, strict=True):
        _means(figure, curve, shift)
    for curve, shift in zip(beside, shifts, strict=True):  # on top: these can be clicked
        _dots(figure, curve, shift)
    style(figure, revision=revision, height=HEIGHT, legend=True)
    ticks = values if len(values) <= MOST_TICKS else log_ticks(values[0], values[-1])
    figure.update_xaxes(type="log", title_text=scores.x_title, tickvals=ticks, ticktext=[f"{x:,.0f}" for x in ticks],
                        showgrid=False, **_reach(values))
    lowest = min((low for curve in scores.curves for low in curve.low), default=0.0)
    figure.update_yaxes(title_text=scores.y_title, range=[min(0.0, lowest) - 0.02, 1.03])
    figure.update_layout(hovermode="closest", clickmode="event+select")
    return figure


def _reach(values: Sequence[float]) -> dict[str, list[float]]:
    """Some room left and right, also around a single value."""
    if not values:
        return {}
    low, high = math.log10(values[0]), math.log10(values[-1])
    room = max(0.06 * (high - low), 0.15)
    return {"range": [low - room, high + room]}


def _means(figure: go.Figure, curve: Curve, shift: float) -> None:
    paint = colour(curve.colour)
    figure.add_scatter(
        x=[x * shift for x in curve.x], y=curve.mean, name=curve.name, mode="lines+markers", legendgroup=curve.name,
        line={"color": paint, "width": 2, "dash": "dash" if curve.dashed else "solid"},
        marker={"size": 9, "symbol": "diamond-open" if curve.hollow else "circle", "color": paint},
        error_y={"type": "data", "symmetric": False, "thickness": 1.3, "width": 4, "color": paint,
                 "array": [high - mean for high, mean in zip(curve.high, curve.mean, strict=True)],
                 "arrayminus": [mean - low for low, mean in zip(curve.low, curve.mean, strict=True)]},
        unselected={"marker": {"opacity": 1.0}}, hovertemplate="%{y:.3f} (mean)")


def _level(figure: go.Figure, curve: Curve, values: Sequence[float]) -> None:
    low, high = (10 ** exponent for exponent in _reach(values)["range"])
    paint = colour(curve.colour)
    figure.add_scatter(x=[low, high, high, low], y=[curve.low[0]] * 2 + [curve.high[0]] * 2, fill="toself",
                       mode="none", fillcolor=_clear(paint, 0.13), legendgroup=curve.name, showlegend=False,
                       hoverinfo="skip")
    figure.add_scatter(x=[low, high], y=[curve.mean[0]] * 2, name=curve.name, mode="lines", legendgroup=curve.name,
                       line={"color": paint, "width": 2, "dash": "longdashdot" if curve.dashed else "dot"},
                       hovertemplate="%{y:.3f} (mean)")


def _dots(figure: go.Figure, curve: Curve, shift: float) -> None:
    figure.add_scatter(x=[dot.x * shift for dot in curve.dots], y=[dot.y for dot in curve.dots], mode="markers",
                       legendgroup=curve.name, showlegend=False, name=curve.name, opacity=FAINT,
                       marker={"size": 6, "color": colour(curve.colour)}, **CLICKED,
                       customdata=[[dot.attack, dot.name] for dot in curve.dots],
                       hovertemplate="%{y:.3f}<br>%{customdata[1]}<extra></extra>")


def reasons_figure(clouds: Sequence[Cloud], *, revision: str) -> go.Figure:
    """Small multiples over one score axis; circles are LoRA, diamonds full fine-tuning."""
    figure = make_subplots(rows=1, cols=max(1, len(clouds)), shared_yaxes=True, horizontal_spacing=0.025)
    shades = [math.log10(shade) for cloud in clouds for shade in cloud.shades if shade]
    low, high = min(shades, default=0.0), max(shades, default=1.0)
    shown = sorted({shade for cloud in clouds for shade in cloud.shades if shade})
    ticks = shown if len(shown) <= MOST_TICKS else log_ticks(shown[0], shown[-1])
    figure.update_layout(coloraxis={
        "colorscale": SHADES, "cmin": low, "cmax": high if high > low else low + 1, "showscale": len(shown) > 1,
        "colorbar": {"title": {"text": clouds[0].shade_title if clouds else ""}, "thickness": 12, "outlinewidth": 0,
                     "len": 1.1, "tickvals": [math.log10(tick) for tick in ticks],
                     "ticktext": [f"{tick:,.0f}" for tick in ticks]}})
    for column, cloud in enumerate(clouds, start=1):
        for full in (False, True):
            _cloud(figure, cloud, column, full=full)
        if cloud.limit is not None and cloud.dots:
            figure.add_vline(x=cloud.limit, line={"color": QUIET, "dash": "dot", "width": 1.5}, row=1, col=column)
        figure.update_xaxes(title_text=cloud.x_title, row=1, col=column, **_cloud_axis(cloud))
    if len({full for cloud in clouds for full in cloud.full}) > 1:
        for name, symbol in SYMBOLS.items():  # grey in the legend: the colours mean something else
            figure.add_scatter(x=[None], y=[None], mode="markers", name=name, hoverinfo="skip",
                               marker={"size": 9, "symbol": symbol, "color": QUIET}, row=1, col=1)
    style(figure, revision=revision, height=CLOUD_HEIGHT, legend=True)
    lowest = min((dot.y for cloud in clouds for dot in cloud.dots), default=0.0)
    figure.update_yaxes(range=[min(0.0, lowest) - 0.03, 1.03])
    figure.update_yaxes(title_text=clouds[0].y_title if clouds else "", col=1)
    figure.update_layout(hovermode="closest", clickmode="event+select")
    return figure


def _cloud(figure: go.Figure, cloud: Cloud, column: int, *, full: bool) -> None:
    chosen = [index for index, is_full in enumerate(cloud.full) if is_full == full]
    if not chosen:
        return
    shades = [cloud.shades[index] for index in chosen]
    plain = any(shade is None for shade in shades)  # full fine-tuning has no rank to be shaded by
    paint = {"color": QUIET} if plain else {"color": [math.log10(shade) for shade in shades], "coloraxis": "coloraxis"}
    name = "full fine-tuning" if full else "LoRA"
    figure.add_scatter(
        x=[cloud.dots[index].x for index in chosen], y=[cloud.dots[index].y for index in chosen], mode="markers",
        name=name, showlegend=False, marker={"size": 9, "symbol": SYMBOLS[name], **paint}, **CLICKED,
        customdata=[[cloud.dots[index].attack, cloud.dots[index].name] for index in chosen],
        hovertemplate="%{y:.3f} at %{x:.3g}<br>%{customdata[1]}<extra></extra>", row=1, col=column)


def _cloud_axis(cloud: Cloud) -> dict[str, object]:
    values = [dot.x for dot in cloud.dots] + ([cloud.limit] if cloud.limit and cloud.dots else [])
    if not cloud.log_x or not values:
        return {"rangemode": "tozero"}
    ticks = log_ticks(min(values), max(values), most=4)
    return {"type": "log", "tickvals": ticks, "ticktext": [power(tick) for tick in ticks]}


def _clear(paint: str, opacity: float) -> str:
    """``#rrggbb`` as a see-through colour."""
    red, green, blue = (int(paint[start:start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
