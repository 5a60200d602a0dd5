"""Pretraining: the hand-written gradient, both optimisers, stopping, resuming, diverging."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from core.models.margin import signs
from core.models.mlp import MLP
from core.training import pretrain as module
from core.training import trainer
from core.training.full_batch import FullBatch
from core.training.losses import log_loss_pull, log_mean_loss
from core.training.trainer import DivergedError
from tests.helpers.training import Memory, fresh

pretrain = partial(module.pretrain, optimizer="log-gd", learning_rate=0.01, target_log_loss=-60.0, record_every=10)


@pytest.mark.parametrize("loss", ["mean", "log"])
@pytest.mark.parametrize(("widths", "biases"), [
    ([16, 12, 9, 1], None), ([16, 12, 9, 7, 1], [True] * 4), ([16, 12, 1], [False, False])])
def test_gradient_against_autograd(widths, biases, loss):
    generator = torch.Generator().manual_seed(11)
    network = MLP(widths, image_shape=(1, 4, 4), biases=biases).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    x = torch.rand(15, 1, 4, 4, generator=generator, dtype=torch.float64)
    labels = torch.arange(15) % 2
    margins = signs(labels) * network(x)
    value = log_mean_loss(margins) if loss == "log" else binary_cross_entropy_with_logits(network(x), labels.double())
    expected = torch.autograd.grad(value, list(network.parameters()))

    parameters = [parameter.detach() for parameter in network.parameters()]
    batch = FullBatch(network, x, labels)
    position = batch.evaluate(parameters)
    assert torch.allclose(position.scores.margins, margins.detach(), rtol=1e-13)
    assert position.log_loss == pytest.approx(log_mean_loss(margins).item(), rel=1e-13)
    found = position.scores.margins
    push = position.scores.push(log_loss_pull(found) if loss == "log" else torch.sigmoid(-found) / 15)
    for written_out, automatic in zip(batch.gradient(parameters, position, push), expected, strict=True):
        assert torch.allclose(written_out, automatic, rtol=1e-11, atol=1e-15)


def test_gd_is_plain_gradient_descent_as_published(training):
    x, labels = training
    network, reference = fresh(training, scale=0.02), fresh(training, scale=0.02).requires_grad_(True)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.05)
    for _ in range(25):
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(reference(x), labels.double()).backward()
        optimizer.step()
    outcome = pretrain(network, x, labels, optimizer="gd", learning_rate=0.05, epochs=25)
    assert (outcome.status, outcome.epochs, outcome.learning_rate) == ("epochs", 25, 0.05)
    for ours, theirs in zip(network.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-14)


def test_log_gd_reaches_losses_that_float32_cannot_hold(training):
    x, labels = training[0].float(), training[1]
    network, monitor = fresh(training).float(), Memory()
    outcome = pretrain(network, x, labels, epochs=300, target_log_loss=-150.0, monitor=monitor)
    assert outcome.status == "reached_target"
    assert outcome.log_loss <= -150.0
    assert outcome.train_error == 0.0
    assert outcome.stationarity.residual < 0.7
    margins = signs(labels) * network(x)  # the network holds the weights that the outcome speaks of
    assert log_mean_loss(margins.double()).item() == pytest.approx(outcome.log_loss, rel=1e-4)
    losses = [row["log_loss"] for row in monitor.rows]
    assert losses[0] == pytest.approx(math.log(math.log(2)), abs=1e-4)
    assert losses == sorted(losses, reverse=True)
    assert monitor.rows[-1]["kkt_residual"] < monitor.rows[0]["kkt_residual"]


def test_log_gd_takes_no_step_uphill(training):
    network, monitor = fresh(training), Memory()
    pretrain(network, *training, learning_rate=3.0, epochs=40, target_log_loss=-200.0, record_every=1, monitor=monitor)
    losses = [row["log_loss"] for row in monitor.rows]
    assert all(later <= earlier for earlier, later in pairwise(losses))
    rates = [row["learning_rate"] for row in monitor.rows]
    assert any(later < earlier for earlier, later in pairwise(rates))  # some were rejected


@pytest.mark.parametrize("optimizer", ["gd", "log-gd"])
@pytest.mark.parametrize("stop_at", [0, 1, 7, 10, 19])
def test_stop_and_resume_equals_an_uninterrupted_run(training, optimizer, stop_at):
    options = {"optimizer": optimizer, "learning_rate": 0.3, "epochs": 20, "record_every": 5, "target_log_loss": -300.0}
    whole, parts = Memory(), Memory(stop_at)
    straight = fresh(training)
    pretrain(straight, *training, monitor=whole, **options)

    first = pretrain(fresh(training), *training, monitor=parts, **options)
    assert (first.status, first.epochs) == ("stopped", stop_at)
    parts.stop_at = None
    resumed = fresh(training)
    second = pretrain(resumed, *training, monitor=parts, **options)
    assert (second.status, second.epochs) == ("epochs", 20)
    for ours, theirs in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert [row["step"] for row in parts.rows] == [row["step"] for row in whole.rows] == [0, 5, 10, 15, 20]
    for ours, theirs in zip(parts.rows, whole.rows, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)  # a cold start of the residual's solver rounds anew


def test_resuming_a_finished_run_changes_nothing(training):
    monitor, network = Memory(), fresh(training)
    pretrain(network, *training, epochs=12, monitor=monitor)
    rows = list(monitor.rows)
    again = fresh(training)
    assert pretrain(again, *training, epochs=12, monitor=monitor).status == "epochs"
    assert monitor.rows == rows
    assert torch.equal(again.layers[0].weight, network.layers[0].weight)


def test_progress_is_told_every_epoch_and_the_last_epoch_is_recorded(training):
    monitor = Memory()
    pretrain(fresh(training), *training, epochs=13, record_every=5, monitor=monitor)
    assert monitor.steps == list(range(14))
    assert [row["step"] for row in monitor.rows] == [0, 5, 10, 13]


def test_curves_hold_at_most_two_thousand_rows(training, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 4)
    monitor = Memory()
    pretrain(fresh(training), *training, epochs=21, record_every=1, monitor=monitor)
    assert [row["step"] for row in monitor.rows] == [0, 6, 12, 18, 21]


@pytest.mark.parametrize(("seconds", "saves"), [(5.0, 1), (0.0, 11)])
def test_checkpoints_are_saved_by_the_clock_and_at_the_end(training, monkeypatch, seconds, saves):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", seconds)
    monitor = Memory()
    pretrain(fresh(training, hidden=4), *training, epochs=10, monitor=monitor)
    assert len(monitor.saves) == saves
    assert monitor.saves[-1][1]["step"] == 10


def test_divergence_is_typed_and_keeps_the_last_good_state(training):
    network, monitor = fresh(training), Memory()
    with pytest.raises(DivergedError, match=r"learning_rate: the loss is not finite after epoch \d+; choose"):
        pretrain(network, *training, optimizer="gd", learning_rate=1e60, epochs=50, monitor=monitor)
    tensors, meta = monitor.saves[-1]
    assert meta["step"] == monitor.steps[-1]
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter).all()
        assert torch.equal(parameter, tensors[name])


def test_a_first_loss_that_is_not_finite(training):
    network = fresh(training)
    network.layers[0].weight[0, 0] = float("nan")
    with pytest.raises(DivergedError, match="first loss is not finite"):
        pretrain(network, *training, epochs=5)


def test_log_gd_says_when_no_step_lowers_the_loss(training):
    x = training[0][:1].expand(3, 1, 28, 28)  # one image, two opinions: the loss has a minimum, at f = log 2
    network = fresh(training, scale=0.02, hidden=8)
    outcome = pretrain(network, x, torch.tensor([1, 1, 0]), epochs=5000)
    assert outcome.status == "stalled"
    assert network(x)[0].item() == pytest.approx(math.log(2), rel=1e-4)


def test_same_seed_same_result(training):
    networks = [fresh(training) for _ in range(2)]
    for network in networks:
        pretrain(network, *training, epochs=15)
    assert torch.equal(networks[0].layers[1].weight, networks[1].layers[1].weight)
