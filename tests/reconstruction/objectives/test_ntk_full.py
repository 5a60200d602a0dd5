"""The NTK objective on full fine-tuning, and with features at both ends: against autograd in float64."""

import copy
from dataclasses import replace

import pytest
import torch

from benchmarks.reference import _relative
from core.host.compute import Compute
from core.models.mlp import tangent_features
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.modified_relu import ModifiedReLU
from core.reconstruction.objectives.ntk import NTKStationarity
from core.reconstruction.solvers.search_space import row_space
from core.threat.observation import WeightDelta
from core.threat.observe import observe

FLOAT64 = Compute(torch.device("cpu"), torch.float64)


@pytest.fixture
def full(victim):
    """The victim's one step, on every weight and bias instead of through an adapter."""
    tuned, features = copy.deepcopy(victim.network), tangent_features(victim.network, victim.x)
    for index, layer in enumerate(tuned.layers):
        e = victim.coefficients[:, None] * features.signals[index]
        layer.weight += e.T @ features.inputs[index]
        if layer.bias is not None:
            layer.bias += e.sum(0)
    return replace(victim, layers={}, tuned=tuned)


def slow_value(observation, candidate, *, whitening, relu_alpha, features):
    """sum_i k_i grad f(x_i) by autograd, at theta_0 or averaged over both ends; mean over layers, [R]."""
    ends = [observation.network] + ([observation.composed().network] if features == "both" else [])
    values = []
    for x, labels, lam in zip(candidate.x, candidate.labels, candidate.lam, strict=True):
        explained = {name: 0.0 for name in observation.layers}
        for end in ends:
            network = copy.deepcopy(end).requires_grad_(True)
            h = network.centre(x)
            for index, layer in enumerate(network.layers):
                h = layer(h) if index == len(network.layers) - 1 else ModifiedReLU.apply(layer(h), relu_alpha)
            total = (torch.where(labels > 0, lam, -lam) * h.squeeze(-1)).sum()
            for name in explained:
                layer = network.get_submodule(name)
                if isinstance(observation, WeightDelta):
                    own = [layer.weight] + ([layer.bias] if name in observation.biases else [])
                    parts = torch.autograd.grad(total, own, create_graph=True)
                    explained[name] += torch.cat([part.view(len(layer.weight), -1) for part in parts], 1) / len(ends)
                else:  # d/dB = scaling * G A^T; the observation is B / scaling
                    G = torch.autograd.grad(total, layer.weight, create_graph=True)[0]
                    explained[name] += G @ observation.layers[name].A.T / len(ends)
        released = {name: observation.matrix(name) if isinstance(observation, WeightDelta) else layer.B / layer.scaling
                    for name, layer in observation.layers.items()}
        # at most as many directions as the matrix has: one logit has one
        values.append(torch.stack([_relative(released[name], explained[name], min(3, len(released[name])), whitening)
                                   for name in explained]).mean())
    return torch.stack(values)


@pytest.mark.parametrize("features", ["base", "both"])
@pytest.mark.parametrize("kind", ["full", "adapter"])
@pytest.mark.parametrize(("whitening", "relu_alpha"), [(0.0, 20.0), (1.0, 5.0), (1.0, 150.0)])
def test_value_and_gradients_are_those_of_double_backward(full, victim, random_candidate, kind, features, whitening,
                                                          relu_alpha):
    observation = observe(full if kind == "full" else victim, "informed")
    random_candidate.x.requires_grad_()
    random_candidate.lam.requires_grad_()
    expected = slow_value(observation, random_candidate, whitening=whitening, relu_alpha=relu_alpha, features=features)
    grad_x, grad_lam = torch.autograd.grad(expected.sum(), [random_candidate.x, random_candidate.lam])
    plain = Candidate(random_candidate.x.detach(), random_candidate.labels, random_candidate.lam.detach())
    objective = NTKStationarity(observation, samples=3, whitening=whitening, compute=FLOAT64, features=features)
    got = objective.evaluate(plain, relu_alpha=relu_alpha)
    assert torch.allclose(got.value, expected, rtol=1e-8)
    assert torch.allclose(got.grad_x, grad_x, rtol=1e-6, atol=1e-8 * grad_x.abs().max())
    assert torch.allclose(got.grad_log_lam, grad_lam * plain.lam, rtol=1e-6, atol=1e-10)


def test_residual_is_zero_at_the_truth_and_nowhere_near(full, random_candidate):
    objective = NTKStationarity(observe(full, "informed"), samples=3, whitening=1.0, compute=FLOAT64)
    truth = Candidate(full.x[None], full.labels[None], full.coefficients.abs()[None])
    found = objective.residuals(truth)
    assert set(found) == {"residual", "residual.layers.0", "residual.layers.1", "residual.layers.2"}
    assert found["residual"].item() < 1e-12
    assert objective.residuals(random_candidate)["residual"].min().item() > 0.1


def test_the_true_images_lie_in_the_row_space(full):
    """Full fine-tuning: N coordinates an image, whatever the number of pixels."""
    objective = NTKStationarity(observe(full, "informed"), samples=3, whitening=1.0, compute=FLOAT64)
    space = row_space(objective, compute=FLOAT64)
    assert space.size == space.stiff == 3
    offset = (full.x - space.centre).flatten(1)
    inside = torch.linalg.lstsq(space.basis, offset.T).solution
    assert torch.allclose(space.basis @ inside, offset.T, atol=1e-8)


def test_both_ends_explain_a_long_way_better(full):
    """Five steps in which features turn: the average of both ends leaves less unexplained than the base's alone."""
    network, x, y = copy.deepcopy(full.network).requires_grad_(True), full.x, full.labels.double()
    kappa = torch.zeros(3, dtype=torch.float64)
    for _ in range(5):
        logits = network(x)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y)
        for parameter, gradient in zip(network.parameters(), torch.autograd.grad(loss, list(network.parameters())),
                                       strict=True):
            parameter.data -= 0.03 * gradient
        kappa -= 0.03 * (torch.sigmoid(logits.detach()) - y) / 3
    observation = observe(replace(full, tuned=network.requires_grad_(False), coefficients=kappa), "oracle")
    truth = Candidate(x[None], full.labels[None], kappa.abs()[None])
    base, both = (NTKStationarity(observation, samples=3, whitening=0.0, compute=FLOAT64, features=features).residuals(
        truth)["residual"].item() for features in ("base", "both"))
    assert both < base / 4
