"""The first layer alone: only its zeros tell, and they tell up to a factor."""

import pytest
import torch

from core.reconstruction.algebraic.null_directions import separate_first_layer
from core.reconstruction.algebraic.updates import layer_updates
from core.threat.layer_update import LayerUpdate
from tests.helpers.cases import assign, one_step


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("samples", [1, 2, 4])
def test_patterns_and_measurements_up_to_a_factor(problem, samples, dtype):
    step = one_step(problem, samples)
    update = layer_updates(step.adapter(layers=("layers.0",), dtype=dtype))[0]
    found = separate_first_layer(update, samples=samples)
    reading = found.layers[0]
    truth = step.features.inputs[0] @ update.A.T
    order = assign(reading.on, step.patterns(0))
    certain = reading.certain[order]
    assert torch.equal(reading.on[order][certain], step.patterns(0)[certain])
    live = step.patterns(0).any(0)                                  # one that is off for all says nothing
    assert float(certain[:, live].double().mean()) > 0.9
    cosine = torch.nn.functional.cosine_similarity(reading.measured[order], truth, dim=1).abs()
    assert float(cosine.min()) > 1 - (1e-12 if dtype == torch.float64 else 1e-8)
    # signal x measured is the sample's part of the update, whatever factor stands in which of the two.
    for index, own in enumerate(order):
        part = reading.signal[own][:, None] * reading.measured[own]
        exact = step.k[index] * step.features.signals[0][index][:, None] * truth[index]
        assert float((part - exact).norm() / exact.norm()) < (1e-9 if dtype == torch.float64 else 1e-3)


def test_without_zeros_there_is_nothing_to_find():
    generator = torch.Generator().manual_seed(0)
    B = torch.randn(80, 3, generator=generator, dtype=torch.float64) @ torch.randn(
        3, 16, generator=generator, dtype=torch.float64)
    update = LayerUpdate(B, torch.eye(16).double(), False, 1e-16, 0.0, 1.0)
    assert separate_first_layer(update, samples=3) is None
    assert separate_first_layer(update, samples=17) is None
    assert separate_first_layer(update, samples=0) is None
