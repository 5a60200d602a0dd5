"""The general KKT objective: against the written-out one on fully connected networks, and by hand on others."""

import math

import pytest
import torch
from torch import nn

from core.host.compute import Compute
from core.io.errors import InputError
from core.models.mlp import MLP
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.kkt import KKTStationarity
from core.reconstruction.objectives.kkt_autograd import KKTAutograd
from core.threat.model import ThreatModel
from core.threat.observation import TrainedWeights

FLOAT64 = Compute(torch.device("cpu"), torch.float64)
EXACT = math.inf


class Net(nn.Module):
    """Any body that gives [N, n], with the mean subtracted before it; one logit, or n outputs."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.register_buffer("input_mean", torch.full((1, 6, 6), 0.4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x - self.input_mean).flatten(1).squeeze(1)


class Column(Net):
    """Its one logit as [N, 1]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[:, None]


def convolutional(*extra: nn.Module, bias: bool = False, outputs: int = 1) -> Net:
    torch.manual_seed(0)
    net = Net(nn.Conv2d(1, 3, 3), *extra, nn.ReLU(), nn.Conv2d(3, 2, 3, stride=2, bias=bias), nn.ReLU(), nn.Flatten(),
              nn.Linear(2, outputs, bias=False))
    return net.double().requires_grad_(False)


def build(kind: type, network: nn.Module, **options):
    return kind(TrainedWeights(network, ThreatModel()), **{"compute": FLOAT64, **options})


def drawn(restarts: int, samples: int, side: int) -> Candidate:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(restarts, samples, 1, side, side, generator=generator, dtype=torch.float64)
    lam = torch.rand(restarts, samples, generator=generator, dtype=torch.float64) + 0.1
    return Candidate(x, torch.randint(0, 2, (restarts, samples), generator=generator), lam)


@pytest.mark.parametrize("restarts", [1, 3])
@pytest.mark.parametrize("layers", [None, ["layers.0"], ["layers.1", "layers.2"]])
@pytest.mark.parametrize("residual", ["relative", "published"])
def test_all_of_it_agrees_with_the_written_out_objective(tiny_network, restarts, residual, layers):
    """`tests.objectives.test_kkt` holds values and gradients against each other for more networks."""
    candidate = drawn(restarts, 5, 28)
    options = {"residual": residual, "layers": layers}
    general, written = build(KKTAutograd, tiny_network, **options), build(KKTStationarity, tiny_network, **options)
    assert general.homogeneous is written.homogeneous is True
    assert torch.equal(general.input_mean, written.input_mean)
    for alpha in (20.0, EXACT):
        one, other = (part.evaluate(candidate, relu_alpha=alpha) for part in (general, written))
        assert torch.allclose(one.value, other.value, rtol=1e-10)
        assert torch.allclose(one.grad_x, other.grad_x, rtol=1e-8, atol=1e-10 * other.grad_x.abs().max())
        assert torch.allclose(one.grad_log_lam, other.grad_log_lam, rtol=1e-8, atol=1e-12)
    one, other = general.residuals(candidate), written.residuals(candidate)
    assert one.keys() == other.keys()
    assert all(torch.allclose(one[name], other[name], rtol=1e-9) for name in one)
    assert torch.allclose(general.importance(candidate), written.importance(candidate), rtol=1e-9)
    assert torch.allclose(general.best_common_lam(candidate), written.best_common_lam(candidate), rtol=1e-9)
    for one, other in zip(general.gates(candidate), written.gates(candidate), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("residual", ["relative", "published"])
def test_a_convolutional_network_against_a_plain_sum_of_its_gradients(residual):
    network, candidate = convolutional(), drawn(2, 4, 6)
    measured = build(KKTAutograd, network, residual=residual)
    parameters = list(network.requires_grad_().parameters())
    got = measured.residuals(candidate)
    for restart in range(2):
        left = [parameter.detach().clone() for parameter in parameters]
        for image, label, lam in zip(candidate.x[restart], candidate.labels[restart], candidate.lam[restart],
                                     strict=True):
            slopes = torch.autograd.grad(network(image[None]).sum(), parameters)
            for part, slope in zip(left, slopes, strict=True):
                part -= (2 * label - 1) * lam / 4 * slope
        squares = [part.square().sum() for part in left]
        norms = [parameter.detach().square().sum() for parameter in parameters]
        layers = [(squares[0] + squares[1]) / (norms[0] + norms[1]), *(a / b for a, b in zip(squares[2:], norms[2:],
                                                                                          strict=True))]
        assert [got[f"residual.body.{index}"][restart].item() for index in (0, 2, 5)] == pytest.approx(
            [layer.item() for layer in layers], rel=1e-10)
        expected = sum(squares) / sum(norms) if residual == "published" else sum(layers) / 3
        assert got["residual"][restart].item() == pytest.approx(expected.item(), rel=1e-10)
        if residual == "published":
            value = measured.evaluate(candidate, relu_alpha=EXACT).value[restart].item()
            assert value == pytest.approx(sum(squares).item(), rel=1e-10)


def test_its_gradients_against_differences():
    """With the exact ReLU, whose gates a small enough step leaves alone; the soft one has no value of its own."""
    measured, candidate = build(KKTAutograd, convolutional()), drawn(2, 3, 6)
    at = measured.evaluate(candidate, relu_alpha=EXACT)
    generator = torch.Generator().manual_seed(2)
    in_x = torch.randn(candidate.x.shape, generator=generator, dtype=torch.float64)
    in_lam = torch.randn(candidate.lam.shape, generator=generator, dtype=torch.float64)
    ends = [measured.evaluate(Candidate(candidate.x + step * in_x, candidate.labels,
                                        candidate.lam * (step * in_lam).exp()), relu_alpha=EXACT).value
            for step in (1e-6, -1e-6)]
    expected = (at.grad_x * in_x).flatten(1).sum(1) + (at.grad_log_lam * in_lam).sum(1)
    assert torch.allclose((ends[0] - ends[1]) / 2e-6, expected, rtol=1e-5)


def test_restarts_do_not_see_each_other():
    measured, candidate = build(KKTAutograd, convolutional()), drawn(3, 4, 6)
    together = measured.evaluate(candidate, relu_alpha=30.0)
    alone = measured.evaluate(Candidate(candidate.x[1:2], candidate.labels[1:2], candidate.lam[1:2]), relu_alpha=30.0)
    assert torch.allclose(together.grad_x[1], alone.grad_x[0], rtol=1e-9, atol=1e-14)
    assert torch.allclose(together.value[1], alone.value[0])


def test_the_relu_may_be_called_in_any_way():
    class Functional(Net):
        def __init__(self, relu) -> None:
            super().__init__(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(48, 1, bias=False))
            self.relu = relu

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            conv, flat, head = self.body
            return head(self.relu(flat(conv(x - self.input_mean)))).squeeze(1)

    candidate, values = drawn(2, 4, 6), []
    for relu in (nn.ReLU(), nn.ReLU(inplace=True), torch.relu, nn.functional.relu, torch.Tensor.relu):
        torch.manual_seed(0)
        measured = build(KKTAutograd, Functional(relu).double())
        at = measured.evaluate(candidate, relu_alpha=7.0)
        values.append((at.value, at.grad_x))
        assert measured.gates(candidate)[0].shape == (2, 4, 48)
    exact = measured.evaluate(candidate, relu_alpha=EXACT).value
    assert all(torch.equal(value, values[0][0]) and torch.equal(slope, values[0][1]) for value, slope in values)
    assert not torch.allclose(values[0][0], exact, rtol=1e-3)


@pytest.mark.parametrize(("network", "homogeneous"), [
    (lambda: convolutional(), True),
    (lambda: convolutional(bias=True), False),
    (lambda: convolutional(nn.Dropout(0.3)), False),
    (lambda: convolutional(nn.BatchNorm2d(3)), False),
    (lambda: MLP([36, 5, 5, 1], image_shape=(1, 6, 6), biases=[True, False, False]), True),
    (lambda: MLP([36, 5, 5, 1], image_shape=(1, 6, 6), biases=[True, True, False]), False)])
def test_what_breaks_homogeneity(network, homogeneous):
    assert build(KKTAutograd, network()).homogeneous is homogeneous


def test_dropout_and_batch_norm_do_not_act_in_the_search():
    candidate = drawn(1, 3, 6)
    measured = build(KKTAutograd, convolutional(nn.Dropout(0.5), nn.BatchNorm2d(3)).train())
    first, second = (measured.evaluate(candidate, relu_alpha=5.0).value for _ in range(2))
    assert torch.equal(first, second)
    assert measured.network.body[2].num_batches_tracked == 0


@pytest.mark.parametrize(("network", "says"), [
    (Net(nn.Flatten(), nn.Linear(36, 1)), "checkpoint: the network calls no ReLU"),
    (Column(nn.Flatten(), nn.Linear(36, 5), nn.ReLU(), nn.Linear(5, 1)),
     r"checkpoint: the network maps one image to \[1"),
])
def test_networks_that_it_cannot_take(network, says):
    with pytest.raises(InputError, match=says):
        build(KKTAutograd, network.double())


@pytest.mark.parametrize(("value", "says"), [(0.0, "every weight of body.0 is zero"),
                                             (math.nan, "body.0 holds NaN or infinite")])
def test_a_network_without_weights_is_refused(value, says):
    network = convolutional()
    for parameter in network.body[0].parameters():
        parameter.fill_(value)
    with pytest.raises(InputError, match=f"^checkpoint: {says}"):
        build(KKTAutograd, network)
