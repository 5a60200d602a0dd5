"""Points of the plane: a ring of sectors of alternating classes, one training point in each."""

import math

import torch

from core.data.samples import Samples

INNER, OUTER = 0.22, 0.46  # radii of the ring around (0.5, 0.5)
MIDDLE = 0.6               # a training point lies in so much of its sector's angle: away from its neighbours
UNSEEN = 1000


def draw_points(*, seed: int, samples_per_class: int) -> Samples:
    """2 n training points, then `UNSEEN` that follow the same rule; [M, 1, 1, 2], x and y in [0, 1].

    Every point is between two of the other class, so that each one holds its piece of the boundary: nearly all are
    support samples. Points anywhere on the ring, not on a circle: their place cannot be guessed from the rule.
    """
    generator = torch.Generator().manual_seed(seed)
    sectors = 2 * samples_per_class
    own = torch.arange(sectors) + 0.5 + MIDDLE * (torch.rand(sectors, generator=generator) - 0.5)
    free = sectors * torch.rand(UNSEEN, generator=generator)
    place = torch.cat([own, free])
    turn = torch.rand(1, generator=generator)  # of the whole ring
    angle = 2 * math.pi * (place / sectors + turn)
    radius = (INNER**2 + (OUTER**2 - INNER**2) * torch.rand(len(place), generator=generator)).sqrt()
    points = 0.5 + radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return Samples(points[:, None, None, :], place.long() % 2, "seed",
                   f"{sectors} points of a ring of {sectors} sectors, drawn from seed {seed}")
