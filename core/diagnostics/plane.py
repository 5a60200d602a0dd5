"""A network on the plane: what it says everywhere, its training points, and the points that an attack finds.

The worker writes the values once (``plane.json``); pages draw them without the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from core.models.modality import POINT_SHAPE

if TYPE_CHECKING:  # pages draw without torch, which takes seconds to import
    from core.models.mlp import MLP

LOW, HIGH, PLACES = 0.0, 1.0, 81
HELP = ("Solid line: where the network changes its mind. Dotted lines: the margin, where its logit is as large as at "
        "the nearest training point; the KKT equation speaks of points there. A larger mark pulls more on the weights.")


@dataclass(frozen=True)
class Points:
    """Marks of one kind, [N] each; `sizes` are shares of the largest."""

    name: str
    x: list[float]
    y: list[float]
    labels: list[int]
    sizes: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Plane:
    """Logits [PLACES, PLACES] by row of y, the margin's level, and marks."""

    key: str
    title: str
    ticks: list[float]
    logits: list[list[float]]
    margin: float | None
    marks: list[Points]
    classes: tuple[str, ...]
    help: str = HELP
    x_title: str = "x"
    y_title: str = "y"


def landscape(network: "MLP", *, margin: float | None = None) -> dict[str, Any]:
    """What ``plane.json`` holds of a network whose inputs are points: its logits on a lattice over the unit square."""
    import torch

    ticks = torch.linspace(LOW, HIGH, PLACES)
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    place = next(network.parameters())
    points = torch.stack([x, y], -1).view(-1, *POINT_SHAPE).to(place.dtype).to(place.device)
    with torch.no_grad():
        logits = network(points).view(PLACES, PLACES).cpu().double()
    return {"ticks": ticks.tolist(), "logits": logits.tolist(), "margin": margin}


def points(name: str, x: Any, labels: Sequence[int], sizes: Sequence[float] | None = None) -> Points:
    """Marks from images [N, 1, 1, 2]: a tensor, an array or lists."""
    flat = np.asarray(x, np.float32).reshape(-1, 2)
    largest = max(sizes or [1.0]) or 1.0
    return Points(name, [float(value) for value in flat[:, 0]], [float(value) for value in flat[:, 1]], list(labels),
                  [float(size) / largest for size in sizes or []])


def plane(data: dict[str, Any], marks: Sequence[Points], classes: tuple[str, ...]) -> Plane:
    """`data` as `landscape` gave it."""
    return Plane("plane", "The plane", data["ticks"], data["logits"], data.get("margin"), list(marks), classes)
