"""The objectives in their plainest form: autograd twice, matrices multiplied out.

Slow and obvious. Tests hold the hand-written gradients against it, `benchmarks.ntk_step` and
`benchmarks.kkt_step` time them against it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from core.candidate import Candidate
from core.compute import Compute
from core.models.mlp import MLP
from core.objectives.kkt_autograd import KKTAutograd
from core.objectives.modified_relu import ModifiedReLU
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta, TrainedWeights


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


def kkt_steps(network: MLP, start: Candidate, *, relu_alpha: float, residual: str, box_weight: float,
              lambda_weight: float, min_lambda: float, lr_x: float,
              lr_lam: float) -> tuple[Callable[[], None], Callable[[], Candidate]]:
    """The attack of Haim et al. 2022 in float64 with the general objective and torch's Adam: a function that takes one
    step, and one that reads off where the search has come to. Both penalties are means over candidates."""
    objective = KKTAutograd(TrainedWeights(network, ThreatModel()), residual=residual,
                            compute=Compute(start.x.device, torch.float64))
    x, log_lam = start.x.clone().requires_grad_(), start.lam.log().requires_grad_()
    optimizer = torch.optim.Adam([{"params": [x], "lr": lr_x}, {"params": [log_lam], "lr": lr_lam}], eps=1e-12)

    def step() -> None:
        at = objective.evaluate(Candidate(x.detach(), start.labels, log_lam.detach().exp()), relu_alpha=relu_alpha)
        box = torch.relu(x - 1).square() + torch.relu(-x).square()
        shortfall = torch.relu(min_lambda - log_lam.exp()).square()
        penalties = (box_weight * box.sum((2, 3, 4)).mean(1) + lambda_weight * shortfall.mean(1)).sum()
        grad_x, grad_log_lam = torch.autograd.grad(penalties, [x, log_lam])
        x.grad, log_lam.grad = at.grad_x + grad_x, at.grad_log_lam + grad_log_lam
        optimizer.step()

    return step, lambda: Candidate(x.detach(), start.labels, log_lam.detach().exp())
