"""A network near a KKT point, whose four digits are known."""

import pytest
import torch

from core.models.mlp import MLP, init_small_first_layer
from core.training.pretrain import pretrain


@pytest.fixture(scope="module")
def digits_of_four(problem) -> tuple[torch.Tensor, torch.Tensor]:
    indices = problem.select_training(2)
    return problem.images(indices), problem.labels[indices]


@pytest.fixture(scope="module")
def stationary(digits_of_four) -> MLP:
    """784-128-128-1 on four digits, to a loss of e^-30: the first layer is within 2 % of a KKT point."""
    x, labels = digits_of_four
    network = MLP([784, 128, 128, 1]).requires_grad_(False)
    init_small_first_layer(network, scale=1e-4, generator=torch.Generator().manual_seed(0))
    network.input_mean.copy_(x.mean(0))
    pretrain(network, x, labels, optimizer="log-gd", learning_rate=0.01, epochs=400, target_log_loss=-30.0,
             record_every=100)
    return network
