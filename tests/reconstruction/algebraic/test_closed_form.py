import copy

import pytest
import torch

from core.reconstruction.algebraic.closed_form import coefficient, single_input
from core.reconstruction.algebraic.updates import layer_updates
from tests.helpers.cases import one_step


def test_one_sample_is_a_quotient(problem):
    step = one_step(problem, 1)
    update = layer_updates(step.weights())[0]
    assert torch.allclose(single_input(update), step.features.inputs[0][0], atol=1e-12)
    k = coefficient(step.network, step.x[0].flatten(), update.B @ update.A[:, -1], 1.0)
    assert k == pytest.approx(float(step.k[0]), rel=1e-10)


def test_a_coefficient_up_to_a_factor_and_the_network_as_it_was(problem):
    step = one_step(problem, 1)
    network = copy.deepcopy(step.network).float()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    signal = -3 * step.k[0] * step.features.signals[0][0]
    k = coefficient(network, step.x[0].flatten(), signal, -1 / 3)
    assert k == pytest.approx(float(step.k[0]), rel=1e-5)
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
