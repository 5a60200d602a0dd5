"""The network and its factored per-sample gradients, against autograd."""

import pytest
import torch

from core.models.mlp import MLP, init_small_first_layer, layer_names, tangent_features

SHAPES = [([16, 12, 9, 1], None), ([16, 12, 9, 7, 1], [True] * 4), ([16, 12, 1], [False, False])]


def random_network(widths: list[int], biases: list[bool] | None) -> MLP:
    generator = torch.Generator().manual_seed(2)
    network = MLP(widths, image_shape=(1, 4, 4), biases=biases).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.5, generator=generator)
        network.input_mean.uniform_(0, 1, generator=generator)
    return network


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


@pytest.mark.parametrize(("widths", "biases"), SHAPES)
def test_tangent_features_are_the_per_sample_gradients(widths, biases, x):
    network = random_network(widths, biases)
    features = tangent_features(network, x)
    assert torch.allclose(features.logits, network(x).detach())
    for sample in range(len(x)):
        gradients = torch.autograd.grad(network(x[sample: sample + 1]).sum(), list(network.parameters()))
        factored = []
        for layer, h, e in zip(network.layers, features.inputs, features.signals, strict=True):
            factored.append(torch.outer(e[sample], h[sample]))
            factored += [e[sample]] if layer.bias is not None else []
        for ours, automatic in zip(factored, gradients, strict=True):
            assert torch.allclose(ours, automatic, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("widths", "biases"), SHAPES)
def test_tangent_features_at_other_weights(widths, biases, x):
    network = random_network(widths, biases)
    weights = [layer.weight.detach() * 0.7 + 0.1 for layer in network.layers]
    moved = random_network(widths, biases)
    with torch.no_grad():
        for layer, weight in zip(moved.layers, weights, strict=True):
            layer.weight.copy_(weight)
    override, direct = tangent_features(network, x, weights), tangent_features(moved, x)
    assert torch.equal(override.logits, direct.logits)
    for ours, theirs in zip(override.signals + override.preactivations, direct.signals + direct.preactivations,
                            strict=True):
        assert torch.equal(ours, theirs)


def test_the_derivative_at_the_kink_is_zero():
    network = MLP([4, 3, 1], image_shape=(1, 2, 2)).requires_grad_(False)
    network.layers[0].bias.zero_()
    features = tangent_features(network, torch.zeros(1, 1, 2, 2))  # every pre-activation is exactly 0
    assert features.signals[0].abs().sum() == 0


def test_bias_in_the_first_layer_only_makes_it_homogeneous(x):
    network = random_network([16, 12, 9, 1], None)
    before = network(x)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.0)
    assert torch.allclose(network(x), before * 2 ** 3)


def test_restarts_keep_their_axes_when_centred():
    network = random_network([16, 12, 1], None)
    batch = torch.rand(3, 5, 1, 4, 4, dtype=torch.float64)
    centred = network.centre(batch)
    assert centred.shape == (3, 5, 16)
    assert torch.equal(centred[2, 4], (batch[2, 4] - network.input_mean).flatten())


def test_names_and_widths():
    network = MLP([784, 5, 6, 1])
    assert layer_names(network) == ["layers.0", "layers.1", "layers.2"]
    assert network.widths == [784, 5, 6, 1]
    assert network.image_shape == (1, 28, 28)
    assert [layer.bias is not None for layer in network.layers] == [True, False, False]


def test_initialisation_as_in_the_paper():
    network = MLP([784, 400, 400, 1])
    init_small_first_layer(network, scale=1e-4, generator=torch.Generator().manual_seed(0))
    assert network.layers[0].weight.std().item() == pytest.approx(1e-4, rel=0.02)
    assert network.layers[0].bias.std().item() == pytest.approx(1e-4, rel=0.2)
    default = torch.nn.Linear(400, 400, bias=False).weight
    assert network.layers[1].weight.std().item() == pytest.approx(default.std().item(), rel=0.02)
    assert network.layers[1].weight.abs().max() <= 400 ** -0.5
    again = MLP([784, 400, 400, 1])
    init_small_first_layer(again, scale=1e-4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.layers[2].weight, network.layers[2].weight)
