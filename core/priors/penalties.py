"""Explicit priors: a value and its gradient, added to an objective."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

SMOOTHING = 1e-2  # of absolute values, in grey levels: keeps their gradients finite at 0


class Penalty(Protocol):
    """Named, weighted, and blind to anything but the images."""

    name: str
    weight: float

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Unweighted value [R] (mean over the N samples) and its gradient, for x [R, N, C, H, W]."""


@dataclass(frozen=True)
class Box:
    """Squared distance of the pixels to [0, 1], summed over an image (Haim et al. 2022, eq. 7, moved to [0, 1])."""

    weight: float
    name: str = "box"

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        outside = x - x.clamp(0, 1)
        samples = x.shape[1]
        return outside.square().sum((1, 2, 3, 4)) / samples, 2 / samples * outside


@dataclass(frozen=True)
class Sparsity:
    """Sum of smoothed |pixels| of an image: most of a digit's pixels are 0."""

    weight: float
    name: str = "sparsity"

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        samples = x.shape[1]
        size = (x.square() + SMOOTHING**2).sqrt()
        return (size - SMOOTHING).sum((1, 2, 3, 4)) / samples, x / size / samples


@dataclass(frozen=True)
class TotalVariation:
    """Anisotropic total variation, sum of smoothed |differences| between neighbouring pixels of an image."""

    weight: float
    name: str = "tv"

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        samples = x.shape[1]
        value, gradient = torch.zeros_like(x[:, 0, 0, 0, 0]), torch.zeros_like(x)
        for axis in (-1, -2):
            difference = x.diff(dim=axis)
            size = (difference.square() + SMOOTHING**2).sqrt()
            value += (size - SMOOTHING).sum((1, 2, 3, 4)) / samples
            slope = difference / size / samples
            length = slope.shape[axis]
            gradient.narrow(axis, 1, length).add_(slope)
            gradient.narrow(axis, 0, length).sub_(slope)
        return value, gradient
