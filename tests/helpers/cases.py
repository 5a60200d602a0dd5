"""One exact step of training on small digits, in float64: every answer is known."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.artifacts.factors import Factors
from core.data.problems import Problem
from core.models.mlp import MLP, TangentFeatures, tangent_features
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta, WeightDelta

SIDE = 14
HIDDEN = ("layers.0", "layers.1")
NOTHING = ThreatModel()


def small_digits(problem: Problem, count: int) -> tuple[Tensor, Tensor]:
    """Images [N, 1, 14, 14] of alternating classes, odd first, and labels [N]."""
    indices = problem.select_training(4)
    odd, even = (indices[problem.labels[indices] == label] for label in (1, 0))
    chosen = torch.stack([odd, even], dim=1).flatten()[:count]
    return torch.nn.functional.avg_pool2d(problem.images(chosen).double(), 2), problem.labels[chosen]


def random_network(width: int = 96, *, side: int = SIDE, seed: int = 0, hidden: int = 2) -> MLP:
    """He's initialisation with a first-layer bias, float64."""
    generator = torch.Generator().manual_seed(seed)
    network = MLP([side * side, *[width] * hidden, 1], image_shape=(1, side, side)).double().requires_grad_(False)
    for layer in network.layers:
        layer.weight.normal_(0, (2 / layer.in_features) ** 0.5, generator=generator)
    network.layers[0].bias.normal_(0, 0.1, generator=generator)
    network.input_mean.fill_(0.15)
    return network


@dataclass(frozen=True)
class OneStep:
    """A step of gradient descent on the binary cross-entropy: dW_l = sum_i k_i e_i h_i^T."""

    network: MLP
    x: Tensor
    labels: Tensor

    @property
    def features(self) -> TangentFeatures:
        return tangent_features(self.network, self.x)

    @property
    def k(self) -> Tensor:
        return -0.01 * (torch.sigmoid(self.features.logits) - self.labels) / len(self.x)

    def factors(self, level: int, rank: int, dtype: torch.dtype, scaling: float = 2.0) -> Factors:
        h, e = self.features.inputs[level], self.features.signals[level]
        generator = torch.Generator().manual_seed(level)
        A = torch.randn(rank, h.shape[1], generator=generator, dtype=h.dtype).to(dtype) * h.shape[1] ** -0.5
        return Factors(A, (scaling * (self.k[:, None] * e).T @ (h @ A.double().T)).to(dtype), scaling)

    def adapter(self, *, rank: int = 32, dtype: torch.dtype = torch.float64, layers: tuple[str, ...] = HIDDEN,
                threat: ThreatModel = NOTHING) -> AdapterDelta:
        return AdapterDelta(self.network, {name: self.factors(int(name[-1]), rank, dtype) for name in layers}, threat)

    def weights(self, *, bias: bool = True, threat: ThreatModel = NOTHING) -> WeightDelta:
        weighted = [self.k[:, None] * e for e in self.features.signals[:2]]
        return WeightDelta(self.network, {name: weighted[level].T @ self.features.inputs[level]
                                          for level, name in enumerate(HIDDEN)},
                           {"layers.0": weighted[0].sum(0)} if bias else {}, threat)

    def patterns(self, level: int) -> Tensor:
        """[N, n] bool."""
        return self.features.preactivations[level] > 0


def one_step(problem: Problem, samples: int, **network: int) -> OneStep:
    x, labels = small_digits(problem, samples)
    return OneStep(random_network(**network), x, labels)


def assign(found: Tensor, truth: Tensor) -> list[int]:
    """For each row of `truth`, the nearest row of `found`; fails where two share one."""
    order = torch.cdist(truth.double().flatten(1), found.double().flatten(1)).argmin(1).tolist()
    assert len(set(order)) == len(truth)
    return order
