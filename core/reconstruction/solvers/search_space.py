"""The coordinates in which images are searched.

`pixels`: every pixel alone. `row-space`: only inputs that the first adapter's factors allow. Its B
has the row span of the A h_i, so each centred input is a combination of the K directions A^+ V plus
anything that A does not see (nothing, at full rank): K + max(0, D - r) coordinates instead of D, and
none of the stiff directions that an update forbids. For trained weights alone: the span of the first
layer above the noise of its initialisation (`core.threat.input_span`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.host.compute import Compute
from core.reconstruction.objectives.protocol import Confining, Objective


@dataclass(frozen=True)
class SearchSpace:
    """Images = centre + basis @ coordinates. Columns are scaled so that, whatever their number, coordinates of
    one size make images of one deviation: a learning rate is the change of a typical pixel in a step."""

    centre: Tensor        # [C, H, W]
    basis: Tensor | None  # [D, M]; None is the identity
    stiff: int            # the first so many coordinates start at random, the rest at 0

    @property
    def size(self) -> int:
        return self.centre.numel() if self.basis is None else self.basis.shape[1]

    def images(self, coordinates: Tensor) -> Tensor:
        """[R, N, M] to images [R, N, C, H, W]."""
        flat = coordinates if self.basis is None else coordinates @ self.basis.T
        return flat.view(*flat.shape[:2], *self.centre.shape) + self.centre

    def coordinates(self, images: Tensor) -> Tensor:
        """Images [R, N, C, H, W] to the coordinates [R, N, M] of the nearest images in the space."""
        flat = (images - self.centre).flatten(2)
        return flat if self.basis is None else flat @ torch.linalg.pinv(self.basis).T

    def pull_back(self, grad_x: Tensor) -> Tensor:
        """Gradient for images [R, N, C, H, W] to that for coordinates [R, N, M]."""
        flat = grad_x.flatten(2)
        return flat if self.basis is None else flat @ self.basis


def pixels(centre: Tensor) -> SearchSpace:
    return SearchSpace(centre, None, centre.numel())


def row_space(objective: Objective, *, compute: Compute) -> SearchSpace:
    """The inputs that the first layer's part of the observation allows; `pixels` where it says nothing."""
    centre = objective.input_mean
    if not isinstance(objective, Confining) or (allowed := objective.allowed_inputs()) is None:
        return pixels(centre)
    seen, unseen = allowed
    blocks = [block for block in (seen, unseen) if block.shape[1] > 0]
    scaled = [block * (len(block) / (len(blocks) * block.shape[1])) ** 0.5 for block in blocks]
    basis = compute.place(torch.cat(scaled, dim=1)) * objective.pixel_scale.flatten()[:, None]
    return SearchSpace(centre, basis, seen.shape[1])
