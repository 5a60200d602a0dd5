"""The fully connected ReLU network of Haim et al. 2022, and its per-sample gradients written out.

D-h-h-1 with a bias in the first layer only, so that it is homogeneous of degree 3; any
depth >= 2 and further biases are read as well, and C >= 2 outputs, one a class (Buzaglo et
al. 2023). Linear layers are named ``layers.i`` as in the public code, which is also what
peft's ``target_modules`` name.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """ReLU network. Input: images [N, channels, H, W] in [0, 1]; output: logits [N] of one output, [N, C] of C."""

    fully_connected: ClassVar[bool] = True  # its features are written out below
    attends: ClassVar[bool] = False

    def __init__(self, widths: list[int], *, image_shape: tuple[int, int, int] = (1, 28, 28),
                 biases: list[bool] | None = None) -> None:
        super().__init__()
        biases = biases or [True] + [False] * (len(widths) - 2)
        self.layers = nn.ModuleList(
            nn.Linear(n_in, n_out, bias=bias) for n_in, n_out, bias in zip(widths, widths[1:], biases, strict=False))
        self.register_buffer("input_mean", torch.zeros(image_shape))
        self.register_buffer("input_std", None)  # [channels, H, W] where pixels were divided as well

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return tuple(self.input_mean.shape)

    @property
    def widths(self) -> list[int]:
        return [self.layers[0].in_features, *(layer.out_features for layer in self.layers)]

    @property
    def outputs(self) -> int:
        """1 of a binary network, else its number of classes."""
        return self.layers[-1].out_features

    def linear_layers(self) -> dict[str, nn.Linear]:
        """By name, as adapters know them."""
        return {f"layers.{index}": layer for index, layer in enumerate(self.layers)}

    def layer_at(self, path: str) -> str | None:
        """The name of a layer by its module path in an adapter, whatever stands before it; None where it is none."""
        match = re.fullmatch(r"(?:.*\.)?(layers\.\d+)", path)
        return match[1] if match else None

    def describe(self) -> str:
        """Its shape in a few words."""
        return " – ".join(map(str, self.widths))

    def file_metadata(self) -> dict[str, str]:
        """What a file must say of it beside its tensors, whose shapes say all here."""
        return {}

    def centre(self, x: Tensor) -> Tensor:
        """Images [..., C, H, W] in [0, 1] to the first layer's inputs [..., D]: (x - mean) / std."""
        return standardised(self, x).flatten(-3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.centre(x)
        for layer in self.layers[:-1]:
            h = torch.relu(layer(h))
        return self.layers[-1](h).squeeze(-1)


def standardised(network: nn.Module, x: Tensor) -> Tensor:
    """Images [..., C, H, W] in [0, 1] as the network takes them; without an ``input_std`` only the mean goes."""
    centred = x - network.input_mean
    return centred if network.input_std is None else centred / network.input_std


def pixel_scale(network: nn.Module) -> Tensor:
    """How far a pixel moves for one unit of the network's input, [channels, H, W]: its ``input_std``, or ones."""
    std = getattr(network, "input_std", None)
    return torch.ones_like(network.input_mean) if std is None else std


def layer_names(network: MLP) -> list[str]:
    """``["layers.0", "layers.1", …]``, as peft and the checkpoint name them."""
    return [f"layers.{index}" for index in range(len(network.layers))]


def init_small_first_layer(network: nn.Module, *, scale: float, generator: torch.Generator) -> None:
    """Haim et al. 2022: first layer (weight and bias) ~ N(0, scale^2); torch's default elsewhere."""
    with torch.no_grad():
        for index, layer in enumerate(network.layers):
            for parameter in layer.parameters():
                if index == 0:
                    parameter.normal_(0.0, scale, generator=generator)
                else:
                    bound = layer.weight[0].numel() ** -0.5  # torch's default for the layer, drawn from our generator
                    parameter.uniform_(-bound, bound, generator=generator)


@dataclass(frozen=True)
class TangentFeatures:
    """The gradient of each sample's logit, or of its outputs along a direction, factored by layer.

    For layer l with input h [N, n_in] and back-propagated signal e [N, n_out],
    d f(x_i) / d W_l = outer(e_i, h_i) and d f(x_i) / d b_l = e_i.
    """

    logits: Tensor            # [N], or [N, C] of C outputs
    inputs: list[Tensor]      # h_l, [N, n_in] for each layer
    signals: list[Tensor]     # e_l, [N, n_out] for each layer
    preactivations: list[Tensor]  # z_l, [N, n_out] for each hidden layer


def tangent_features(network: MLP, x: Tensor, weights: list[Tensor] | None = None, *,
                     directions: Tensor | None = None) -> TangentFeatures:
    """Features of `x` [N, C, H, W] at the network's weights, or at `weights` (one per layer) instead.

    `directions` [N, C], constants: the gradients are those of directions_i . f(x_i); a network of several outputs
    needs them. Exact ReLU (derivative 0 at the kink, as autograd has it). No autograd graph is built.
    """
    with torch.no_grad():
        matrices = weights or [layer.weight for layer in network.layers]
        h = network.centre(x)
        inputs, preactivations = [], []
        for index, (layer, weight) in enumerate(zip(network.layers, matrices, strict=True)):
            inputs.append(h)
            z = h @ weight.T if layer.bias is None else h @ weight.T + layer.bias
            if index < len(matrices) - 1:
                preactivations.append(z)
                h = torch.relu(z)
        signals = [torch.ones_like(z) if directions is None else directions.to(z)]
        for weight, pre in zip(reversed(matrices[1:]), reversed(preactivations), strict=True):
            signals.append((signals[-1] @ weight) * (pre > 0))
        return TangentFeatures(z.squeeze(-1), inputs, signals[::-1], preactivations)
