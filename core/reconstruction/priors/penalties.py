"""Explicit priors: a value and its gradient, added to an objective."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

SMOOTHING = 1e-2  # of absolute values, in grey levels: keeps their gradients finite at 0


class Penalty(Protocol):
    """Named, weighted, and blind to anything but the one part of a candidate that it judges."""

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> float: ...

    @property
    def judges(self) -> str:
        """"x" or "lam", an attribute of `Candidate`."""

    def evaluate(self, variable: Tensor) -> tuple[Tensor, Tensor]:
        """Unweighted value [R] (mean over the N samples) and its gradient, for x [R, N, C, H, W] or lam [R, N]."""


@dataclass(frozen=True)
class Box:
    """Squared distance of the pixels to [0, 1], summed over an image (Haim et al. 2022, eq. 7, moved to [0, 1]).

    With `mean` [C, H, W] the published range: pixels less the mean of the training set, within [-1, 1].
    """

    weight: float
    mean: Tensor | None = None
    name: str = "box"
    judges: str = "x"

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, low = (x, 0.0) if self.mean is None else (x - self.mean, -1.0)
        outside = y - y.clamp(low, 1.0)
        samples = x.shape[1]
        return outside.square().flatten(1).sum(1) / samples, 2 / samples * outside


@dataclass(frozen=True)
class Sparsity:
    """Sum of smoothed |pixels| of an image: most of a digit's pixels are 0."""

    weight: float
    name: str = "sparsity"
    judges: str = "x"

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        samples = x.shape[1]
        size = (x.square() + SMOOTHING**2).sqrt()
        return (size - SMOOTHING).flatten(1).sum(1) / samples, x / size / samples


@dataclass(frozen=True)
class TotalVariation:
    """Anisotropic total variation, sum of smoothed |differences| between neighbouring pixels of an image."""

    weight: float
    name: str = "tv"
    judges: str = "x"

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        samples = x.shape[1]
        value, gradient = x.new_zeros(len(x)), torch.zeros_like(x)
        for axis in (-1, -2):
            difference = x.diff(dim=axis)
            size = (difference.square() + SMOOTHING**2).sqrt()
            value += (size - SMOOTHING).flatten(1).sum(1) / samples
            change = difference / size / samples
            length = change.shape[axis]
            gradient.narrow(axis, 1, length).add_(change)
            gradient.narrow(axis, 0, length).sub_(change)
        return value, gradient


@dataclass(frozen=True)
class MinLambda:
    """Squared shortfall of the multipliers below `least` (Haim et al. 2022): a candidate must count."""

    weight: float
    least: float
    name: str = "min_lambda"
    judges: str = "lam"

    def evaluate(self, lam: Tensor) -> tuple[Tensor, Tensor]:
        short = (self.least - lam).clamp(min=0)
        samples = lam.shape[1]
        return short.square().sum(1) / samples, -2 / samples * short
