"""max-margin: its objective's gradient, where it ends, its resume, its refusals."""

import math

import pytest
import torch

from core.data.plane import draw_points
from core.io.errors import InputError
from core.models.margin import signs
from core.models.mlp import MLP, init_small_first_layer
from core.training import max_margin, trainer
from core.training.full_batch import FullBatch
from core.training.losses import Scores, log_mean_loss
from core.training.max_margin import Descent, log_norm, scale_to, slope_push
from core.training.pretrain import pretrain
from tests.helpers.training import Memory, fresh

OPTIONS = {"optimizer": "max-margin", "learning_rate": 0.01, "target_log_loss": -20.0, "record_every": 10}


def random_network() -> tuple[MLP, torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(5)
    network = MLP([16, 12, 9, 1], image_shape=(1, 4, 4)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    x = torch.rand(9, 1, 4, 4, generator=generator, dtype=torch.float64)
    labels = (network(x) > 0).long()  # all on their side
    return network, x, labels, [parameter.detach() for parameter in network.parameters()]


def on_their_side(margins: torch.Tensor) -> Scores:
    return Scores(margins, torch.ones(len(margins)))


@pytest.mark.parametrize("level", [-1.0, -40.0, -400.0])
@pytest.mark.parametrize("samples", [1, 2, 500])
def test_scale_meets_the_level(level, samples):
    margins = torch.rand(samples, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 1e-6
    for size in (1e-8, 1.0, 1e9):
        factor = scale_to(level, on_their_side(size * margins), 3)
        assert log_mean_loss(factor**3 * size * margins).item() == pytest.approx(level, rel=1e-9)


@pytest.mark.parametrize("level", [-2.0, -30.0])
def test_gradient_against_differences_and_its_invariance(level):
    network, x, labels, parameters = random_network()
    batch = FullBatch(network, x, labels)

    def value(at: list[torch.Tensor]) -> float:
        return log_norm(at, batch.evaluate(at).scores, level, 3)

    position = batch.evaluate(parameters)
    pulled = batch.gradient(parameters, position, slope_push(position.scores, level, 3))
    square = sum(parameter.square().sum() for parameter in parameters)
    written_out = [weight / square + change for weight, change in zip(parameters, pulled, strict=True)]
    for index in range(len(parameters)):
        direction = torch.randn(parameters[index].shape, generator=torch.Generator().manual_seed(index),
                                dtype=torch.float64)
        ends = []
        for step in (1e-6, -1e-6):
            moved = list(parameters)
            moved[index] = parameters[index] + step * direction
            ends.append(value(moved))
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx((written_out[index] * direction).sum().item(), rel=1e-5)
    assert value([3 * parameter for parameter in parameters]) == pytest.approx(value(parameters), rel=1e-10)
    assert abs(sum((a * b).sum() for a, b in zip(written_out, parameters, strict=True)).item()) < 1e-12


def test_gradient_against_autograd():
    network, x, labels, parameters = random_network()
    level, batch = -12.0, FullBatch(network, x, labels)
    position = batch.evaluate(parameters)
    pulled = batch.gradient(parameters, position, slope_push(position.scores, level, 3))
    factor = scale_to(level, position.scores, 3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(factor)
    automatic = torch.autograd.grad(log_mean_loss(signs(labels) * network(x)), list(network.parameters()))
    inner = sum((a * b).sum() for a, b in zip(automatic, network.parameters(), strict=True))
    for written_out, slope in zip(pulled, automatic, strict=True):
        assert torch.allclose(written_out, -factor * slope / inner, rtol=1e-9, atol=1e-14)


def test_a_side_that_is_wrong_has_no_norm():
    for margin in (-1e-9, math.nan):
        scores = on_their_side(torch.tensor([1.0, margin], dtype=torch.float64))
        assert log_norm([torch.ones(2)], scores, -5.0, 3) == math.inf


def test_ends_flat_at_the_level_and_far_nearer_to_stationary(training):
    x, labels = training
    network, before, monitor = fresh(training), fresh(training), Memory()
    outcome = pretrain(network, x, labels, epochs=2000, monitor=monitor, **OPTIONS)
    reference = pretrain(before, x, labels, epochs=2000, **(OPTIONS | {"optimizer": "log-gd"}))
    assert outcome.status == "flat"
    assert outcome.epochs < 1000
    assert log_mean_loss(signs(labels) * network(x)).item() == pytest.approx(-20.0, rel=1e-9)
    assert outcome.stationarity.residual < 0.3 * reference.stationarity.residual
    assert outcome.stationarity.margin > reference.stationarity.margin
    assert min(outcome.stationarity.alignments.values()) > 0.95
    held = [row for row in monitor.rows if row["log_loss"] == -20.0]
    assert held[-1]["kkt_residual"] == pytest.approx(outcome.stationarity.residual)
    assert {"alignment.layers.0", "active", "median_margin"} <= held[-1].keys()


@pytest.mark.parametrize("stop_at", [20, 60, 61, 95])
def test_stop_and_resume_equals_an_uninterrupted_run(training, stop_at, monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    whole, parts = Memory(), Memory(stop_at)
    straight, resumed = fresh(training), fresh(training)
    pretrain(straight, *training, epochs=110, monitor=whole, **OPTIONS)
    assert whole.saves[-1][1]["descent"]["start"] < 60
    assert pretrain(fresh(training), *training, epochs=110, monitor=parts, **OPTIONS).status == "stopped"
    parts.stop_at = None
    pretrain(resumed, *training, epochs=110, monitor=parts, **OPTIONS)
    for ours, theirs in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert [row["step"] for row in parts.rows] == [row["step"] for row in whole.rows]
    assert parts.saves[-1][1] == whole.saves[-1][1]


def test_resuming_a_flat_run_changes_nothing(training):
    monitor, network, again = Memory(), fresh(training), fresh(training)
    first = pretrain(network, *training, epochs=2000, monitor=monitor, **OPTIONS)
    rows = len(monitor.rows)
    second = pretrain(again, *training, epochs=2000, monitor=monitor, **OPTIONS)
    assert (second.status, second.epochs, len(monitor.rows)) == ("flat", first.epochs, rows)
    assert torch.equal(again.layers[0].weight, network.layers[0].weight)


def test_flat_is_a_small_fall_over_the_last_third():
    descent = Descent(start=100)
    for epoch, residual, flat in [(149, 0.9, False), (150, 0.8, False), (174, 0.8, False), (175, 0.4, False),
                                  (213, 0.39, True)]:
        descent.residual = residual
        descent.look(epoch, 0.05)
        assert descent.flat is flat
    assert max_margin.FIRST_WINDOW == 50


def test_a_level_that_no_margin_needs_and_a_network_without_degree(training):
    with pytest.raises(InputError, match="target_log_loss: max-margin holds the loss"):
        pretrain(fresh(training), *training, epochs=5, **(OPTIONS | {"target_log_loss": -0.5}))
    biased = MLP([784, 8, 8, 1], biases=[True, True, False]).double().requires_grad_(False)
    with pytest.raises(InputError, match="optimizer: max-margin needs a homogeneous network"):
        pretrain(biased, *training, epochs=5, **OPTIONS)


def ring() -> tuple[MLP, torch.Tensor, torch.Tensor]:
    """Points of the plane that log-gd does not part."""
    drawn = draw_points(seed=0, samples_per_class=3)
    network = MLP([2, 40, 40, 1], image_shape=(1, 1, 2)).requires_grad_(False)
    init_small_first_layer(network, scale=1e-4, generator=torch.Generator().manual_seed(0))
    x = drawn.images[:6]
    network.input_mean.copy_(x.mean(0))
    return network, x, drawn.targets[:6]


def test_adam_parts_what_log_gd_does_not_and_resumes_bit_identical(monkeypatch):
    network, x, labels = ring()
    outcome = pretrain(network, x, labels, **OPTIONS, epochs=300)
    assert outcome.train_error == 0.0
    network, x, labels = ring()
    monkeypatch.setattr(max_margin, "PATIENCE", 5)
    whole = pretrain(network, x, labels, **OPTIONS, epochs=60)
    again, x, labels = ring()
    memory = Memory()
    pretrain(again, x, labels, **OPTIONS, epochs=20, monitor=memory)  # in the middle of Adam
    resumed = pretrain(again, x, labels, **OPTIONS, epochs=60, monitor=memory)
    assert resumed.log_loss == whole.log_loss
    for one, other in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
