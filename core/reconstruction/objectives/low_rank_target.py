"""A matrix to be explained as a sum of few outer products, compared without ever forming either.

For an observed M [n, r] and candidates e_i [n], z_i [r] with coefficients k_i, the residual is

    || C_e (M - sum_i k_i e_i z_i^T) C_z ||^2 / || C_e M C_z ||^2

With M = Q S V^T cut at its noise, C_e = Q S^(-w/2) Q^T + s_K^(-w/2) (I - Q Q^T), C_z likewise with V.
Whitening w = 0 is the plain relative residual, in which the strongest sample hides the others; w = 1
weighs every direction alike. Both need only small Gram products: N x N and N x K.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.host.compute import Compute


@dataclass(frozen=True)
class TargetEvaluation:
    """Residual [R] and its gradients: k [R, N], e [R, N, n], z [R, N, r]."""

    residual: Tensor
    grad_k: Tensor
    grad_e: Tensor
    grad_z: Tensor


@dataclass(frozen=True)
class _Directions:
    """The K kept directions in one precision."""

    Q: Tensor       # [n, K]
    V: Tensor       # [r, K]
    excess: Tensor  # [K], weight inside the span beyond that outside
    cross: Tensor   # [K], weight of the product with the observation


@dataclass(frozen=True)
class _Products:
    in_e: Tensor    # [R, N, K]
    in_z: Tensor    # [R, N, K]
    gram_e: Tensor  # [R, N, N]
    gram_z: Tensor  # [R, N, N]
    cross: Tensor   # [R, N], of each outer product with the observation
    mixed: Tensor   # [R, N], of each outer product with the whole sum


class LowRankTarget:
    """The observed matrix, decomposed once in float64, kept as K singular directions."""

    def __init__(self, matrix: Tensor, *, most: int, noise: float, whitening: float, compute: Compute) -> None:
        """Keeps at most `most` directions, none below `noise` times the largest."""
        # On the CPU in float64: done once, and MPS has neither.
        Q, S, Vh = torch.linalg.svd(matrix.detach().cpu().double(), full_matrices=False)
        rank = min(most, max(1, int((noise * S[0] < S).sum())))
        Q, S, V = Q[:, :rank], S[:rank], Vh[:rank].T.contiguous()
        self.scale = float(S[0])                  # coefficients near 1 whatever the learning rate was
        S = S / S[0]
        weights = S ** -whitening                 # the squares of C's values inside the span
        self.outside = float(weights[-1])         # outside the span: like the weakest direction kept
        self._norm = float(((weights * S) ** 2).sum())
        self._exact = _Directions(Q, V, weights - self.outside, weights * weights * S)
        self._fast = _Directions(*(compute.place(part) for part in vars(self._exact).values()))

    @property
    def row_span(self) -> Tensor:
        """V [r, K], orthonormal, float64 on the CPU."""
        return self._exact.V

    def residual(self, k: Tensor, e: Tensor, z: Tensor) -> Tensor:
        """The residual alone, [R] in float64 on the CPU: the expanded square cancels near 0."""
        k, e, z = (tensor.cpu().double() for tensor in (k, e, z))
        return self._residual(k / self.scale, self._products(k / self.scale, e, z, self._exact)).clamp(min=0)

    def evaluate(self, k: Tensor, e: Tensor, z: Tensor) -> TargetEvaluation:
        """Coefficients [R, N], left factors [R, N, n], right factors [R, N, r]."""
        k = k / self.scale
        at = self._products(k, e, z, self._fast)
        pairs = k[..., :, None] * k[..., None, :]
        observed = k[..., None] * self._fast.cross
        grad_k = 2 / (self._norm * self.scale) * (at.mixed - at.cross)
        grad_e = self._side(pairs * at.gram_z, e, at.in_e, observed * at.in_z, self._fast.Q)
        grad_z = self._side(pairs * at.gram_e, z, at.in_z, observed * at.in_e, self._fast.V)
        return TargetEvaluation(self._residual(k, at), grad_k, grad_e, grad_z)

    def _products(self, k: Tensor, e: Tensor, z: Tensor, kept: _Directions) -> _Products:
        in_e, in_z = e @ kept.Q, z @ kept.V
        gram_e = self.outside * (e @ e.mT) + (in_e * kept.excess) @ in_e.mT
        gram_z = self.outside * (z @ z.mT) + (in_z * kept.excess) @ in_z.mT
        cross = (in_e * in_z * kept.cross).sum(-1)
        return _Products(in_e, in_z, gram_e, gram_z, cross, ((gram_e * gram_z) @ k[..., None])[..., 0])

    def _residual(self, k: Tensor, at: _Products) -> Tensor:
        return 1 + (k * (at.mixed - 2 * at.cross)).sum(-1) / self._norm

    def _side(self, pairs: Tensor, factor: Tensor, inside: Tensor, observed: Tensor, basis: Tensor) -> Tensor:
        span = (pairs @ inside) * self._fast.excess - observed
        return 2 / self._norm * (self.outside * (pairs @ factor) + span @ basis.T)
