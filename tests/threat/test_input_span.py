"""The first layer's span on layers whose samples are known: sums of outer products plus noise, and a trained one."""

import pytest
import torch

from core.models.mlp import MLP, init_small_first_layer
from core.threat.input_span import input_span


def layer(rows: int, columns: int, samples: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weight, bias, and inputs [N, D] with their mean subtracted."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(samples, columns, generator=generator, dtype=torch.float64)
    inputs -= inputs.mean(0)
    signals = torch.randn(samples, rows, generator=generator, dtype=torch.float64) * 0.01
    weight = signals.T @ inputs + 1e-4 * torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    return weight, signals.sum(0) + 1e-4 * torch.randn(rows, generator=generator, dtype=torch.float64), inputs


@pytest.mark.parametrize(("rows", "columns"), [(200, 64), (60, 144), (100, 100)])
@pytest.mark.parametrize("samples", [1, 2, 7, 40])
def test_samples_are_counted_and_their_span_found(rows, columns, samples):
    weight, bias, inputs = layer(rows, columns, samples)
    span = input_span(weight, bias)
    if samples == 1:  # one sample with its mean subtracted is nothing but its bias: no direction is left
        assert span is None
        return
    assert span.samples == samples
    assert span.basis.shape == (columns, samples - 1)
    outside = inputs - inputs @ span.basis @ span.basis.T
    assert outside.norm() < 0.05 * inputs.norm()
    assert f"N = {samples}" in span.explanation


def test_the_trained_network_shows_its_twenty_digits(tiny_network, problem, trained_indices):
    span = input_span(tiny_network.layers[0].weight, tiny_network.layers[0].bias)
    assert span.samples == 20
    inputs = tiny_network.centre(problem.images(trained_indices).double())
    inside = (inputs @ span.basis).norm(dim=1) / inputs.norm(dim=1)
    assert inside.min() > 0.98


@pytest.mark.parametrize("scale", [1e-4, 1.0])
def test_an_untrained_layer_shows_none(scale):
    network = MLP([784, 100, 100, 1]).requires_grad_(False)
    init_small_first_layer(network, scale=scale, generator=torch.Generator().manual_seed(0))
    assert input_span(network.layers[0].weight, network.layers[0].bias) is None


def test_more_samples_than_the_layer_can_show_do_not_crash():
    weight, bias, _ = layer(30, 20, 60)
    span = input_span(weight, bias)
    assert span is None or span.samples <= 21


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_is_noise_where_the_initialisation_faded_below_it(dtype):
    """Rounding of entries of many sizes is no Gaussian bulk: its largest values stand out of its own median."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(6, 64, generator=generator, dtype=torch.float64)
    signals = torch.randn(6, 200, generator=generator, dtype=torch.float64)
    signals *= torch.rand(200, generator=generator, dtype=torch.float64) ** 8  # few neurons carry most
    span = input_span((signals.T @ inputs).to(dtype), signals.sum(0).to(dtype))
    assert span.samples == 6
