"""The objectives in their plainest form: autograd twice, matrices multiplied out.

Slow and obvious. Tests hold the hand-written gradients against it, `benchmarks.ntk_step` and
`benchmarks.kkt_step` time them against it.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from core.artifacts.factors import Factors
from core.models.mlp import MLP
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.modified_relu import ModifiedReLU, softened
from core.threat.observation import AdapterDelta


def ntk_value(observation: AdapterDelta, candidate: Candidate, *, samples: int, whitening: float,
              relu_alpha: float) -> Tensor:
    """Mean over layers of the whitened relative residual, [R]; differentiable in candidate.x and .lam.

    For each restart, sum_i k_i d f(x_i) / d B_l is autograd's own gradient with respect to B_l of the
    network with weights W_l + B_l A_l at B = 0; of A_l at A = 0 where that is what began at zero.
    """
    network = observation.network
    values = []
    for x, labels, lam in zip(candidate.x, candidate.labels, candidate.lam, strict=True):
        zeros = {name: torch.zeros_like(_trained(factors)).requires_grad_()
                 for name, factors in observation.layers.items()}
        h = network.centre(x)
        for index, layer in enumerate(network.layers):
            factors = observation.layers.get(f"layers.{index}")
            weight = layer.weight
            if factors is not None:
                zero = zeros[f"layers.{index}"]
                weight = weight + (factors.B @ zero if factors.a_began_at_zero else zero @ factors.A)
            h = torch.nn.functional.linear(h, weight, layer.bias)
            if index < len(network.layers) - 1:
                h = ModifiedReLU.apply(h, relu_alpha)
        total = (torch.where(labels > 0, lam, -lam) * h.squeeze(-1)).sum()
        explained = torch.autograd.grad(total, list(zeros.values()), create_graph=True)
        parts = [_relative(_trained(factors) / factors.scaling, update, samples, whitening)
                 for factors, update in zip(observation.layers.values(), explained, strict=True)]
        values.append(torch.stack(parts).mean())
    return torch.stack(values)


def _trained(factors: Factors) -> Tensor:
    return factors.A if factors.a_began_at_zero else factors.B


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


def kkt_steps(network: MLP, start: Candidate, *, relu_alpha: float, box_weight: float, lambda_weight: float,
              min_lambda: float, lr_x: float, lr_lam: float) -> tuple[Callable[[], None], Callable[[], Candidate]]:
    """The attack of Haim et al. 2022 in float64, as its authors' code takes a step: the sum of the samples' gradients
    with a graph, and ``loss.backward()`` through it, which fills the gradients of the weights as well. With torch's
    Adam, and both penalties as means over candidates. A function that takes one step, and one that reads off where the
    search has come to."""
    network = copy.deepcopy(network).requires_grad_()
    x, log_lam = start.x.clone().requires_grad_(), start.lam.log().requires_grad_()
    optimizer = torch.optim.Adam([{"params": [x], "lr": lr_x}, {"params": [log_lam], "lr": lr_lam}], eps=1e-12)
    parameters = list(network.parameters())

    def step() -> None:
        optimizer.zero_grad()
        for images, labels, logs in zip(x, start.labels, log_lam, strict=True):
            lam = logs.exp()
            with softened(relu_alpha):
                total = (torch.where(labels > 0, lam, -lam) / len(lam) * network(images)).sum()
            explained = torch.autograd.grad(total, parameters, create_graph=True)
            loss = sum((parameter.detach() - part).square().sum()
                       for parameter, part in zip(parameters, explained, strict=True))
            box = torch.relu(images - 1).square() + torch.relu(-images).square()
            shortfall = torch.relu(min_lambda - lam).square()
            (loss + box_weight * box.sum((1, 2, 3)).mean() + lambda_weight * shortfall.mean()).backward()
        optimizer.step()

    return step, lambda: Candidate(x.detach(), start.labels, log_lam.detach().exp())
