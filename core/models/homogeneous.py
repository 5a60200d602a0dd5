"""Whether a network is homogeneous: f(a theta) = a^D f(theta) for a > 0, what the KKT identity stands on.

Biases beyond the first layer break it, and so do dropout and batch norm: what was trained is then not f, or f holds
numbers that are no parameters.
"""

import copy

import torch
from torch import nn

FOREIGN = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)
TOLERANCE = 1e-6


def homogeneous(network: nn.Module) -> bool:
    """By the network's modules, and by its value at two images and three scales of all its parameters, in float64."""
    if any(isinstance(module, FOREIGN) for module in network.modules()):
        return False
    scaled = copy.deepcopy(network).cpu().double().eval().requires_grad_(False)
    x = torch.rand(2, *scaled.input_mean.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = []
    for _ in range(3):  # at theta, 2 theta and 4 theta: f must grow by one factor for all images and both times
        values.append(scaled(x))
        for parameter in scaled.parameters():
            parameter.mul_(2.0)
    # A homogeneous f has values[0] values[2] = values[1]^2, at each image and across them.
    left = values[0][:, None] * values[2][None]
    right = values[1][:, None] * values[1][None]
    return bool((left - right).abs().max() <= TOLERANCE * right.abs().max())
