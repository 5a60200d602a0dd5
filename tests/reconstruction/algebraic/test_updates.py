import pytest
import torch

from core.artifacts.factors import Factors
from core.reconstruction.algebraic.updates import layer_updates
from core.threat.observation import AdapterDelta
from tests.helpers.cases import NOTHING, one_step


def test_an_adapters_update_is_the_sum_of_its_samples(problem):
    step = one_step(problem, 2)
    for level, update in layer_updates(step.adapter()).items():
        measured = step.features.inputs[level] @ update.A.T
        assert torch.allclose(update.B, (step.k[:, None] * step.features.signals[level]).T @ measured, rtol=1e-12)
        assert not update.with_bias


@pytest.mark.parametrize("bias", [True, False])
def test_a_full_change_measures_every_input(problem, bias):
    step = one_step(problem, 2)
    observation = step.weights(bias=bias)
    for name, update in zip(("layers.0", "layers.1"), layer_updates(observation).values(), strict=True):
        assert torch.equal(update.B @ update.A, observation.matrix(name))
        assert torch.linalg.matrix_rank(update.A) == update.A.shape[1]
    first, second = layer_updates(observation).values()
    assert (first.with_bias, second.with_bias) == (bias, False)


def test_layers_without_an_update_are_left_out_and_rounding_follows_the_file(problem):
    step = one_step(problem, 1)
    observation = step.adapter(dtype=torch.bfloat16)
    empty = Factors(torch.ones(2, 96), torch.zeros(1, 2), 1.0)
    updates = layer_updates(AdapterDelta(step.network, {**observation.layers, "layers.2": empty}, NOTHING))
    assert list(updates) == [0, 1]
    assert {update.precision for update in updates.values()} == {torch.finfo(torch.bfloat16).eps}
    assert {update.B.dtype for update in updates.values()} == {torch.float64}
