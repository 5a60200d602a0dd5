"""The picture of a network on the plane."""

import plotly.graph_objects as go

from core.diagnostics.plane import Plane, Points
from core.plots.figures import style
from core.plots.palette import QUIET, colour

SMALLEST, LARGEST = 7.0, 15.0   # marks, in pixels
SYMBOLS = ("circle", "x-thin", "diamond-open")  # by kind: what was trained on, what is found


def plane_figure(plane: Plane, *, revision: str, height: int = 460) -> go.Figure:
    """Boundary and margins as lines, each kind of points with a symbol of its own, each class with a colour."""
    figure = go.Figure()
    _line(figure, plane, 0.0, "decision boundary", "solid")
    if plane.margin:
        for sign in (1, -1):
            _line(figure, plane, sign * plane.margin, "margin", "dot", named=sign == 1)
    for kind, marks in enumerate(plane.marks):
        for label in sorted(set(marks.labels)):
            chosen = [index for index, own in enumerate(marks.labels) if own == label]
            shade = colour(label)
            figure.add_scatter(
                x=[marks.x[index] for index in chosen], y=[marks.y[index] for index in chosen], mode="markers",
                name=f"{marks.name}, {plane.classes[label]}",
                marker={"symbol": SYMBOLS[kind % len(SYMBOLS)], "color": shade, "size": _sizes(marks, chosen),
                        "line": {"color": shade, "width": 2.5}},
                hovertemplate="%{x:.3f}, %{y:.3f}")
    style(figure, revision=revision, height=height, legend=True)
    figure.update_xaxes(title_text=plane.x_title, range=[0, 1], constrain="domain", showgrid=False, zeroline=False)
    figure.update_yaxes(title_text=plane.y_title, range=[0, 1], scaleanchor="x", showgrid=False, zeroline=False)
    return figure


def _line(figure: go.Figure, plane: Plane, level: float, name: str, dash: str, *, named: bool = True) -> None:
    """Where the logit has one value: a contour of nothing else."""
    figure.add_contour(x=plane.ticks, y=plane.ticks, z=plane.logits, name=name, showscale=False, hoverinfo="skip",
                       contours={"start": level, "end": level, "size": 1, "coloring": "none"},
                       line={"color": QUIET, "width": 2, "dash": dash}, showlegend=named)


def _sizes(marks: Points, chosen: list[int]) -> list[float]:
    shares = [marks.sizes[index] if marks.sizes else 0.5 for index in chosen]
    return [SMALLEST + (LARGEST - SMALLEST) * share for share in shares]
