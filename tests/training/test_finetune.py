import copy
import itertools
import math
from typing import Any

import pytest
import torch

from core.config.finetune import FinetuneConfig
from core.config.monitor import Silent
from core.diagnostics.coefficients import loss_coefficients
from core.io.errors import InputError
from core.models.mlp import MLP, tangent_features
from core.training.adaptation import adapter_factors, attach_adapter
from core.training.finetune import RECORDED_STEPS, batch_indices, finetune, recorded_steps


class Memory(Silent):
    """A monitor that keeps everything and stops once `stop_at` steps are finished."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.checkpoint: tuple[dict[str, torch.Tensor], dict[str, Any]] | None = None
        self.stop_at = stop_at
        self.done = 0

    def progress(self, step: int, total: int) -> None:
        self.done = step

    def record(self, step: int, **values: Any) -> None:
        assert step not in self.rows, "recorded twice"
        self.rows[step] = values

    def should_stop(self) -> bool:
        return self.done == self.stop_at

    def save_checkpoint(self, tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> None:
        self.checkpoint = copy.deepcopy((tensors, meta))

    def load_checkpoint(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        return self.checkpoint


@pytest.fixture(scope="module")
def base() -> MLP:
    generator = torch.Generator().manual_seed(0)
    network = MLP([36, 20, 16, 1], image_shape=(1, 6, 6)).requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.3, generator=generator)
    network.input_mean.fill_(0.4)
    return network


@pytest.fixture(scope="module")
def private() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(1)), torch.tensor([1, 0, 1, 0, 0])


def config(**changes: Any) -> FinetuneConfig:
    values = {"base": "in memory", "device": "cpu", "precision": "float64", "rank": 4, "learning_rate": 0.05, "seed": 7}
    return FinetuneConfig(**{**values, **changes})


def factors(outcome) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    return {name: (item.A.clone(), item.B.clone()) for name, item in adapter_factors(outcome.model).items()}


@pytest.mark.parametrize(("rank", "alpha"), [(1, None), (4, 12.0), (64, None)])  # 64 is above every width here
def test_one_step_is_the_sum_that_attacks_use(base, private, rank, alpha):
    """B1 = s * sum_i kappa_i e_i (A h_i)^T with kappa = -lr * dL/df, and A as it was drawn."""
    x, labels = private
    settings = config(rank=rank, alpha=alpha)
    outcome = finetune(base, x, labels, settings)
    features = tangent_features(copy.deepcopy(base).double(), x.double())
    kappa = -settings.learning_rate * loss_coefficients(features.logits, labels)
    torch.testing.assert_close(outcome.kappa, kappa, rtol=1e-12, atol=0)
    drawn = adapter_factors(attach_adapter(copy.deepcopy(base).double(), settings))
    for index, (name, found) in enumerate(adapter_factors(outcome.model).items()):
        assert torch.equal(found.A, drawn[name].A)
        assert found.scaling == (alpha or rank) / rank
        expected = found.scaling * (features.signals[index] * kappa[:, None]).T @ (features.inputs[index] @ found.A.T)
        assert expected.norm() > 0
        torch.testing.assert_close(found.B, expected, rtol=1e-10, atol=1e-16)


def test_one_full_step_is_the_sum_that_attacks_use(base, private):
    """W1 - W0 = sum_i kappa_i e_i h_i^T and b1 - b0 = sum_i kappa_i e_i, in the named layers and nowhere else."""
    x, labels = private
    settings = config(adaptation="full", layers=["layers.0", "layers.2"])
    outcome = finetune(base, x, labels, settings)
    start = copy.deepcopy(base).double()
    features = tangent_features(start, x.double())
    kappa = -settings.learning_rate * loss_coefficients(features.logits, labels)
    torch.testing.assert_close(outcome.kappa, kappa, rtol=1e-12, atol=0)
    for index in (0, 2):
        e = features.signals[index] * kappa[:, None]
        change = outcome.model.layers[index].weight.detach() - start.layers[index].weight
        torch.testing.assert_close(change, e.T @ features.inputs[index], rtol=1e-8, atol=1e-14)
    change = outcome.model.layers[0].bias.detach() - start.layers[0].bias
    torch.testing.assert_close(change, (features.signals[0] * kappa[:, None]).sum(0), rtol=1e-8, atol=1e-14)
    assert torch.equal(outcome.model.layers[1].weight, start.layers[1].weight)
    assert outcome.after.loss < outcome.before.loss


def test_adapter_merged_equals_unmerged_equals_multiplied_out(base, private):
    outcome = finetune(base, *private, config(steps=5, alpha=8.0, learning_rate=0.5))
    x = private[0].double()
    unmerged = outcome.model(x)
    by_hand = copy.deepcopy(base).double()
    for name, item in adapter_factors(outcome.model).items():
        by_hand.get_submodule(name).weight += item.scaling * item.B @ item.A
    merged = copy.deepcopy(outcome.model).merge_and_unload()
    assert (unmerged - copy.deepcopy(base).double()(x)).abs().max() > 1e-3
    torch.testing.assert_close(merged(x), unmerged, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(by_hand(x), unmerged, rtol=1e-12, atol=1e-13)
    by_weights = tangent_features(by_hand, x).logits
    torch.testing.assert_close(by_weights, unmerged, rtol=1e-12, atol=1e-13)


def test_kappa_is_the_sum_over_steps(base, private):
    monitor = Memory()
    outcome = finetune(base, *private, config(steps=6), monitor=monitor)
    g = torch.tensor([monitor.rows[step]["coefficients"] for step in range(6)], dtype=torch.float64)
    torch.testing.assert_close(outcome.kappa, -0.05 * g.sum(0), rtol=1e-12, atol=0)


def test_mini_batches_leave_the_others_out_of_kappa(base, private):
    outcome = finetune(base, *private, config(steps=1, batch_size=2))
    chosen = batch_indices(0, samples=5, batch_size=2, seed=7)
    assert set(outcome.kappa.nonzero().flatten().tolist()) == set(chosen.tolist())
    alone = finetune(base, private[0][chosen], private[1][chosen], config(steps=1))
    torch.testing.assert_close(outcome.kappa[chosen], alone.kappa, rtol=1e-12, atol=0)


@pytest.mark.parametrize("changes", [{"optimizer": "sgd"}, {"optimizer": "adamw", "weight_decay": 0.1},
                                     {"optimizer": "sgd", "batch_size": 2}, {"precision": "float32"}])
@pytest.mark.parametrize("stop_at", [0, 3])
def test_stopped_and_resumed_equals_uninterrupted(base, private, changes, stop_at):
    whole, parted = Memory(), Memory(stop_at=stop_at)
    expected = finetune(base, *private, config(steps=7, **changes), monitor=whole)
    first = finetune(base, *private, config(steps=7, **changes), monitor=parted)
    assert not first.finished
    assert first.step == stop_at
    parted.stop_at = None
    second = finetune(base, *private, config(steps=7, **changes), monitor=parted)
    assert second.finished
    assert second.step == 7
    assert second.seconds > first.seconds
    assert torch.equal(second.kappa, expected.kappa)
    assert parted.rows == whole.rows
    for name, (A, B) in factors(expected).items():
        assert torch.equal(factors(second)[name][0], A)
        assert torch.equal(factors(second)[name][1], B)


def test_seed_decides_the_result(base, private):
    outcomes = [factors(finetune(base, *private, config(seed=seed, steps=3))) for seed in (1, 1, 2)]
    assert torch.equal(outcomes[0]["layers.0"][1], outcomes[1]["layers.0"][1])
    assert not torch.equal(outcomes[0]["layers.0"][0], outcomes[2]["layers.0"][0])


def test_the_global_generator_and_the_base_are_left_alone(base, private):
    state, weights = torch.get_rng_state(), copy.deepcopy(base.state_dict())
    finetune(base, *private, config(steps=2, batch_size=2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weights[name], tensor) for name, tensor in base.state_dict().items())


def test_rows_have_the_names_that_pages_read(base, private):
    monitor = Memory()
    outcome = finetune(base, *private, config(steps=3, layers=["layers.0", "layers.1", "layers.2"]), monitor=monitor)
    assert sorted(monitor.rows) == [0, 1, 2, 3]
    assert set(monitor.rows[3]) == {
        "loss", "flips.layers.0", "flips.layers.1", "feature_cosine", "feature_cosine_mean", "coefficients",
        "coefficient_drift", "weight_change", "kink_distance.layers.0", "kink_distance.layers.1",
        "kink_distance_smallest.layers.0", "kink_distance_smallest.layers.1"}
    assert monitor.rows[3]["loss"] == outcome.after.loss < outcome.before.loss == monitor.rows[0]["loss"]
    assert monitor.rows[3]["weight_change"] > monitor.rows[1]["weight_change"] > monitor.rows[0]["weight_change"] == 0


def test_last_row_agrees_with_the_peft_model(base, private):
    x, labels = private
    outcome = finetune(base, x, labels, config(steps=4))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(outcome.model(x.double()), labels.double())
    assert outcome.after.loss == pytest.approx(loss.item(), rel=1e-12)


def test_long_runs_are_recorded_thinly_from_first_to_last():
    assert recorded_steps(RECORDED_STEPS) == frozenset(range(RECORDED_STEPS + 1))
    thin = sorted(recorded_steps(1234))
    assert len(thin) == RECORDED_STEPS + 1
    assert thin[0] == 0
    assert thin[-1] == 1234
    gaps = {later - earlier for earlier, later in itertools.pairwise(thin)}
    assert gaps == {6, 7}


def test_every_epoch_sees_every_sample_once_in_its_own_order():
    epochs = [torch.cat([batch_indices(3 * epoch + step, samples=8, batch_size=3, seed=1) for step in range(3)])
              for epoch in range(3)]
    assert all(sorted(order.tolist()) == list(range(8)) for order in epochs)
    assert len({tuple(order.tolist()) for order in epochs}) == 3


def test_batch_size_at_or_above_the_samples_is_full_batch():
    for size in (0, 4, 9):
        assert batch_indices(3, samples=4, batch_size=size, seed=0).tolist() == [0, 1, 2, 3]


def test_a_layer_that_the_base_lacks(private):
    shallow = MLP([36, 20, 1], image_shape=(1, 6, 6)).requires_grad_(False)
    with pytest.raises(InputError, match=r"layers: layers\.2 is not a layer of this base; choose from layers\.0, "):
        finetune(shallow, *private, config(layers=["layers.0", "layers.2"]))


@pytest.mark.parametrize("steps", [1, 50])
def test_divergence_is_said(base, private, steps):
    huge = {"learning_rate": 100.0, "alpha": 1e5, "rank": 1, "precision": "float32", "steps": steps}
    monitor = Memory()
    if steps == 1:  # one step is finite however large, and is reported as what it is
        assert math.isfinite(finetune(base, *private, config(**huge), monitor=monitor).after.weight_change)
    else:
        with pytest.raises(InputError, match="learning_rate: the fine-tuning diverged"):
            finetune(base, *private, config(**huge), monitor=monitor)


def test_flipped_gates_are_shown_while_it_runs(base, private, monkeypatch):
    class Shown(Memory):
        def gates(self, step: int, switched: dict[str, torch.Tensor]) -> None:
            self.shown[step] = switched

    monkeypatch.setattr("core.training.finetune.GATE_SECONDS", -1.0)
    monitor = Shown()
    monitor.shown = {}
    outcome = finetune(base, *private, config(steps=5, learning_rate=2.0), monitor=monitor)
    assert list(monitor.shown) == [1, 2, 3, 4, 5]
    assert any(pairs.any() for pairs in outcome.flipped.values())
    for name, pairs in outcome.flipped.items():
        assert torch.equal(monitor.shown[5][name], pairs)
