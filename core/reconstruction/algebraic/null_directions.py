"""Separating a first layer alone by null directions of ReLU sparsity (SPEAR, Dimitrov et al. 2024, sec. 4).

Where deeper layers have no update, the signals behind the first layer's gates are unknown, and only its zeros
help: a neuron that is off for sample i has no part of it in its row. With coordinates M [n, N], any N - 1 rows
that are off for i fix the direction q_i with M q_i = k_i e_i up to a factor, and of all directions
this one has the most zeros. Rows are drawn until every sample's direction has come up.
"""

import math

import torch
from torch import Tensor

from core.reconstruction.algebraic.patterns import Coordinates, coordinates
from core.reconstruction.algebraic.separation import LayerReading, Separation
from core.threat.layer_update import LayerUpdate

DRAWS = 40_000
BATCH = 4_000
ZEROS = 0.02      # share of the neurons that must be off for a sample, beyond the rows that were drawn
SIGMAS = 8.0      # of noise, below which an entry counts as 0
LEAST_SIZE = 1e-4  # of the largest entry: float32 sums blur zeros beyond rounding


def separate_first_layer(update: LayerUpdate, *, samples: int) -> Separation | None:
    """Patterns of the first layer and A h_i up to a factor for each sample; None where zeros do not tell N apart."""
    if samples > min(update.B.shape) or samples < 1:
        return None
    space = coordinates(update.B, samples=samples, precision=update.precision, floor=update.floor)
    q = torch.ones(1, 1, dtype=torch.float64) if samples == 1 else _directions(space)
    if q is None or len(q) < samples:
        return None
    u = q @ space.M.T                                                   # [N, n], k_i e_i up to a factor
    zero = _zeros(space, q)
    u = torch.where(zero, 0.0, u)
    # Zeros are exact; the sizes beside them are fitted again, so that all rows and not the pivots decide.
    w = torch.linalg.lstsq(u.T, update.B, driver="gelsd").solution
    variance = (update.B - u.T @ w).square().mean()
    noise = (variance * torch.linalg.pinv(u @ u.T).diagonal().clamp(min=0)).sqrt()
    certain = (u.abs() > 4 * _threshold(space, q)) | (zero & (space.M.norm(dim=1) > 4 * space.noise))
    misfit = torch.zeros(samples, dtype=torch.float64)
    return Separation({0: LayerReading(~zero, certain, u, w, noise, misfit)})


def _threshold(space: Coordinates, q: Tensor) -> Tensor:
    size = (q @ space.M.T).abs().amax(1, keepdim=True)
    return (SIGMAS * q.norm(dim=1, keepdim=True) * space.noise).clamp(min=LEAST_SIZE * float(size.max()))


def _zeros(space: Coordinates, q: Tensor) -> Tensor:
    return (q @ space.M.T).abs() < _threshold(space, q)


def _directions(space: Coordinates) -> Tensor | None:
    N = space.M.shape[1]
    generator = torch.Generator().manual_seed(0)
    live = torch.nonzero(space.M.norm(dim=1) > SIGMAS * space.noise).flatten()  # a row of zeros fixes no direction
    if len(live) < 2 * N:
        return None
    rows = space.M[live] / space.M[live].norm(dim=1, keepdim=True)
    seen = Coordinates(space.M[live], space.V, space.noise[live])
    directions, counts = torch.zeros(0, N, dtype=torch.float64), torch.zeros(0, dtype=torch.long)
    for _ in range(math.ceil(DRAWS / BATCH)):
        picks = torch.rand(BATCH, len(live), generator=generator).topk(N - 1, dim=1).indices
        q = torch.linalg.svd(rows[picks], full_matrices=True).Vh[:, -1]  # [BATCH, N], orthogonal to the rows drawn
        count = torch.cat([_zeros(seen, part).sum(1) for part in q.split(500)])
        directions, counts = _different(torch.cat([directions, q]), torch.cat([counts, count]), most=8 * N)
    chosen: list[Tensor] = []
    for q, count in zip(directions, counts, strict=True):
        if count >= ZEROS * len(live) + N - 1 and _new(chosen, q):
            chosen.append(q)
        if len(chosen) == N:
            return torch.stack(chosen)
    return None


def _different(q: Tensor, count: Tensor, *, most: int) -> tuple[Tensor, Tensor]:
    """The `most` directions with the most zeros, each once however often it was drawn."""
    kept: list[int] = []
    left = count.clone()
    while len(kept) < most and int(left.max()) > 0:
        best = int(left.argmax())
        kept.append(best)
        left[(q @ q[best]).abs() > 1 - 1e-8] = 0
    return q[kept], count[kept]


def _new(chosen: list[Tensor], q: Tensor) -> bool:
    """Linearly independent of those that were found."""
    if not chosen:
        return True
    basis = torch.linalg.qr(torch.stack(chosen).T)[0]
    return float((q - basis @ (basis.T @ q)).norm()) > 1e-4
