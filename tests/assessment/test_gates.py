"""Gates of reconstructions against gates of the truth."""

import pytest
import torch

from core.assessment.gates import MISSING, in_order, matched_gates, mismatch
from core.models.mlp import MLP


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MLP([16, 40, 30, 1], image_shape=(1, 4, 4)).requires_grad_(False)


def test_the_same_images_in_another_order_have_no_mismatch(network):
    x = torch.rand(3, 1, 4, 4)
    pairs = matched_gates(network, x, x[[2, 0, 1]], [1, 2, 0])
    assert {name: mismatch(*pair) for name, pair in pairs.items()} == {"layers.0": [0.0] * 3, "layers.1": [0.0] * 3}
    assert torch.equal(pairs["layers.0"][0].bool(), network.layers[0](network.centre(x)) > 0)


def test_shares_count_neurons_and_a_missing_target_has_none(network):
    truth = torch.tensor([[1, 0, 1, 0], [1, 1, 1, 1]], dtype=torch.uint8)
    found = in_order(torch.tensor([[1, 1, 1, 0]], dtype=torch.uint8), [0, None])
    assert found.tolist()[1] == [MISSING] * 4
    assert mismatch(truth, found) == [0.25, None]


def test_an_attack_without_images_misses_every_target(network):
    pairs = matched_gates(network, torch.rand(2, 1, 4, 4), torch.zeros(0, 1, 4, 4), [None, None])
    assert {name: mismatch(*pair) for name, pair in pairs.items()} == {"layers.0": [None] * 2, "layers.1": [None] * 2}
