"""Where a search starts: R restarts drawn from one seed, on the CPU, so that every device gets the same."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.host.compute import Compute
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.protocol import Objective, StartsLam
from core.reconstruction.solvers.search_space import SearchSpace


@dataclass(frozen=True)
class Start:
    """Coordinates [R, N, M] in a search space, labels [R, N] in {0, 1} and lam [R, N] > 0."""

    coordinates: Tensor
    labels: Tensor
    lam: Tensor


def draw_start(objective: Objective, space: SearchSpace, *, samples: int, restarts: int,
               labels: Tensor | None, coefficients: Tensor | None, init_scale: float, seed: int,
               compute: Compute, draw: str = "fixed-length", uniform_lam: bool = False) -> Start:
    """Random images around the input mean, each with pixel deviation `init_scale`.

    Labels [N] that are not known vary over the restarts; coefficients [N] that are not known start at the
    common value that explains most of the update. As Haim et al. 2022 start: `draw` *gaussian*, N(0, init_scale) by
    pixel instead of exactly that deviation in each image, and `uniform_lam`, lam ~ U(0, 1).
    """
    generator = torch.Generator().manual_seed(seed)
    # A Gaussian direction, over the coordinates that the update determines.
    drawn = torch.randn(restarts, samples, space.stiff, generator=generator, dtype=torch.float64)
    coordinates = torch.zeros(restarts, samples, space.size, dtype=torch.float64)
    coordinates[..., :space.stiff] = drawn
    if draw == "gaussian":  # what the draw has on the average
        deviation = 1.0 if space.basis is None else (space.basis[:, :space.stiff].square().sum(1).mean()).sqrt()
    else:
        images = space.images(compute.place(coordinates)) - space.centre
        deviation = images.flatten(2).square().mean(-1, keepdim=True).sqrt()
    placed = compute.place(coordinates) * (init_scale / deviation)
    tried = label_patterns(samples, restarts) if labels is None else labels.expand(restarts, samples)
    tried = tried.to(compute.device)
    if coefficients is not None:
        return Start(placed, tried, compute.place(coefficients.abs()).expand(restarts, samples).contiguous())
    if uniform_lam:
        return Start(placed, tried, compute.place(torch.rand(restarts, samples, generator=generator,
                                                             dtype=torch.float64).clamp(min=1e-12)))
    one = torch.ones_like(placed[..., 0])
    if not isinstance(objective, StartsLam):
        return Start(placed, tried, one)
    common = objective.best_common_lam(Candidate(space.images(placed), tried, one))
    return Start(placed, tried, one * common[:, None])


def label_patterns(samples: int, restarts: int) -> Tensor:
    """Labels [R, N] to try where none are known.

    The order of the samples is free, so only the number of ones matters: balanced first, then outwards
    to all alike, over and over.
    """
    counts = sorted(range(samples + 1), key=lambda ones: (abs(2 * ones - samples), -ones))
    chosen = torch.tensor([counts[index % len(counts)] for index in range(restarts)])
    return (torch.arange(samples)[None, :] < chosen[:, None]).long()
