"""Plotly figures of what an update gives away: spectrum, coefficients, and neurons by samples."""

import math

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.io.wording import number
from core.plots.coefficients import Coefficients
from core.plots.figures import HIDDEN_SHOWN, log_ticks, power, style
from core.plots.palette import ACCENT, GOOD, QUIET, STRONG, colour
from core.plots.patterns import GatePicture, LayerGates
from core.plots.spectrum import Spectrum

HEIGHT = 310
STRIP, ROW, LEAST_ROW = 130, 24, 9   # pixels: of a strip of few samples, of a row, and of a row among many
LEAST_COLUMNS = 80   # neurons that a strip has room for, at least
SYMBOLS = ("circle", "diamond", "square")
PAINTS = {"recovered": STRONG, "true": GOOD}


def spectrum_figure(spectrum: Spectrum, *, revision: str, height: int = HEIGHT) -> go.Figure:
    """Points by layer on a log axis, the noise of each dashed, N as an upright line."""
    figure = go.Figure()
    count = max(len(layer.values) for layer in spectrum.layers)
    for index, layer in enumerate(spectrum.layers):
        figure.add_scatter(
            x=list(range(1, len(layer.values) + 1)), y=layer.values, name=layer.name, mode="lines+markers",
            line={"color": colour(index), "width": 1}, marker={"size": 8, "symbol": SYMBOLS[index % len(SYMBOLS)]},
            customdata=[[size] for size in layer.sizes],
            hovertemplate="value %{x}: %{y:.2e} of the largest (%{customdata[0]:.3g})<extra>" + layer.name + "</extra>")
        figure.add_scatter(x=[0.5, count + 0.5], y=[layer.noise] * 2, mode="lines", name=f"noise, {layer.name}",
                           line={"color": colour(index), "width": 1.3, "dash": "dash"}, showlegend=False,
                           hovertemplate="noise: %{y:.2e} of the largest<extra>" + layer.name + "</extra>")
    bottom = min(min(layer.noise, *layer.values) for layer in spectrum.layers)
    if spectrum.samples:
        figure.add_vline(x=spectrum.samples + 0.5, line={"color": QUIET, "dash": "dot", "width": 1.5})
    gap = max((layer.gap for layer in spectrum.layers if layer.gap and layer.samples == spectrum.samples), default=None)
    text = f"N = {spectrum.samples}" + (f", gap of a factor {number(gap, 2)}" if gap else "")
    text = text if spectrum.samples else "no samples separated"
    left = spectrum.samples < 0.6 * count
    figure.add_annotation(x=spectrum.samples + 0.5, y=1.0, yref="paper", text=text, showarrow=False,
                          xanchor="left" if left else "right", yanchor="top", xshift=5 if left else -5)
    style(figure, revision=revision, height=height, legend=True)
    figure.update_xaxes(title_text=spectrum.x_title, range=[0.5, count + 0.5], showgrid=False,
                        **({"dtick": 1} if count <= 16 else {}))
    ticks = log_ticks(bottom, 1.0)
    low = math.log10(bottom) - 0.4
    figure.update_yaxes(type="log", title_text=spectrum.y_title, tickvals=ticks,
                        ticktext=[power(tick) for tick in ticks], range=[low, 0.2 - 0.08 * low])
    figure.update_layout(hovermode="closest")
    return figure


def coefficient_figure(chart: Coefficients, *, revision: str, height: int = HEIGHT) -> go.Figure:
    """Bars side by side, and the floor as a dashed line."""
    floor = chart.floor or 1.0
    shown = [value for series in chart.series for value in series.values if value]
    bottom = math.floor(math.log10(max(min([*shown, floor]), floor * HIDDEN_SHOWN))) - 1
    positions = list(range(len(chart.names)))
    figure = go.Figure()
    for series in chart.series:
        figure.add_bar(x=positions, y=[None if value is None else max(value, 10.0**bottom) for value in series.values],
                       name=series.name, marker_color=PAINTS[series.name], customdata=list(
                           zip(chart.names, series.sizes, strict=True)),
                       hovertemplate="sample %{customdata[0]}: %{y:.3g} of the largest (%{customdata[1]:.3g})<extra>"
                       + series.name + "</extra>")
    if chart.floor:
        figure.add_hline(y=chart.floor, line={"color": ACCENT, "dash": "dash", "width": 1.5})
        figure.add_annotation(xref="paper", x=1, xanchor="right", y=math.log10(chart.floor), yanchor="bottom",
                              text=f"{chart.floor_name} {number(chart.floor, 2)}", showarrow=False, font_color=ACCENT)
    style(figure, revision=revision, height=height, legend=True)
    figure.update_layout(bargap=0.3, hovermode="closest")
    middle = (len(positions) - 1) / 2  # one or two samples do not fill the width
    figure.update_xaxes(tickmode="array", tickvals=positions if len(positions) <= 40 else [], ticktext=chart.names,
                        title_text="private sample", showgrid=False,
                        range=[min(-0.6, middle - 2), max(1.2 * len(positions) - 0.2, middle + 2.4)])
    ticks = log_ticks(10.0**bottom, 1.0)
    figure.update_yaxes(type="log", range=[bottom, 0.1], title_text=chart.y_title, tickvals=ticks,
                        ticktext=[power(value) for value in ticks])
    return figure


def gate_figure(picture: GatePicture, *, revision: str) -> go.Figure:
    """A strip a layer: samples down, neurons along; a colour a state."""
    rows = max(len(picture.rows), 1)
    strip = max(min(STRIP, rows * 2 * ROW), rows * (ROW if rows <= 10 else LEAST_ROW))
    figure = make_subplots(rows=len(picture.layers), cols=1, vertical_spacing=min(0.3, 62 / (len(picture.layers) * (
        strip + 62))), subplot_titles=[f"{layer.name} · {layer.note}" for layer in picture.layers])
    for line, layer in enumerate(picture.layers, start=1):
        cells, neurons = _with_gap(layer)
        for index, state in enumerate(picture.states):
            if not (cells == index).any():
                continue
            figure.add_heatmap(
                z=np.where(cells == index, 1.0, np.nan).astype(np.float32), y=picture.rows, showscale=False, zmin=0,
                zmax=1, colorscale=[[0, state.colour], [1, state.colour]], customdata=neurons, hoverongaps=False,
                ygap=2 if rows <= 10 else 1, name=state.name,
                hovertemplate=f"%{{y}}<br>{layer.name}, neuron %{{customdata:,d}}: {state.name}<extra></extra>",
                row=line, col=1)
    for state in picture.states:  # a heatmap has no legend of its own
        figure.add_scatter(x=[None], y=[None], mode="markers", name=state.name, hoverinfo="skip",
                           marker={"symbol": "square", "size": 11, "color": state.colour,
                                   "line": {"width": 1, "color": QUIET}}, row=1, col=1)
    style(figure, revision=revision, height=len(picture.layers) * (strip + 62) + 48, legend=True)
    figure.update_layout(margin_t=58, legend_y=1.0, legend_yref="container", legend_yanchor="top", hovermode="closest",
                         plot_bgcolor="rgba(0,0,0,0)")
    figure.update_annotations(font_size=13, x=0, xanchor="left")
    # Few neurons do not fill the width: nine that flipped must not look like half of a layer.
    widest = max(LEAST_COLUMNS, *(_with_gap(layer)[0].shape[1] for layer in picture.layers))
    figure.update_xaxes(showticklabels=False, ticks="", showgrid=False, zeroline=False, range=[-0.5, widest - 0.5])
    figure.update_xaxes(title_text="neurons, sorted by word", row=len(picture.layers), col=1)
    figure.update_yaxes(autorange="reversed", showgrid=False, zeroline=False, showticklabels=rows <= 20)
    return figure


def _with_gap(layer: LayerGates) -> tuple[np.ndarray, np.ndarray]:
    """Cells and neuron numbers [N, n], with empty columns before those that stand apart."""
    cells, split = layer.cells.astype(np.int16), len(layer.neurons) - layer.apart
    gap = max(3, len(layer.neurons) // 50) if 0 < layer.apart < len(layer.neurons) else 0
    empty = np.full((len(cells), gap), -1, np.int16)
    cells = np.concatenate([cells[:, :split], empty, cells[:, split:]], axis=1)
    numbers = np.concatenate([layer.neurons[:split], np.zeros(gap, int), layer.neurons[split:]]).astype(np.int32)
    return cells, np.broadcast_to(numbers, cells.shape)
