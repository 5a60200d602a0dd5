"""The network that an update makes of its base: theta_0 with the released change added in."""

import copy

import torch
from torch import Tensor

from core.artifacts.factors import Factors
from core.models.mlp import MLP


def compose(base: MLP, layers: dict[str, Factors]) -> MLP:
    """A copy of `base` with W_l + scaling * B_l A_l in the adapted layers, summed in float64, rounded once."""
    return add(base, {name: factors.scaling * (factors.B.double() @ factors.A.double())
                       for name, factors in layers.items()}, {})


def add(base: MLP, weights: dict[str, Tensor], biases: dict[str, Tensor]) -> MLP:
    """A copy of `base` with these changes of weights and biases, by ``layers.i``."""
    network = copy.deepcopy(base).requires_grad_(False)
    with torch.no_grad():
        for changes, kind in ((weights, "weight"), (biases, "bias")):
            for name, change in changes.items():
                parameter = network.get_parameter(f"{name}.{kind}")
                parameter.copy_(parameter.double() + change.double())
    return network
