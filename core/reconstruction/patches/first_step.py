"""The gradient behind the first step of Adam or AdamW, which its own epsilon gives away.

From B = 0 the first step is B = -lr g / (|g| + eps) entry by entry, so that with u = |B| / lr

    |g| = eps u / (1 - u),

and lr is the plateau that large entries reach. In float32, 1 - u is known to about 6e-8, so that an entry is known to
about 6 |g| relative: well where gradients are small, as they are in transformers. What is sought is a matrix of the
rank of the inputs, fitted to all entries by their own accuracy (weighted low-rank approximation by alternating least
squares; Srebro & Jaakkola 2003). That it fits is the proof: several steps, or another optimiser, leave nothing of low
rank.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 1e-8       # of torch's Adam and AdamW, and of the Trainer of transformers
ROUNDED = 6e-8       # relative, of an entry of a float32 step
FLOOR = 2e-4         # of an entry and of the median entry: no gradient of float32 sums is better than that
SWEEPS = 150
FITS = 2.0           # mean square of the misfit in deviations; of the right rank it is about 1


@dataclass(frozen=True)
class FirstStep:
    """A gradient of low rank."""

    gradient: Tensor    # [n, r], up to its sign, float64
    basis: Tensor       # [r, r], orthonormal; the first `rank` columns span its rows
    rank: int
    misfit: float       # mean square, in deviations
    deviation: Tensor   # [n, r]

    def lean(self, inputs: Tensor) -> float:
        """How far measurements of the private inputs lean out of the rows that were found, relative to their length: by
        fitting the found gradient once more with fresh noise. `inputs` [M, r] stand in for private measurements."""
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(self.gradient.shape, generator=generator, dtype=torch.float64) * self.deviation
        again = _basis(_fitted(self.gradient + noise, self.deviation, self.rank))
        within = inputs @ self.basis[:, :self.rank] @ self.basis[:, :self.rank].T
        return float(((within @ again[:, self.rank:]).norm(dim=1) / within.norm(dim=1)).median())


def first_step(B: Tensor, *, rank: int) -> FirstStep | None:
    """Of a B that is one step of Adam whose gradient has this rank; None of any other."""
    if B.dtype != torch.float32 or rank >= min(B.shape):
        return None
    size = B.double().abs()
    rate = float(f"{float(size.max()):.3g}")
    u = (size / rate).clamp(max=1 - ROUNDED / 2)
    gradient = EPSILON * u / (1 - u) * B.double().sign()
    rounding = EPSILON * ROUNDED * u / (1 - u) ** 2
    if float((rounding < 0.3 * gradient.abs()).double().mean()) < 0.5:
        return None  # most entries are as good as saturated: nothing is left but their signs
    deviation = (rounding ** 2 + (FLOOR * gradient.abs()) ** 2 + (FLOOR * gradient.abs().median()) ** 2).sqrt()
    fitted = _fitted(gradient, deviation, rank)
    misfit = float(((fitted - gradient) / deviation).square().mean()) * gradient.numel() / \
        max(1, gradient.numel() - rank * (sum(gradient.shape) - rank))
    if misfit > FITS:
        return None
    return FirstStep(fitted, _basis(fitted), rank, misfit, deviation)


def _fitted(gradient: Tensor, deviation: Tensor, rank: int) -> Tensor:
    """The matrix of this rank nearest to `gradient` in units of `deviation`."""
    weight = 1 / deviation
    weight = weight / weight.median()
    clear = torch.where(deviation < 0.2 * gradient.abs(), gradient, torch.zeros_like(gradient))
    _, S, Vh = torch.linalg.svd(clear, full_matrices=False)
    right = Vh[:rank].T * S[:rank].sqrt()
    left = right
    for _ in range(SWEEPS):
        left = torch.linalg.lstsq(weight[:, :, None] * right, (weight * gradient)[..., None]).solution[..., 0]
        left = torch.linalg.qr(left)[0]
        right = torch.linalg.lstsq(weight.T[:, :, None] * left, (weight * gradient).T[..., None]).solution[..., 0]
    return left @ right.T


def _basis(gradient: Tensor) -> Tensor:
    return torch.linalg.svd(gradient, full_matrices=True)[2].T
