"""Loss and gradient of the small ReLU network over the whole training set, written out: no autograd.

With c_i = d/d f_i, [N] or [N, C], the gradient of a layer is sum_i (e_i c_i) h_i^T: two matrix products a layer.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from core.models.mlp import MLP
from core.training.losses import Scores, log_mean_loss


@dataclass(frozen=True)
class Pass:
    """One forward pass: inputs h_l [N, n_in] of every layer, gates of the hidden ones, scores (float64)."""

    inputs: list[Tensor]
    gates: list[Tensor]
    scores: Scores
    log_loss: float


class FullBatch:
    """The whole training set at once: loss and gradient at any parameters, in the order of network.parameters()."""

    def __init__(self, network: MLP, x: Tensor, labels: Tensor) -> None:
        self.biases = [layer.bias is not None for layer in network.layers]
        self.x = network.centre(x).detach()
        self.labels = labels.cpu().long()

    def _layers(self, parameters: list[Tensor]) -> list[tuple[Tensor, Tensor | None]]:
        queue = iter(parameters)
        return [(next(queue), next(queue) if bias else None) for bias in self.biases]

    def evaluate(self, parameters: list[Tensor]) -> Pass:
        h, inputs, gates = self.x, [], []
        layers = self._layers(parameters)
        for index, (weight, bias) in enumerate(layers):
            inputs.append(h)
            z = h @ weight.T if bias is None else torch.addmm(bias, h, weight.T)
            if index < len(layers) - 1:
                gates.append(z > 0)
                h = z.relu_()
        # N numbers: the loss is taken in float64 on the CPU, whatever the network computes in (MPS has no float64).
        scores = Scores(z.squeeze(1).cpu().double(), self.labels)
        return Pass(inputs, gates, scores, log_mean_loss(scores.margins).item())

    def gradient(self, parameters: list[Tensor], at: Pass, push: Tensor) -> list[Tensor]:
        """-sum_i push_i . grad f_i for `push` [N] or [N, C], in the order of the parameters."""
        signal = -usable(push, self.x.dtype).to(self.x.dtype).to(self.x.device).view(len(push), -1)
        layers = self._layers(parameters)
        gradients: list[Tensor] = []
        for index in range(len(layers) - 1, -1, -1):
            weight, bias = layers[index]
            own = [signal.T @ at.inputs[index]] + ([signal.sum(0)] if bias is not None else [])
            gradients = own + gradients
            if index:
                signal = (signal @ weight).mul_(at.gates[index - 1])
        return gradients


def usable(push: Tensor, dtype: torch.dtype) -> Tensor:
    """Subnormal numbers would slow every product down and are far below what changes a weight: 0 in their place."""
    return torch.where(push.abs() < 1e8 * torch.finfo(dtype).tiny, 0.0, push)


def norm(tensors: list[Tensor]) -> float:
    """Euclidean norm of all of them together."""
    return math.sqrt(sum(tensor.square().sum().item() for tensor in tensors))
