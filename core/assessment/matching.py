"""Scoring a reconstruction against the truth: one assignment, made once, over all targets."""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from core.assessment.image_metrics import METRICS, ssim_table
from core.config.thresholds import NEAR, RECOVERED


@dataclass(frozen=True)
class Score:
    """Metrics by target, in the order of the truth. A target without a reconstruction counts as 0, and a point
    without one as far as the unit square is wide."""

    assignment: list[int | None]       # for each target, the index of its reconstruction
    values: dict[str, list[float]]     # metric name to [N]

    @property
    def targets(self) -> int:
        return len(self.assignment)

    @property
    def recovered(self) -> int:
        """Targets with an SSIM above `RECOVERED`; points with a distance below `NEAR`."""
        if "distance" in self.values:
            return sum(value < NEAR for value in self.values["distance"])
        return sum(value > RECOVERED for value in self.values["ssim"])

    def mean(self, metric: str) -> float:
        """Over all targets: the denominator is their number."""
        return sum(self.values[metric]) / self.targets


def match(x: Tensor, truth: Tensor) -> Score:
    """Match reconstructions [M, C, H, W] to targets [N, C, H, W], both in [0, 1].

    Hungarian assignment that maximises the summed SSIM; other metrics are read at that assignment.
    """
    targets, chosen = linear_sum_assignment(-ssim_table(x, truth).numpy())
    pairs = dict(zip(targets.tolist(), chosen.tolist(), strict=True))
    assignment = [pairs.get(index) for index in range(len(truth))]
    values = {name: [metric(x[index], truth[target]) if index is not None else 0.0
                     for target, index in enumerate(assignment)] for name, metric in METRICS.items()}
    return Score(assignment, values)


def match_points(x: Tensor, truth: Tensor) -> Score:
    """Match found points [M, 1, 1, 2] to targets [N, 1, 1, 2] of the unit square: the least sum of distances."""
    table = torch.cdist(truth.double().flatten(1), x.double().flatten(1))
    targets, chosen = linear_sum_assignment(table.numpy())
    pairs = dict(zip(targets.tolist(), chosen.tolist(), strict=True))
    assignment = [pairs.get(index) for index in range(len(truth))]
    return Score(assignment, {"distance": [table[target, index].item() if index is not None else 2**0.5
                                           for target, index in enumerate(assignment)]})
