from dataclasses import replace

import pytest
import torch
from torch import Tensor

from core.artifacts.factors import Factors
from core.data.problems import Problem
from core.models.mlp import MLP, tangent_features
from core.reconstruction.algebraic.drift import STILL, drift, drift_over_steps
from core.reconstruction.algebraic.separation import separate
from core.reconstruction.algebraic.system import build_system
from core.reconstruction.algebraic.updates import layer_updates
from core.reconstruction.certificate.projector import certificate
from core.threat.observation import AdapterDelta
from tests.helpers.cases import NOTHING, one_step


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
    assert drift_over_steps(updates[0], separation, steps=1) == 0
    assert drift_over_steps(updates[0], separation, steps=None) == 0         # exact to rounding: one step
    many = float(drift(updates[0], separation)[0])
    assert drift_over_steps(updates[0], separation, steps=10) == (many if many > STILL else 0)


def test_a_full_change_has_no_factor_that_moves(problem):
    step = one_step(problem, 2)
    updates = layer_updates(step.weights())
    assert drift_over_steps(updates[0], separate(step.network, updates, samples=2), steps=1000) == 0


def many_steps(problem: Problem, *, steps: int, rate: float) -> tuple[MLP, AdapterDelta, Tensor]:
    """Base, adapter of rank 8 in float64 and the private images [2, 1, 14, 14] of a gradient descent on B and A."""
    step = one_step(problem, 2)
    scaling, generator = 2.0, torch.Generator().manual_seed(0)
    A = [torch.randn(8, n, generator=generator, dtype=torch.float64) * n ** -0.5 for n in (196, 96)]
    factors = [tensor.requires_grad_() for tensor in (*A, *torch.zeros(2, 96, 8, dtype=torch.float64).unbind())]
    h = step.network.centre(step.x)
    for _ in range(steps):
        z = h
        for level, layer in enumerate(step.network.layers):
            W = layer.weight if level == 2 else layer.weight + scaling * factors[2 + level] @ factors[level]
            z = z @ W.T if layer.bias is None else z @ W.T + layer.bias
            z = z.relu() if level < 2 else z[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(z, step.labels.double())
        with torch.no_grad():
            for factor, slope in zip(factors, torch.autograd.grad(loss, factors), strict=True):
                factor -= rate * slope
    A0, A1, B0, B1 = (factor.detach() for factor in factors)
    return step.network, AdapterDelta(step.network, {"layers.0": Factors(A0, B0, scaling),
                                                     "layers.1": Factors(A1, B1, scaling)}, NOTHING), step.x


def test_the_certificate_holds_after_any_step_and_enters_the_system(problem):
    """N = 2, rank 8: six exact equations of the first layer, which say nothing of t; what else there is has a
    tolerance that the truth stays within."""
    network, observation, x = many_steps(problem, steps=10, rate=0.01)
    updates = layer_updates(observation)
    audit = certificate(updates[0].B, updates[0].A, precision=torch.finfo(torch.float64).eps)
    assert audit.rank == 2
    assert float(audit.residual(network.centre(x)).max()) < 1e-9
    separation = separate(network, updates, samples=2)
    moved = drift_over_steps(updates[0], separation, steps=None)
    assert moved > STILL
    patterns = tangent_features(network, x).preactivations[0] > 0
    for index, on in enumerate(patterns):
        sample = int((separation.layers[0].on == on).double().mean(1).argmax())
        system = build_system(network, updates, separation, sample, drift=moved, certificate=audit)
        assert len(system.E) == 8 + 7
        exact = (system.E[:, :-1] @ x[index].flatten() - system.b)[:6]
        assert float(system.E[:6, -1].abs().max()) < 1e-6 * float(system.E[:, -1].abs().max())
        assert float(exact.norm() / (system.E[:6, :-1] @ x[index].flatten()).norm()) < 1e-6
