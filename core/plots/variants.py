"""Plot data and figure of an experiment whose arms attack a base alone: every attack, its mean, and chance.

Two panels over the same arms: the mean SSIM over all targets, and how many targets came back above 0.4. Chance stands
beside each arm, since it depends on the images: the same ones matched to samples that the base never saw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.plots.experiments import SCORE, Dot, scored
from core.plots.figures import style
from core.plots.palette import ACCENT, QUIET, STRONG
from core.runs.reports.studies import ExperimentRow

HEIGHT = 400
SPREAD = 0.14  # of the distance between two arms: seeds stand beside one another
HALF = 0.3     # half the width of a mean and of a control's line
HELP = ("Small points are single attacks, one for each seed: click one to open it. Bars are means over the seeds, "
        "dotted lines a wrong release: the same images matched to samples that the network never saw. Dashed: the mean "
        "image in their place. What is not above both is no finding.")


@dataclass(frozen=True)
class Panel:
    """One number over the arms. `means` and controls by arm; None where there is none."""

    y_title: str
    dots: list[Dot]
    means: list[float | None]
    wrong_release: list[float | None]
    mean_image: list[float | None]
    top: float


@dataclass(frozen=True)
class ArmsChart:
    names: list[str]  # of the arms, from left to right
    panels: list[Panel]

    @property
    def empty(self) -> bool:
        return not any(panel.dots for panel in self.panels)


def arms_chart(rows: Sequence[ExperimentRow], names: Sequence[str]) -> ArmsChart:
    """`names` are all arms of the preset, in its order; those without a score yet keep their place."""
    rows = [row for row in scored(rows) if row.arm in names]
    targets = max((row.targets for row in rows), default=1)
    panels = [_panel(rows, names, "mean_ssim", ("wrong_release_ssim", "mean_image_ssim"), SCORE, 1.0),
              _panel(rows, names, "recovered", ("wrong_release_recovered", ""), f"SSIM > 0.4, of {targets} targets",
                     targets)]
    return ArmsChart(list(names), panels)


def arm_name(row: ExperimentRow) -> str:
    """``ReLU, seed 0``"""
    return f"{row.arm}, seed {row.seed}"


def _panel(rows: Sequence[ExperimentRow], names: Sequence[str], value: str, controls: tuple[str, str], title: str,
           top: float) -> Panel:
    seeds = sorted({row.seed for row in rows})
    dots = [Dot(names.index(row.arm) + SPREAD * (seeds.index(row.seed) - (len(seeds) - 1) / 2) * 2
                / max(len(seeds) - 1, 1), getattr(row, value), arm_name(row), row.attack) for row in rows]
    columns = [[row for row in rows if row.arm == name] for name in names]
    means, wrong_release, mean_image = ([_mean(column, name) for column in columns] for name in (value, *controls))
    return Panel(title, dots, means, wrong_release, mean_image, top)


def _mean(rows: Sequence[ExperimentRow], name: str) -> float | None:
    values = [getattr(row, name, None) for row in rows]
    present = [value for value in values if value is not None]
    return fmean(present) if present else None


def arms_figure(chart: ArmsChart, *, revision: str) -> go.Figure:
    """Panels side by side; each dot carries the id of its attack as custom data."""
    figure = make_subplots(rows=1, cols=len(chart.panels), horizontal_spacing=0.09)
    for column, panel in enumerate(chart.panels, start=1):
        place, first = {"row": 1, "col": column}, column == 1
        figure.add_scatter(x=[dot.x for dot in panel.dots], y=[dot.y for dot in panel.dots], mode="markers",
                           name="one attack", legendgroup="one", showlegend=first, opacity=0.6,
                           marker={"size": 8, "color": STRONG}, selected={"marker": {"size": 14, "opacity": 1.0}},
                           unselected={"marker": {"opacity": 0.55}},
                           customdata=[[dot.attack, dot.name] for dot in panel.dots],
                           hovertemplate="%{y:.3~g}<br>%{customdata[1]}<extra></extra>", **place)
        for name, values, line in (("mean", panel.means, {"color": ACCENT, "width": 3}),
                                   ("wrong release", panel.wrong_release, {"color": QUIET, "width": 2, "dash": "dot"}),
                                   ("mean image", panel.mean_image, {"color": QUIET, "width": 1.5, "dash": "dash"})):
            if name == "mean image" and not any(value is not None for value in values):
                continue
            x, y = _bars(values)
            figure.add_scatter(x=x, y=y, mode="lines", name=name, legendgroup=name, showlegend=first, line=line,
                               hovertemplate=f"%{{y:.3~g}} ({name})<extra></extra>", **place)
        figure.update_yaxes(title_text=panel.y_title, range=[-0.02 * panel.top, 1.03 * panel.top], **place)
        figure.update_xaxes(tickvals=list(range(len(chart.names))), ticktext=[_broken(name) for name in chart.names],
                            range=[-0.5, len(chart.names) - 0.5], showgrid=False, zeroline=False, tickangle=0, **place)
    style(figure, revision=revision, height=HEIGHT, legend=True)
    figure.update_layout(hovermode="closest", clickmode="event+select")
    return figure


def _bars(values: Sequence[float | None]) -> tuple[list[float | None], list[float | None]]:
    """A short level line at each arm, with gaps between."""
    x: list[float | None] = []
    y: list[float | None] = []
    for index, value in enumerate(values):
        x += [index - HALF, index + HALF, None]
        y += [value, value, None]
    return x, y


def _broken(name: str) -> str:
    """Two lines for a long name."""
    return name.replace(", ", "<br>") if len(name) > 10 else name
