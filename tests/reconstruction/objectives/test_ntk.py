from dataclasses import replace

import pytest
import torch

from benchmarks.reference import ntk_value
from core.artifacts.factors import Factors
from core.host.compute import Compute
from core.io.errors import InputError
from core.models.mlp import tangent_features
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.ntk import EXACT, NTKStationarity
from core.threat.observation import AdapterDelta
from core.threat.observe import observe

FLOAT64 = Compute(torch.device("cpu"), torch.float64)
FLOAT32 = Compute(torch.device("cpu"), torch.float32)


def objective(victim, *, whitening=1.0, compute=FLOAT64, samples=3) -> NTKStationarity:
    return NTKStationarity(observe(victim, "informed"), samples=samples, whitening=whitening, compute=compute)


def truth(victim) -> Candidate:
    return Candidate(victim.x[None], victim.labels[None], victim.coefficients.abs()[None])


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("relu_alpha", [5.0, 150.0])
def test_value_and_gradients_are_those_of_double_backward(victim, random_candidate, whitening, relu_alpha):
    random_candidate.x.requires_grad_()
    random_candidate.lam.requires_grad_()
    expected = ntk_value(observe(victim, "informed"), random_candidate, samples=3, whitening=whitening,
                         relu_alpha=relu_alpha)
    grad_x, grad_lam = torch.autograd.grad(expected.sum(), [random_candidate.x, random_candidate.lam])
    plain = Candidate(random_candidate.x.detach(), random_candidate.labels, random_candidate.lam.detach())
    got = objective(victim, whitening=whitening).evaluate(plain, relu_alpha=relu_alpha)
    assert torch.allclose(got.value, expected, rtol=1e-10)
    assert torch.allclose(got.grad_x, grad_x, rtol=1e-8, atol=1e-10 * grad_x.abs().max())
    assert torch.allclose(got.grad_log_lam, grad_lam * plain.lam, rtol=1e-8, atol=1e-12)


def a_at_zero(victim) -> AdapterDelta:
    """The step of the same samples on an adapter of rank 8 that began with A = 0 and a drawn B."""
    features = tangent_features(victim.network, victim.x)
    generator, layers = torch.Generator().manual_seed(6), {}
    for level in (0, 1):
        h, e = features.inputs[level], features.signals[level]
        B = torch.randn(e.shape[1], 8, generator=generator, dtype=e.dtype)
        layers[f"layers.{level}"] = Factors(2 * (victim.coefficients[:, None] * (e @ B)).T @ h, B, 2.0,
                                            a_began_at_zero=True)
    return replace(observe(victim, "informed"), layers=layers)


def test_an_adapter_that_began_with_a_at_zero(victim, random_candidate):
    observation = a_at_zero(victim)
    measured = NTKStationarity(observation, samples=3, whitening=1.0, compute=FLOAT64)
    assert measured.residuals(truth(victim))["residual"].abs().item() < 1e-12
    assert measured.residuals(random_candidate)["residual"].min().item() > 0.1
    random_candidate.x.requires_grad_()
    expected = ntk_value(observation, random_candidate, samples=3, whitening=1.0, relu_alpha=20.0)
    grad_x = torch.autograd.grad(expected.sum(), random_candidate.x)[0]
    got = measured.evaluate(replace(random_candidate, x=random_candidate.x.detach()), relu_alpha=20.0)
    assert torch.allclose(got.value, expected, rtol=1e-10)
    assert torch.allclose(got.grad_x, grad_x, rtol=1e-8, atol=1e-10 * grad_x.abs().max())


def test_its_inputs_are_confined_to_their_span_while_the_rank_holds_it(victim):
    observation = a_at_zero(victim)
    seen, unseen = NTKStationarity(observation, samples=3, whitening=1.0, compute=FLOAT64).allowed_inputs()
    h = victim.network.centre(victim.x).flatten(1)
    assert seen.shape == (784, 3)
    assert unseen.shape == (784, 0)
    assert (h - h @ seen @ seen.T).norm() < 1e-9 * h.norm()
    for samples, known, confined in ((9, 9, False), (8, 8, True), (8, None, False), (7, None, True)):
        guessed = replace(observation, threat=replace(observation.threat, samples=known))
        found = NTKStationarity(guessed, samples=samples, whitening=1.0, compute=FLOAT64).allowed_inputs()
        assert (found is not None) == confined


@pytest.mark.parametrize("adapted", [("layers.0",), ("layers.1",)])
def test_adapters_on_a_single_layer(victim, random_candidate, adapted):
    observation = observe(victim, "informed")
    observation = replace(observation, layers={name: observation.layers[name] for name in adapted})
    random_candidate.x.requires_grad_()
    expected = ntk_value(observation, random_candidate, samples=3, whitening=1.0, relu_alpha=20.0)
    grad_x = torch.autograd.grad(expected.sum(), random_candidate.x)[0]
    plain = replace(random_candidate, x=random_candidate.x.detach())
    got = NTKStationarity(observation, samples=3, whitening=1.0, compute=FLOAT64).evaluate(plain, relu_alpha=20.0)
    assert torch.allclose(got.value, expected, rtol=1e-10)
    assert torch.allclose(got.grad_x, grad_x, rtol=1e-8, atol=1e-10 * grad_x.abs().max())


@pytest.mark.parametrize("whitening", [0.0, 1.0])
def test_residual_is_zero_at_the_truth_and_nowhere_near(victim, random_candidate, whitening):
    measured = objective(victim, whitening=whitening)
    assert measured.residuals(truth(victim))["residual"].abs().item() < 1e-12
    assert measured.residuals(random_candidate)["residual"].min().item() > 0.1


def test_sharp_surrogate_approaches_the_exact_network(victim):
    measured = objective(victim)
    values = [measured.evaluate(truth(victim), relu_alpha=alpha).value.item() for alpha in (20.0, 200.0, 1e8)]
    assert values[0] > values[1] > values[2]
    assert abs(values[2]) < 1e-6


def test_an_empty_candidate_scores_one(victim):
    nothing = replace(truth(victim), lam=torch.full((1, 3), 1e-30, dtype=torch.float64))
    assert objective(victim).residuals(nothing)["residual"].item() == pytest.approx(1.0)


def test_the_scale_of_the_step_does_not_matter(victim, random_candidate):
    """A step a million times smaller gives the same values and gradients: a learning rate means the same."""
    small = replace(victim, layers={name: replace(factors, B=factors.B * 1e-6)
                                    for name, factors in victim.layers.items()})
    weak = replace(random_candidate, lam=random_candidate.lam * 1e-6)
    a = objective(victim).evaluate(random_candidate, relu_alpha=50.0)
    b = objective(small).evaluate(weak, relu_alpha=50.0)
    assert torch.allclose(a.value, b.value)
    assert torch.allclose(a.grad_x, b.grad_x)
    assert torch.allclose(a.grad_log_lam, b.grad_log_lam)


def test_float32_follows_float64(victim, random_candidate):
    fine = objective(victim).evaluate(random_candidate, relu_alpha=50.0)
    single = Candidate(random_candidate.x.float(), random_candidate.labels, random_candidate.lam.float())
    coarse = objective(victim, compute=FLOAT32).evaluate(single, relu_alpha=50.0)
    assert coarse.grad_x.dtype == torch.float32
    error = (coarse.grad_x.double() - fine.grad_x).norm() / fine.grad_x.norm()
    assert error < 1e-4


def test_restarts_do_not_see_each_other(victim, random_candidate):
    measured = objective(victim)
    together = measured.evaluate(random_candidate, relu_alpha=50.0)
    alone = measured.evaluate(Candidate(random_candidate.x[2:3], random_candidate.labels[2:3],
                                        random_candidate.lam[2:3]), relu_alpha=50.0)
    assert torch.allclose(together.grad_x[2], alone.grad_x[0], rtol=1e-9, atol=1e-14)
    assert torch.allclose(together.value[2], alone.value[0])


def test_best_common_lam_minimises_the_residual(victim):
    measured = objective(victim)
    start = replace(truth(victim), lam=torch.ones(1, 3, dtype=torch.float64))
    best = measured.best_common_lam(start)
    scores = [measured.residuals(replace(start, lam=factor * best[:, None] * start.lam))["residual"].item()
              for factor in (0.9, 1.0, 1.1)]
    assert scores[1] < min(scores[0], scores[2])


def test_gates_are_the_signs_of_the_preactivations(victim):
    first = objective(victim).gates(truth(victim))[0][0]
    layer = victim.network.layers[0]
    z = victim.network.centre(victim.x) @ layer.weight.T + layer.bias
    assert torch.equal(first, z > 0)
    assert float("inf") == EXACT


def test_an_empty_update_is_refused(victim):
    empty = {name: replace(factors, B=torch.zeros_like(factors.B)) for name, factors in victim.layers.items()}
    observation = AdapterDelta(victim.network, empty, observe(victim, "informed").threat)
    with pytest.raises(InputError, match="every B is zero"):
        NTKStationarity(observation, samples=3, whitening=1.0, compute=FLOAT64)
