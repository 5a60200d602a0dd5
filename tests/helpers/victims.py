"""A small victim whose one LoRA step is written out: B = s sum_i k_i e_i (A h_i)^T exactly."""

import torch

from core.artifacts.factors import Factors
from core.data.problems import Problem
from core.models.mlp import MLP, tangent_features
from core.threat.observe import Victim


def make_victim(network: MLP, x: torch.Tensor, labels: torch.Tensor, *, rank: int, learning_rate: float = 0.01,
                scaling: float = 2.0, seed: int = 0) -> Victim:
    generator = torch.Generator().manual_seed(seed)
    features = tangent_features(network, x)
    k = -learning_rate * (torch.sigmoid(features.logits) - labels) / len(labels)
    layers = {}
    for index in (0, 1):
        h, e = features.inputs[index], features.signals[index]
        A = torch.randn(rank, h.shape[1], generator=generator, dtype=x.dtype) * h.shape[1] ** -0.5
        layers[f"layers.{index}"] = Factors(A, scaling * (k[:, None] * e).T @ (h @ A.T), scaling)
    return Victim(network, layers, x, labels, k, learning_rate, 1)


def hard_digits(network: MLP, problem: Problem, trained: torch.Tensor) -> torch.Tensor:
    """Indices of hold-out digits by falling loss coefficient, alternating between the classes."""
    pool = problem.holdout(trained)[:400]
    logits = tangent_features(network, problem.images(pool).double()).logits
    gaps = (torch.sigmoid(logits) - problem.labels[pool]).abs()
    order = pool[gaps.argsort(descending=True)]
    odd, even = (order[problem.labels[order] == label] for label in (1, 0))
    return torch.stack([odd[:10], even[:10]], dim=1).flatten()
