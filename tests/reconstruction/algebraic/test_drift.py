from dataclasses import replace

import pytest
import torch

from core.reconstruction.algebraic.drift import drift, has_drifted
from core.reconstruction.algebraic.recovery import build_system
from core.reconstruction.algebraic.separation import LayerReading, separate
from core.reconstruction.algebraic.updates import layer_updates
from tests.helpers.cases import one_step


@pytest.mark.parametrize("scaling", [2.0, 64.0])
def test_the_change_of_the_first_layers_a_is_estimated(problem, scaling):
    """Beside half the change of A that one further step at the released B makes, x and k being known."""
    step = one_step(problem, 1)
    factors = step.factors(0, 32, torch.float64, scaling)
    observation = replace(step.adapter(), layers={**step.adapter().layers, "layers.0": factors})
    updates = layer_updates(observation)
    separation = separate(step.network, updates, samples=1)
    h, e, k = step.features.inputs[0][0], step.features.signals[0][0], step.k[0]
    change = scaling * factors.B.T @ (k * torch.outer(e, h))
    exact = float((change @ h).norm() / (factors.A @ h).norm()) / 2
    assert 0.1 < float(drift(updates[0], separation)[0]) / exact < 10  # k and |x| are known only roughly
    assert not has_drifted(updates[0], separation, steps=1)
    assert not has_drifted(updates[0], separation, steps=None)         # exact to rounding: one step
    assert has_drifted(updates[0], separation, steps=10) == (float(drift(updates[0], separation)[0]) > 0.3)


def test_a_full_change_has_no_factor_that_moves(problem):
    step = one_step(problem, 2)
    updates = layer_updates(step.weights())
    assert not has_drifted(updates[0], separate(step.network, updates, samples=2), steps=1000)


def test_what_still_holds_is_orthogonal_to_what_was_measured(problem):
    """N = 3: rank 32 leaves 29 equations of the first layer, and 30 above; the truth meets them still."""
    step = one_step(problem, 3)
    updates = layer_updates(step.adapter())
    separation = separate(step.network, updates, samples=3)
    assert isinstance(separation.layers[0], LayerReading)
    order = [int((separation.layers[0].on == row).double().mean(1).argmax()) for row in step.patterns(0)]
    for index, sample in enumerate(order):
        system = build_system(step.network, updates, separation, sample, drifted=True)
        assert len(system.E) == 29 + 30
        t = torch.tensor([system.unit / float(step.k[index].abs())], dtype=torch.float64)
        E = system.signed(1 if step.labels[index] else -1)
        v = torch.cat([step.x[index].flatten(), t])
        assert float((E @ v - system.b).norm() / (E[:, :-1] @ v[:-1]).norm()) < 1e-9
        assert float(system.E[:29, -1].norm() / system.E[29:, -1].norm()) < 1e-9  # the first layer says nothing of t
