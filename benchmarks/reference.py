"""The NTK objective in its plainest form: autograd twice, matrices multiplied out.

Slow and obvious. Tests hold the hand-written gradients against it, `benchmarks.ntk_step` times them
against it.
"""

import torch
from torch import Tensor

from core.candidate import Candidate
from core.threat.observation import AdapterDelta


class ModifiedReLU(torch.autograd.Function):
    """Forward ReLU, derivative sigmoid(alpha z) (Haim et al. 2022), differentiable once more."""

    @staticmethod
    def forward(ctx, z: Tensor, alpha: float) -> Tensor:
        ctx.save_for_backward(z)
        ctx.alpha = alpha
        return torch.relu(z)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        return gradient * torch.sigmoid(ctx.alpha * z), None


def ntk_value(observation: AdapterDelta, candidate: Candidate, *, samples: int, whitening: float,
              relu_alpha: float) -> Tensor:
    """Mean over layers of the whitened relative residual, [R]; differentiable in candidate.x and .lam.

    For each restart, sum_i k_i d f(x_i) / d B_l is autograd's own gradient with respect to B_l of the
    network with weights W_l + B_l A_l at B = 0.
    """
    network = observation.network
    values = []
    for x, labels, lam in zip(candidate.x, candidate.labels, candidate.lam, strict=True):
        zeros = {name: torch.zeros_like(factors.B).requires_grad_() for name, factors in observation.layers.items()}
        h = network.centre(x)
        for index, layer in enumerate(network.layers):
            factors = observation.layers.get(f"layers.{index}")
            weight = layer.weight if factors is None else layer.weight + zeros[f"layers.{index}"] @ factors.A
            h = torch.nn.functional.linear(h, weight, layer.bias)
            if index < len(network.layers) - 1:
                h = ModifiedReLU.apply(h, relu_alpha)
        total = (torch.where(labels > 0, lam, -lam) * h.squeeze(-1)).sum()
        explained = torch.autograd.grad(total, list(zeros.values()), create_graph=True)
        parts = [_relative(factors.B / factors.scaling, update, samples, whitening)
                 for factors, update in zip(observation.layers.values(), explained, strict=True)]
        values.append(torch.stack(parts).mean())
    return torch.stack(values)


def _relative(observed: Tensor, explained: Tensor, samples: int, whitening: float) -> Tensor:
    if whitening == 0:
        return (observed - explained).square().sum() / observed.square().sum()
    Q, S, Vh = torch.linalg.svd(observed, full_matrices=False)
    Q, S, V = Q[:, :samples], S[:samples], Vh[:samples].T

    def root(basis: Tensor) -> Tensor:
        powers = (S / S[0]) ** (-whitening / 2)
        eye = torch.eye(len(basis), dtype=basis.dtype)
        return basis @ torch.diag(powers) @ basis.T + powers[-1] * (eye - basis @ basis.T)

    kept = Q @ torch.diag(S) @ V.T
    return (root(Q) @ (kept - explained) @ root(V)).square().sum() / (root(Q) @ kept @ root(V)).square().sum()
