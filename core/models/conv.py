"""A convolutional ReLU network of one logit, in the style of Buzaglo et al. 2023.

Convolutions without pooling, then fully connected layers; a bias in the first layer only, so that it is homogeneous.
Layers are named ``layers.i``, convolutions first, as in `core.models.mlp`.
"""

import json
from typing import ClassVar

import torch
from torch import Tensor, nn

from core.io.wording import counted
from core.models.mlp import MLP, standardised


class ConvNet(nn.Module):
    """Input: images [N, C, H, W] in [0, 1]; output: logits [N]."""

    fully_connected: ClassVar[bool] = False
    attends: ClassVar[bool] = False

    def __init__(self, *, channels: list[int], kernels: list[int], strides: list[int], paddings: list[int],
                 hidden: list[int], image_shape: tuple[int, int, int] = (1, 28, 28),
                 biases: list[bool] | None = None) -> None:
        """One entry of the first four a convolution, of `hidden` a fully connected layer below the logit."""
        super().__init__()
        biases = biases or [True] + [False] * (len(channels) + len(hidden))
        self.layers = nn.ModuleList(
            nn.Conv2d(n_in, n_out, kernel, stride=stride, padding=padding, bias=bias)
            for n_in, n_out, kernel, stride, padding, bias in
            zip([image_shape[0], *channels], channels, kernels, strides, paddings, biases, strict=False))
        with torch.no_grad():
            features = nn.Sequential(*self.layers)(torch.zeros(1, *image_shape)).numel()
        self.layers.extend(nn.Linear(n_in, n_out, bias=bias) for n_in, n_out, bias in
                           zip([features, *hidden], [*hidden, 1], biases[len(channels):], strict=True))
        self.register_buffer("input_mean", torch.zeros(image_shape))
        self.register_buffer("input_std", None)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return tuple(self.input_mean.shape)

    @property
    def outputs(self) -> int:
        return 1

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        return [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]

    def describe(self) -> str:
        """Its shape in a few words."""
        return f"{counted(len(self.convolutions), 'convolution')}, {counted(self.outputs, 'output')}"

    def file_metadata(self) -> dict[str, str]:
        """Strides and paddings, which the tensors do not tell."""
        return {"convolutions": json.dumps({"strides": [layer.stride[0] for layer in self.convolutions],
                                            "paddings": [layer.padding[0] for layer in self.convolutions]})}

    def forward(self, x: Tensor) -> Tensor:
        h = standardised(self, x)
        for layer in self.layers[:-1]:
            h = torch.relu(layer(h if isinstance(layer, nn.Conv2d) else h.flatten(1)))
        return self.layers[-1](h.flatten(1)).squeeze(1)


Network = MLP | ConvNet


def feature_side(side: int, *, kernel: int, stride: int, padding: int) -> int:
    """Places along one side of a feature map; below 1 where the kernel does not fit."""
    return (side + 2 * padding - kernel) // stride + 1
