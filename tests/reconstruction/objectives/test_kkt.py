"""The KKT objective against autograd's double backward, and on networks whose answer is known."""

import math
from dataclasses import replace

import pytest
import torch

from benchmarks.reference import kkt_steps
from core.diagnostics.stationarity import stationarity
from core.host.compute import Compute
from core.io.errors import InputError
from core.models.mlp import MLP
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.kkt import KKTStationarity
from core.reconstruction.objectives.kkt_autograd import KKTAutograd
from core.reconstruction.objectives.protocol import Evaluation
from core.reconstruction.priors.penalties import Box, MinLambda
from core.reconstruction.solvers.first_order import Adam
from core.reconstruction.solvers.initial import Start
from core.reconstruction.solvers.plan import Plan
from core.reconstruction.solvers.search_space import pixels
from core.reconstruction.solvers.solve import solve
from core.threat.model import ThreatModel
from core.threat.observation import TrainedWeights

FLOAT64 = Compute(torch.device("cpu"), torch.float64)
FLOAT32 = Compute(torch.device("cpu"), torch.float32)


def objective(network: MLP, **options) -> KKTStationarity:
    return KKTStationarity(TrainedWeights(network, ThreatModel()), **{"compute": FLOAT64, **options})


def reference(network: MLP, **options) -> KKTAutograd:
    return KKTAutograd(TrainedWeights(network, ThreatModel()), **{"compute": FLOAT64, **options})


def assert_alike(got: Evaluation, expected: Evaluation) -> None:
    assert torch.allclose(got.value, expected.value, rtol=1e-10)
    assert got.terms.keys() == expected.terms.keys()
    assert all(torch.allclose(got.terms[name], expected.terms[name], rtol=1e-9) for name in got.terms)
    assert torch.allclose(got.grad_x, expected.grad_x, rtol=1e-8, atol=1e-10 * expected.grad_x.abs().max())
    assert torch.allclose(got.grad_log_lam, expected.grad_log_lam, rtol=1e-8, atol=1e-12)


@pytest.fixture
def candidate() -> Candidate:
    """R = 3, N = 5, at random, with lam near the size that explains a trained network."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(3, 5, 1, 28, 28, generator=generator, dtype=torch.float64)
    lam = torch.rand(3, 5, generator=generator, dtype=torch.float64) * 0.2 + 0.01
    return Candidate(x, torch.randint(0, 2, (3, 5), generator=generator), lam)


@pytest.fixture
def kkt_point() -> tuple[MLP, Candidate]:
    """f(x) = v relu(w.x) with one sample: theta is parallel to its own gradient."""
    network = MLP([4, 1, 1], image_shape=(1, 2, 2), biases=[False, False]).double().requires_grad_(False)
    x = torch.tensor([0.2, 0.9, 0.1, 0.5], dtype=torch.float64)
    network.layers[0].weight.copy_(x[None])
    network.layers[1].weight.copy_(x.norm()[None, None])
    return network, Candidate(x.view(1, 1, 1, 2, 2), torch.tensor([[1]]), (1 / x.norm()).view(1, 1))


@pytest.mark.parametrize("biases", [[True, False, False], [False, False, False], [True, True, True]])
@pytest.mark.parametrize("residual", ["relative", "published"])
@pytest.mark.parametrize("relu_alpha", [5.0, 150.0])
def test_value_and_gradients_are_those_of_double_backward(tiny_network, candidate, biases, residual, relu_alpha):
    network = MLP([784, 64, 64, 1], biases=biases).double().requires_grad_(False)
    network.load_state_dict(tiny_network.state_dict(), strict=False)
    got = objective(network, residual=residual).evaluate(candidate, relu_alpha=relu_alpha)
    assert torch.allclose(sum(got.terms.values()), got.value)
    assert_alike(got, reference(network, residual=residual).evaluate(candidate, relu_alpha=relu_alpha))


@pytest.mark.parametrize("biases", [[True, False, False], [True, True, True]])
@pytest.mark.parametrize("residual", ["relative", "published"])
def test_both_forms_of_a_layer_give_the_same(tiny_network, candidate, monkeypatch, biases, residual):
    network = MLP([784, 64, 64, 1], biases=biases).double().requires_grad_(False)
    network.load_state_dict(tiny_network.state_dict(), strict=False)
    measured, got, exact = objective(network, residual=residual), [], []
    for cheaper in (True, False):
        monkeypatch.setattr(measured, "_matrix_is_cheaper", lambda level, candidates, cheaper=cheaper: cheaper)
        got.append(measured.evaluate(candidate, relu_alpha=50.0))
        exact.append(measured.residuals(candidate))
    matrix, products = got
    assert all(torch.allclose(exact[0][name], exact[1][name], rtol=1e-10) for name in exact[1])
    assert torch.allclose(matrix.value, products.value, rtol=1e-10)
    assert torch.allclose(matrix.grad_x, products.grad_x, rtol=1e-8, atol=1e-10 * products.grad_x.abs().max())
    assert torch.allclose(matrix.grad_log_lam, products.grad_log_lam, rtol=1e-8, atol=1e-12)


def test_steps_are_those_of_the_plain_attack(tiny_network, candidate):
    """What `benchmarks.kkt_step` compares: objective, penalties and Adam, from the same start to the same place."""
    candidate = replace(candidate, x=candidate.x * 1.4 - 0.2)  # some pixels outside the box, some lam below 0.1
    step, reached = kkt_steps(tiny_network, candidate, relu_alpha=20.0, box_weight=1.0, lambda_weight=5.0,
                              min_lambda=0.1, lr_x=0.01, lr_lam=0.02)
    for _ in range(3):
        step()
    space = pixels(tiny_network.input_mean)
    plan = Plan(iterations=3, lr_x=0.01, lr_lam=0.02, lr_schedule="constant", relu_alpha_start=20.0,
                relu_alpha_end=20.0, record_every=1)
    states = []
    measured = objective(tiny_network, residual="published")
    evaluate = measured.evaluate
    measured.evaluate = lambda at, *, relu_alpha: (states.append(at), evaluate(at, relu_alpha=relu_alpha))[1]
    solve(measured, [Box(1.0), MinLambda(5.0, 0.1)], space=space, method=Adam(), plan=plan,
          start=Start(space.coordinates(candidate.x), candidate.labels, candidate.lam))
    assert torch.allclose(states[-1].x, reached().x, rtol=1e-7, atol=1e-8)  # the look at the last step evaluates
    assert torch.allclose(states[-1].lam, reached().lam, rtol=1e-7)


def test_a_deeper_network(candidate):
    generator = torch.Generator().manual_seed(2)
    network = MLP([784, 20, 15, 10, 1]).double().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.2, generator=generator)
    assert_alike(objective(network).evaluate(candidate, relu_alpha=10.0),
                 reference(network).evaluate(candidate, relu_alpha=10.0))


def test_residuals_are_those_of_the_stationarity_diagnostic(tiny_network, problem, trained_indices):
    """At the training digits with the least-squares multipliers: two derivations of the same number."""
    x, labels = problem.images(trained_indices).double(), problem.labels[trained_indices]
    measured = stationarity(tiny_network, x, labels)
    truth = Candidate(x[None], labels[None], 20 * measured.multipliers[None])  # the objective divides by N
    relative = objective(tiny_network).residuals(truth)
    for level in range(3):
        assert relative[f"residual.layers.{level}"].item() == \
            pytest.approx(measured.layer_residuals[f"layers.{level}"] ** 2, rel=1e-6)
    assert objective(tiny_network, residual="published").residuals(truth)["residual"].item() == \
        pytest.approx(measured.residual**2, rel=1e-6)


@pytest.mark.parametrize("residual", ["relative", "published"])
def test_zero_at_a_kkt_point_and_one_for_an_empty_candidate(kkt_point, residual):
    network, truth = kkt_point
    measured = objective(network, residual=residual)
    assert measured.residuals(truth)["residual"].item() < 1e-12
    at = measured.evaluate(truth, relu_alpha=1e6)
    assert at.value.abs().item() < 1e-12
    assert at.grad_x.abs().max().item() < 1e-7
    assert at.grad_log_lam.abs().max().item() < 1e-7
    wrong = replace(truth, labels=1 - truth.labels)
    assert measured.residuals(wrong)["residual"].item() == pytest.approx(4.0)
    empty = replace(truth, lam=truth.lam * 1e-30)
    assert measured.residuals(empty)["residual"].item() == pytest.approx(1.0)


def test_a_sample_given_twice_with_half_its_multiplier_is_the_same(kkt_point):
    """k = lam y / N: two candidates of one image each keep lam, as in the published code."""
    network, truth = kkt_point
    twice = Candidate(*(tensor.repeat_interleave(2, 1) for tensor in (truth.x, truth.labels, truth.lam)))
    assert objective(network).residuals(twice)["residual"].item() < 1e-12


def test_the_relative_residual_does_not_see_the_scale_of_a_homogeneous_network(tiny_network, candidate):
    """theta -> c theta scales features by c^2: lam / c explains it as well as before."""
    large = MLP([784, 64, 64, 1]).double().requires_grad_(False)
    large.load_state_dict(tiny_network.state_dict())
    for index, layer in enumerate(large.layers):
        layer.weight.mul_(2.0)
        if layer.bias is not None:
            layer.bias.mul_(2.0 ** (index + 1))
    scaled = replace(candidate, lam=candidate.lam / 2)
    before = objective(tiny_network).residuals(candidate)
    after = objective(large).residuals(scaled)
    assert torch.allclose(before["residual"], after["residual"], rtol=1e-8)


def test_chosen_layers_alone(tiny_network, candidate):
    some = objective(tiny_network, layers=["layers.0"]).residuals(candidate)
    assert set(some) == {"residual", "residual.layers.0"}
    everything = objective(tiny_network).residuals(candidate)
    assert torch.allclose(some["residual"], everything["residual.layers.0"])
    at = objective(tiny_network, layers=["layers.0"]).evaluate(candidate, relu_alpha=1e9)
    assert torch.allclose(at.value, some["residual"])
    with pytest.raises(InputError, match=r"^kkt_layers: layers.7"):
        objective(tiny_network, layers=["layers.7"])


def test_float32_follows_float64(tiny_network, candidate):
    fine = objective(tiny_network).evaluate(candidate, relu_alpha=50.0)
    single = Candidate(candidate.x.float(), candidate.labels, candidate.lam.float())
    coarse = objective(tiny_network, compute=FLOAT32).evaluate(single, relu_alpha=50.0)
    assert coarse.grad_x.dtype == torch.float32
    assert (coarse.grad_x.double() - fine.grad_x).norm() / fine.grad_x.norm() < 1e-4


def test_restarts_do_not_see_each_other(tiny_network, candidate):
    measured = objective(tiny_network)
    together = measured.evaluate(candidate, relu_alpha=50.0)
    alone = measured.evaluate(Candidate(candidate.x[1:2], candidate.labels[1:2], candidate.lam[1:2]), relu_alpha=50.0)
    assert torch.allclose(together.grad_x[1], alone.grad_x[0], rtol=1e-9, atol=1e-14)
    assert torch.allclose(together.value[1], alone.value[0])


def test_best_common_lam_minimises_the_residual(tiny_network, problem, trained_indices):
    measured = objective(tiny_network)
    labels = problem.labels[trained_indices][None]
    start = Candidate(problem.images(trained_indices).double()[None], labels, torch.ones(1, 20, dtype=torch.float64))
    best = measured.best_common_lam(start)
    scores = [measured.residuals(replace(start, lam=factor * best[:, None] * start.lam))["residual"].item()
              for factor in (0.9, 1.0, 1.1)]
    assert scores[1] < min(scores[0], scores[2])


def test_importance_is_the_size_of_a_samples_part(tiny_network, candidate):
    """By autograd: lam times the norm of the gradient, each layer divided by its own norm."""
    got = objective(tiny_network).importance(candidate)
    parameters = [list(layer.parameters()) for layer in tiny_network.requires_grad_().layers]
    square = 0.0
    for own in parameters:
        gradients = torch.autograd.grad(tiny_network(candidate.x[1, 3][None]).sum(), own)
        norm = sum(parameter.detach().square().sum() for parameter in own)
        square += float(sum(gradient.square().sum() for gradient in gradients) / norm) / 3
    assert got[1, 3].item() == pytest.approx(candidate.lam[1, 3].item() * math.sqrt(square), rel=1e-8)


@pytest.mark.parametrize(("biases", "homogeneous"), [([True, False, False], True), ([False] * 3, True),
                                                     ([True, True, False], False), ([True, False, True], False)])
def test_a_bias_beyond_the_first_layer_breaks_homogeneity(biases, homogeneous):
    network = MLP([16, 4, 4, 1], image_shape=(1, 4, 4), biases=biases).double().requires_grad_(False)
    assert objective(network).homogeneous is homogeneous


@pytest.mark.parametrize(("level", "value", "says"), [(0, 0.0, "every weight of layers.0 is zero"),
                                                      (2, 0.0, "every weight of layers.2 is zero"),
                                                      (1, math.nan, "layers.1 holds NaN"),
                                                      (1, math.inf, "layers.1 holds NaN or infinite")])
def test_a_network_without_weights_is_refused(tiny_network, level, value, says):
    for parameter in tiny_network.layers[level].parameters():
        parameter.fill_(value)
    with pytest.raises(InputError, match=f"^checkpoint: {says}"):
        objective(tiny_network)


@pytest.mark.parametrize("residual", ["relative", "published"])
@pytest.mark.parametrize("matrix", [True, False])
def test_in_a_span_of_inputs_it_is_the_same_function(tiny_network, candidate, monkeypatch, residual, matrix):
    """Images in the span: value, residuals and the gradient along the span are those without a basis."""
    monkeypatch.setattr(KKTStationarity, "_matrix_is_cheaper", lambda self, level, candidates: matrix)
    network = tiny_network.double()
    basis = torch.linalg.qr(torch.randn(784, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64))[0]
    centred = network.centre(candidate.x) @ basis @ basis.T
    inside = replace(candidate, x=centred.view_as(candidate.x) + network.input_mean)
    whole, confined = (objective(network, residual=residual, basis=choice) for choice in (None, basis))
    one, two = (part.evaluate(inside, relu_alpha=20.0) for part in (whole, confined))
    along = (one.grad_x.flatten(2) @ basis @ basis.T).view_as(one.grad_x)
    assert_alike(two, replace(one, grad_x=along))
    expected, got = whole.residuals(inside), confined.residuals(inside)
    assert all(torch.allclose(got[name], expected[name], rtol=1e-9) for name in expected)
    assert torch.allclose(confined.importance(inside), whole.importance(inside), rtol=1e-9)
    assert torch.equal(confined.allowed_inputs()[0], basis)
