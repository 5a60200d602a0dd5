"""Where a search starts: R restarts drawn from one seed, on the CPU, so that every device gets the same."""

import torch
from torch import Tensor

from core.candidate import Candidate
from core.compute import Compute
from core.objectives.ntk import NTKStationarity


def initial_candidate(objective: NTKStationarity, *, samples: int, restarts: int, labels: Tensor | None,
                      coefficients: Tensor | None, init: str, init_scale: float, seed: int,
                      compute: Compute) -> Candidate:
    """Random images around the input mean, each with pixel deviation `init_scale`.

    `init` = row-space draws them in the span that the first adapter's factors leave for the inputs
    (`NTKStationarity.input_basis`); gaussian draws every pixel alone, as does row-space where the
    first layer has no adapter. Labels [N] in {0, 1} that are not known vary over the restarts.
    """
    network = objective.surrogate.network
    generator = torch.Generator().manual_seed(seed)
    basis = objective.input_basis() if init == "row-space" else None
    width = network.input_mean.numel()
    if basis is None:
        directions = torch.randn(restarts, samples, width, generator=generator, dtype=torch.float64)
    else:
        mixture = torch.randn(restarts, samples, basis.shape[1], generator=generator, dtype=torch.float64)
        directions = mixture @ basis.T
    directions *= init_scale * width**0.5 / directions.norm(dim=-1, keepdim=True)
    x = compute.place(directions).view(restarts, samples, *network.image_shape) + network.input_mean
    signs = label_patterns(samples, restarts) if labels is None else labels.expand(restarts, samples)
    signs = signs.to(compute.device)
    if coefficients is not None:
        return Candidate(x, signs, compute.place(coefficients.abs()).expand(restarts, samples).contiguous())
    start = Candidate(x, signs, torch.ones_like(x[..., 0, 0, 0]))
    return Candidate(x, signs, start.lam * objective.best_common_lam(start)[:, None])


def label_patterns(samples: int, restarts: int) -> Tensor:
    """Labels [R, N] to try where none are known.

    The order of the samples is free, so only the number of ones matters: balanced first, then outwards
    to all alike, over and over.
    """
    counts = sorted(range(samples + 1), key=lambda ones: (abs(2 * ones - samples), -ones))
    chosen = torch.tensor([counts[index % len(counts)] for index in range(restarts)])
    return (torch.arange(samples)[None, :] < chosen[:, None]).long()
