"""Samples of one exact step come apart: patterns, signals and measurements are the true ones."""

import pytest
import torch

from core.reconstruction.algebraic.separation import first_alone, separable, separate, strongest_first
from core.reconstruction.algebraic.updates import layer_updates
from core.threat.observation import AdapterDelta
from tests.helpers.cases import NOTHING, OneStep, assign, one_step, random_network


def separated(step: OneStep, observation, samples: int):
    return separate(step.network, layer_updates(observation), samples=samples)


def check(step: OneStep, observation, *, accuracy: float, certain: float) -> None:
    updates = layer_updates(observation)
    found = separated(step, observation, len(step.x))
    order = None
    for level, reading in found.layers.items():
        h = step.features.inputs[level]
        if updates[level].with_bias:
            h = torch.cat([h, torch.ones(len(h), 1, dtype=h.dtype)], dim=1)
        truth = step.k[:, None] * (h @ updates[level].A.T)
        order = order or assign(reading.measured, truth)            # the same order in every layer
        assert float((reading.measured[order] - truth).norm() / truth.norm()) < accuracy
        right = reading.on[order] == step.patterns(level)
        assert bool(right[reading.certain[order]].all())
        assert float(reading.certain.double().mean()) > certain
        inside = reading.certain[order]
        assert torch.allclose(reading.signal[order][inside], step.features.signals[level][inside], atol=1e-9)
        error = (reading.measured[order] - truth).square().mean(1).sqrt()
        assert bool((error < 5 * reading.noise[order] + 1e-14 * truth.norm()).all())  # the noise that it tells of
    assert float(found.misfit.max()) < 0.05


@pytest.mark.parametrize("samples", [1, 2, 4, 6])
def test_exact_adapters(problem, samples):
    step = one_step(problem, samples)
    check(step, step.adapter(), accuracy=1e-10, certain=0.97)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("samples", [1, 2, 4])
def test_exact_weights(problem, samples, bias):
    step = one_step(problem, samples)
    check(step, step.weights(bias=bias), accuracy=1e-10, certain=0.97)


@pytest.mark.parametrize(("dtype", "accuracy", "certain"), [(torch.float32, 1e-5, 0.95), (torch.bfloat16, 0.03, 0.6)])
@pytest.mark.parametrize("samples", [1, 2])
def test_stored_adapters(problem, samples, dtype, accuracy, certain):
    step = one_step(problem, samples)
    check(step, step.adapter(dtype=dtype), accuracy=accuracy, certain=certain)


def test_three_hidden_layers(problem):
    step = one_step(problem, 2, hidden=3)
    check(step, step.adapter(layers=("layers.0", "layers.1", "layers.2")), accuracy=1e-9, certain=0.95)


def test_every_sample_keeps_one_place_in_all_layers_the_strongest_first(problem):
    step = one_step(problem, 4)
    found = strongest_first(separated(step, step.adapter(), 4))
    size = found.layers[0].measured.norm(dim=1)
    assert bool((size[:-1] >= size[1:]).all())
    places = [assign(found.layers[level].on, step.patterns(level)) for level in (0, 1)]
    assert places[0] == places[1]


def test_what_is_not_a_sum_of_n_patterns_is_not_separated(problem):
    step = one_step(problem, 4)
    assert separated(step, step.adapter(), 2) is None                  # more samples than asked for
    assert separated(step, step.adapter(rank=3), 4) is None            # fewer ranks than samples
    assert separated(step, step.adapter(), 19) is None                 # more than words can be tried for
    other = AdapterDelta(random_network(seed=1), step.adapter().layers, NOTHING)
    assert separate(other.network, layer_updates(other), samples=4) is None


@pytest.mark.parametrize(("layers", "sentence"), [
    (("layers.0", "layers.1"), None),
    (("layers.0",), None),
    (("layers.0", "layers.2"), None),
    (("layers.1",), "layers.0 has no update"),
])
def test_which_layers_are_needed(problem, layers, sentence):
    step = one_step(problem, 1)
    why = separable(step.network, layer_updates(step.adapter(layers=layers)))
    assert why is None if sentence is None else sentence in why
    assert first_alone(step.network, layer_updates(step.adapter(layers=layers))) == ("layers.1" not in layers
                                                                                    and "layers.0" in layers)


def test_gaps_between_layers_are_named(problem):
    step = one_step(problem, 1, hidden=3)
    for missing in ("layers.1", "layers.2"):
        present = tuple(name for name in ("layers.0", "layers.1", "layers.2") if name != missing)
        assert f"{missing} has no update" in separable(step.network, layer_updates(step.adapter(layers=present)))
