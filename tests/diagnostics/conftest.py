"""A small network at two sets of weights, in float64, for comparison with explicit autograd."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from core.artifacts.factors import Factors
from core.models.mlp import MLP, layer_names


@dataclass(frozen=True)
class Moved:
    network: MLP                   # at theta_0
    moved: MLP                     # at theta_0 + scaling * B A, weights multiplied out
    update: dict[str, Factors]
    x: Tensor                      # [5, 1, 4, 4]
    labels: Tensor                 # [5]


@pytest.fixture(params=["first bias only", "all biases", "no bias, two layers"])
def moved(request) -> Moved:
    generator = torch.Generator().manual_seed(3)
    widths, biases = {"first bias only": ([16, 12, 9, 1], None), "all biases": ([16, 12, 9, 1], [True] * 3),
                      "no bias, two layers": ([16, 12, 1], [False, False])}[request.param]
    network = MLP(widths, image_shape=(1, 4, 4), biases=biases).double().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.4, generator=generator)
    network.input_mean.uniform_(0, 1, generator=generator)
    update = {}
    after = MLP(widths, image_shape=(1, 4, 4), biases=biases).double()
    after.load_state_dict(network.state_dict())
    after.requires_grad_(False)
    for index, name in enumerate(layer_names(network)[:-1]):
        n_out, n_in = network.layers[index].weight.shape
        factors = Factors(torch.randn(3, n_in, generator=generator, dtype=torch.float64),
                          torch.randn(n_out, 3, generator=generator, dtype=torch.float64) * 0.1, 1.5)
        after.layers[index].weight += factors.scaling * factors.B @ factors.A
        update[name] = factors
    x = torch.rand(5, 1, 4, 4, generator=generator, dtype=torch.float64)
    return Moved(network, after, update, x, torch.tensor([1, 0, 1, 1, 0]))
