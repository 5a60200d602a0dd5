"""Points of the plane: a ring of four sectors of alternating classes."""

import math

import torch
from torch import Tensor

from core.data.samples import Samples

INNER, OUTER = 0.22, 0.46  # radii of the ring around (0.5, 0.5)
SECTORS = 4                # one more pair than a straight line could part
MIDDLE = 0.6               # a training point lies in so much of the angle it has to itself: away from its neighbours
UNSEEN = 1000


def draw_points(*, seed: int, samples_per_class: int) -> Samples:
    """2 n training points, then `UNSEEN` that follow the same rule; [M, 1, 1, 2], x and y in [0, 1].

    Points anywhere on the ring, not on a circle: their place cannot be guessed from the rule.
    """
    generator = torch.Generator().manual_seed(seed)
    share = [samples_per_class // 2 + (sector < 2) * (samples_per_class % 2) for sector in range(SECTORS)]
    own = torch.cat([_spread(count, generator) + sector for sector, count in enumerate(share)])
    place = torch.cat([own, SECTORS * torch.rand(UNSEEN, generator=generator)])
    turn = torch.rand(1, generator=generator)  # of the whole ring
    angle = 2 * math.pi * (place / SECTORS + turn)
    radius = (INNER**2 + (OUTER**2 - INNER**2) * torch.rand(len(place), generator=generator)).sqrt()
    points = 0.5 + radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return Samples(points[:, None, None, :], place.long() % 2, "seed",
                   f"{len(own)} points of a ring of {SECTORS} sectors, drawn from seed {seed}")


def _spread(count: int, generator: torch.Generator) -> Tensor:
    """Places in [0, 1), each in its own equal part."""
    return (torch.arange(count) + 0.5 + MIDDLE * (torch.rand(count, generator=generator) - 0.5)) / max(count, 1)
