"""The KKT objective of networks with several outputs: against autograd twice, and where the answer is known."""

from dataclasses import replace

import pytest
import torch

from core.host.compute import Compute
from core.models.mlp import MLP, tangent_features
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.kkt import KKTStationarity
from core.reconstruction.objectives.kkt_autograd import KKTAutograd
from core.reconstruction.objectives.surrogate import Surrogate
from core.threat.model import ThreatModel
from core.threat.observation import TrainedWeights
from core.training.pretrain import pretrain

FLOAT64 = Compute(torch.device("cpu"), torch.float64)


def build(kind: type, network: MLP, **options):
    return kind(TrainedWeights(network, ThreatModel()), **{"compute": FLOAT64, **options})


def random_network(outputs: int, biases: list[bool] | None = None, size: float = 0.5) -> MLP:
    generator = torch.Generator().manual_seed(2)
    network = MLP([36, 14, 11, outputs], image_shape=(1, 6, 6), biases=biases).double().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, size, generator=generator)
    return network


@pytest.fixture
def candidate() -> Candidate:
    """R = 3, N = 7, labels in 0 … 2."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(3, 7, 1, 6, 6, generator=generator, dtype=torch.float64)
    lam = torch.rand(3, 7, generator=generator, dtype=torch.float64) + 0.1
    return Candidate(x, torch.randint(0, 3, (3, 7), generator=generator), lam)


@pytest.mark.parametrize("form", [True, False, None])
@pytest.mark.parametrize("biases", [None, [True, True, True]])
@pytest.mark.parametrize("residual", ["relative", "published"])
@pytest.mark.parametrize("margin", ["hard", "soft"])
@pytest.mark.parametrize("outputs", [3, 10])
def test_value_and_gradients_are_those_of_double_backward(candidate, outputs, margin, residual, biases, form,
                                                          monkeypatch):
    if form is not None:  # each layer by its matrix, or each by products
        monkeypatch.setattr(KKTStationarity, "_matrix_is_cheaper", lambda *_: form)
    network, options = random_network(outputs, biases), {"margin": margin, "residual": residual}
    written, general = build(KKTStationarity, network, **options), build(KKTAutograd, network, **options)
    for alpha in (5.0, float("inf")):
        got, expected = (one.evaluate(candidate, relu_alpha=alpha) for one in (written, general))
        assert torch.allclose(got.value, expected.value, rtol=1e-10)
        for ours, theirs in ((got.grad_x, expected.grad_x), (got.grad_log_lam, expected.grad_log_lam)):
            assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-10 * theirs.abs().max())
    for name, value in general.residuals(candidate).items():
        assert torch.allclose(written.residuals(candidate)[name], value, rtol=1e-9), name
    assert torch.allclose(written.importance(candidate), general.importance(candidate), rtol=1e-9)
    assert torch.allclose(written.best_common_lam(candidate), general.best_common_lam(candidate), rtol=1e-9)


def test_a_search_within_a_basis_gives_the_same(candidate):
    basis = torch.linalg.qr(torch.randn(36, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)).Q
    network = random_network(4)
    x = (candidate.x.flatten(2) @ basis @ basis.T).view_as(candidate.x)
    inside = replace(candidate, x=x)
    whole, confined = (build(KKTStationarity, network, margin="soft", basis=one) for one in (None, basis))
    one, other = (built.evaluate(inside, relu_alpha=20.0) for built in (whole, confined))
    assert torch.allclose(one.value, other.value, rtol=1e-9)
    along = (one.grad_x.flatten(2) @ basis @ basis.T).view_as(x)
    assert torch.allclose(other.grad_x, along, rtol=1e-7, atol=1e-10 * along.abs().max())


def test_two_outputs_are_one_logit(candidate):
    """f_1 - f_0 of rows +w / 2 and -w / 2 is the one logit of row w: the layers below have the same residuals."""
    one, two = random_network(1), random_network(2)
    for index in (0, 1):
        two.layers[index].load_state_dict(one.layers[index].state_dict())
    two.layers[2].weight.copy_(torch.cat([-one.layers[2].weight, one.layers[2].weight]) / 2)
    binary = replace(candidate, labels=candidate.labels % 2)
    options = {"layers": ["layers.0", "layers.1"]}
    left, right = (build(KKTStationarity, network, **options).evaluate(binary, relu_alpha=30.0)
                   for network in (one, two))
    assert torch.allclose(left.value, right.value, rtol=1e-12)
    assert torch.allclose(left.grad_x, right.grad_x, rtol=1e-9, atol=1e-12)


def test_zero_at_a_stationary_point_of_a_decayed_cross_entropy():
    """The soft margin with the loss's own coefficients explains the weights as far as training went."""
    network = random_network(3, size=0.3)
    generator = torch.Generator().manual_seed(8)
    x = torch.rand(6, 1, 6, 6, generator=generator, dtype=torch.float64)
    labels = network(x).argmax(1)  # the sides they are on: a stationary point is near
    outcome = pretrain(network, x, labels, optimizer="gd", learning_rate=0.3, epochs=6000, target_log_loss=-50.0,
                       record_every=2000, weight_decay=1e-2)
    assert outcome.decay.residual < 0.1
    wrong_share = 1 - torch.softmax(network(x), 1)[torch.arange(6), labels]
    lam = wrong_share / outcome.decay.weight_decay  # the loss's 1/N is the objective's
    truth = Candidate(x[None], labels[None], lam[None])
    options = {"margin": "soft", "residual": "published"}
    soft = build(KKTStationarity, network, **options).residuals(truth)["residual"].item()
    square = outcome.decay.residual**2  # of a sine; with this weight decay the sum is off by the tangent
    assert soft == pytest.approx(square / (1 - square), rel=1e-3)
    wrong = replace(truth, labels=truth.labels.roll(1, 1))
    assert build(KKTStationarity, network, **options).residuals(wrong)["residual"].item() > 0.5


def test_the_tangent_features_are_those_of_the_surrogate(candidate):
    network = random_network(3)
    features = Surrogate(network).features(candidate.x[0], relu_alpha=float("inf"), labels=candidate.labels[0])
    other = tangent_features(network, candidate.x[0], directions=features.signals[-1])
    for ours, theirs in zip(features.signals, other.signals, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12)
