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

from core.compute import Compute


@dataclass(frozen=True)
class TargetEvaluation:
    """Residual [R] and its gradients: k [R, N], e [R, N, n], z [R, N, r]."""

    residual: Tensor
    grad_k: Tensor
    grad_e: Tensor
    grad_z: Tensor


class LowRankTarget:
    """The observed matrix, decomposed once in float64, kept as K singular directions."""

    def __init__(self, matrix: Tensor, *, most: int, noise: float, whitening: float, compute: Compute) -> None:
        """Keeps at most `most` directions, none below `noise` times the largest."""
        # On the CPU in float64: done once, and MPS has neither.
        Q, S, Vh = torch.linalg.svd(matrix.detach().double().cpu(), full_matrices=False)
        rank = min(most, max(1, int((noise * S[0] < S).sum())))
        Q, S, V = Q[:, :rank], S[:rank], Vh[:rank].T
        weights = (S / S[0]) ** -whitening        # the squares of C's values inside the span
        self.scale = float(S[0])                  # coefficients near 1 whatever the learning rate was
        self.Q, self.V = compute.place(Q), compute.place(V.contiguous())
        self.outside = float(weights[-1])         # outside the span: like the weakest direction kept
        self._excess = compute.place(weights - self.outside)
        self._cross = compute.place(weights * weights * S / S[0])
        self._norm = float(((weights * S / S[0]) ** 2).sum())

    def evaluate(self, k: Tensor, e: Tensor, z: Tensor, *, gradients: bool = True) -> TargetEvaluation:
        """Coefficients [R, N], left factors [R, N, n], right factors [R, N, r]."""
        k = k / self.scale
        in_e, in_z = e @ self.Q, z @ self.V                                  # [R, N, K]
        gram_e = self.outside * (e @ e.mT) + (in_e * self._excess) @ in_e.mT  # [R, N, N]
        gram_z = self.outside * (z @ z.mT) + (in_z * self._excess) @ in_z.mT
        both = gram_e * gram_z
        cross = (in_e * in_z * self._cross).sum(-1)                           # [R, N]
        mixed = (both @ k[..., None])[..., 0]
        residual = 1 + (k * (mixed - 2 * cross)).sum(-1) / self._norm
        if not gradients:  # the expanded square cancels: rounding may carry a residual of 0 below 0
            return TargetEvaluation(residual.clamp(min=0), *[torch.empty(0)] * 3)
        pairs = k[..., :, None] * k[..., None, :]
        grad_k = 2 / (self._norm * self.scale) * (mixed - cross)
        grad_e = self._side(pairs * gram_z, e, in_e, k[..., None] * self._cross * in_z, self.Q)
        grad_z = self._side(pairs * gram_e, z, in_z, k[..., None] * self._cross * in_e, self.V)
        return TargetEvaluation(residual, grad_k, grad_e, grad_z)

    def _side(self, pairs: Tensor, factor: Tensor, inside: Tensor, cross: Tensor, basis: Tensor) -> Tensor:
        span = (pairs @ inside) * self._excess - cross
        return 2 / self._norm * (self.outside * (pairs @ factor) + span @ basis.T)
