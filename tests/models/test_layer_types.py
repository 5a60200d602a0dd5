"""The factored gradient of every layer type against autograd, one sample at a time, in float64."""

import math

import pytest
import torch
from torch import nn

from core.diagnostics.gradient_products import gradient_products
from core.io.errors import InputError
from core.models.conv import ConvNet
from core.models.layer_types import LAYER_TYPES, Places, factored_gradients, layer_type
from core.models.mlp import MLP


class Tokens(nn.Module):
    """An embedding, projections at every token, attention between them, one output or several."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.query, self.key, self.value = (nn.Linear(6, 5, bias=bias) for bias in (True, False, True))
        self.head = nn.Linear(5, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.embedding(x)
        weights = (self.query(h) @ self.key(h).transpose(1, 2) / math.sqrt(5)).softmax(-1)
        return self.head((weights @ self.value(h)).mean(1)).squeeze(-1)


class Patches(nn.Module):
    """Convolutions with stride, padding and dilation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, stride=2, padding=1)
        self.second = nn.Conv2d(4, 3, 2, dilation=2, bias=False)
        self.head = nn.Linear(3 * 2 * 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.second(torch.tanh(self.first(x)))).flatten(1))


def cases() -> dict[str, tuple[nn.Module, torch.Tensor, torch.Tensor | None]]:
    generator = torch.Generator().manual_seed(4)
    images, words = torch.rand(5, 1, 6, 6, generator=generator), torch.randint(0, 11, (5, 7), generator=generator)
    directions = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    return {
        "fully connected": (MLP([36, 8, 7, 1], image_shape=(1, 6, 6), biases=[True, False, True]), images, None),
        "fully connected, classes": (MLP([36, 8, 3], image_shape=(1, 6, 6)), images, directions),
        "convolutional": (ConvNet(channels=[4], kernels=[3], strides=[2], paddings=[1], hidden=[5],
                                  image_shape=(1, 6, 6)), images, None),
        "patches": (Patches(), torch.rand(5, 2, 8, 8, generator=generator), directions),
        "tokens": (Tokens(), words, None),
        "tokens, classes": (Tokens(3), words, directions),
    }


@pytest.fixture(params=list(cases()))
def case(request) -> tuple[nn.Module, torch.Tensor, torch.Tensor | None]:
    torch.manual_seed(1)
    network, x, directions = cases()[request.param]
    return network.double().requires_grad_(False), x if x.dtype == torch.int64 else x.double(), directions


def by_autograd(network: nn.Module, x: torch.Tensor, directions: torch.Tensor | None) -> list[dict[str, torch.Tensor]]:
    """The gradient of each sample's output for every parameter, by its name."""
    names, parameters = zip(*network.requires_grad_(True).named_parameters(), strict=True)
    found = []
    for index in range(len(x)):
        value = network(x[index: index + 1])[0]
        value = value if directions is None else (value * directions[index]).sum()
        found.append(dict(zip(names, torch.autograd.grad(value, parameters), strict=True)))
    network.requires_grad_(False)
    return found


def test_gradients_are_those_of_autograd(case):
    network, x, directions = case
    outputs, layers = factored_gradients(network, x, directions=directions)
    assert torch.allclose(outputs, network(x), rtol=1e-13)
    expected = by_autograd(network, x, directions)
    assert set(layers) == {name.rpartition(".")[0] for name in expected[0]}
    for name, layer in layers.items():
        weight = network.get_submodule(name).weight
        formed = layer.places.gradients()
        for index, gradients in enumerate(expected):
            other = gradients[f"{name}.weight"]
            other = other.T if isinstance(network.get_submodule(name), nn.Embedding) else other.reshape(len(weight), -1)
            assert torch.allclose(formed[index], other, rtol=1e-11, atol=1e-14)
            if f"{name}.bias" in gradients:
                assert torch.allclose(layer.places.signals[index].sum(0), gradients[f"{name}.bias"], rtol=1e-11,
                                      atol=1e-14)


def test_products_are_those_of_the_formed_gradients(case):
    network, x, directions = case
    _, products = gradient_products(network, x, directions)
    expected = by_autograd(network, x, directions)
    theta = dict(network.named_parameters())
    by_layer: dict[str, list[str]] = {}
    for name in theta:
        by_layer.setdefault(name.rpartition(".")[0], []).append(name)
    for (gram, inner), names in zip(products, by_layer.values(), strict=True):
        flat = torch.stack([torch.cat([one[name].flatten() for name in names]) for one in expected])
        assert torch.allclose(gram, flat @ flat.T, rtol=1e-10, atol=1e-13)
        assert torch.allclose(inner, flat @ torch.cat([theta[name].flatten() for name in names]), rtol=1e-10,
                              atol=1e-13)


def test_a_frozen_network_stays_as_it_was(case):
    network, x, directions = case
    factored_gradients(network, x, directions=directions)
    assert not any(module._forward_hooks for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_another_layer_type_is_one_function(monkeypatch):
    """Here a layer that stores its matrix the other way round, as GPT-2's does."""
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(36, 1, dtype=torch.float64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight

    network = nn.Sequential(nn.Flatten(), Turned())
    x = torch.rand(4, 1, 6, 6, dtype=torch.float64)
    with pytest.raises(InputError, match="1 is a Turned, for which no layer type is registered"):
        factored_gradients(network, x)
    monkeypatch.setattr("core.models.layer_types.LAYER_TYPES", dict(LAYER_TYPES))

    @layer_type(Turned)
    def turned(layer: Turned, inputs: torch.Tensor, signals: torch.Tensor) -> Places:
        return Places(inputs[:, None], signals[:, None])

    _, layers = factored_gradients(network, x)
    assert torch.allclose(layers["1"].places.gradients()[:, 0], x.flatten(1))
    gram, inner = gradient_products(network, x)[1][0]
    assert torch.allclose(gram, x.flatten(1) @ x.flatten(1).T)
    assert torch.allclose(inner, network(x).flatten().detach())


def test_what_a_convolution_cannot_be():
    network = nn.Sequential(nn.Conv2d(2, 2, 3, groups=2), nn.Flatten())
    with pytest.raises(InputError, match="in groups"):
        factored_gradients(network, torch.rand(1, 2, 5, 5))
