"""How alike found samples and targets are, one table a modality, and its further measures for a matched pair."""

from collections.abc import Callable

import torch
from torch import Tensor

from core.assessment.image_metrics import METRICS, ssim_table
from core.models.modality import IMAGES, POINTS, Modality


def distance_table(x: Tensor, truth: Tensor) -> Tensor:
    """Euclidean distances of samples [M, …] from targets [N, …]: [N, M], float64."""
    return torch.cdist(truth.double().flatten(1), x.double().flatten(1))


# The headline of every found sample [M, …] with every target [N, …]: [N, M].
TABLES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {IMAGES.name: ssim_table, POINTS.name: distance_table}
PAIRS: dict[str, Callable[[Tensor, Tensor], float]] = dict(METRICS)


def table(modality: Modality, x: Tensor, truth: Tensor) -> Tensor:
    """The headline measure [N, M] of every pair."""
    return TABLES[modality.name](x, truth)
