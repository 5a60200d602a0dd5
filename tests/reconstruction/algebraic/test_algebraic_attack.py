"""The whole algebraic attack on one exact step: images, labels and N out of the released update alone."""

import time
from dataclasses import replace

import pytest
import torch

from core.artifacts.factors import Factors
from core.assessment.matching import match
from core.config.monitor import Silent
from core.io.errors import InputError
from core.reconstruction.algebraic.attack import attack, find_samples
from core.reconstruction.registry import named
from core.reconstruction.solvers.protocol import Status
from core.runs.kinds import AttackConfig
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta, TrainedWeights
from tests.helpers.cases import NOTHING, one_step, random_network


def launch(observation, monitor=None, **knobs):
    return attack(observation, AttackConfig(method="algebraic", **knobs), monitor or Silent(), began=time.monotonic())


def check(step, outcome, *, decibels: float) -> None:
    found = match(outcome.x, step.x.float())
    assert min(found.values["psnr"]) > decibels
    assert outcome.labels[found.assignment].tolist() == step.labels.int().tolist()
    assert torch.equal(outcome.coefficients > 0, outcome.labels > 0)
    assert outcome.status is Status.SOLVED
    for level in (0, 1):
        on, certain = (outcome.tensors[f"{name}.layers.{level}"][found.assignment].bool() for name in
                       ("patterns", "certain"))
        assert torch.equal(on[certain], step.patterns(level)[certain])


@pytest.mark.parametrize("samples", [1, 2, 4])
def test_a_full_rank_adapter_gives_everything_back(problem, samples):
    step = one_step(problem, samples)
    outcome = launch(step.adapter(rank=200))
    check(step, outcome, decibels=100)
    assert f"N = {samples} is the numerical rank" in outcome.samples_found_by
    assert outcome.facts["exact"] == [True] * samples
    assert outcome.limits == []
    assert min(outcome.confidence) > 0.9
    order = match(outcome.x, step.x.float()).assignment
    assert torch.allclose(outcome.coefficients[order], step.k, rtol=1e-6)
    assert outcome.facts["equations"] == 400
    assert outcome.tensors["x"].shape == (1, samples, 1, 14, 14)
    assert outcome.x.dtype == torch.float32


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("samples", [2, 4])
def test_a_full_weight_change_gives_everything_back(problem, samples, bias):
    step = one_step(problem, samples)
    outcome = launch(step.weights(bias=bias))
    check(step, outcome, decibels=100)
    assert float((outcome.x[match(outcome.x, step.x.float()).assignment] - step.x).abs().max()) < 1e-6


def test_one_sample_with_a_bias_needs_no_programme(problem):
    step = one_step(problem, 1)
    outcome = launch(step.weights())
    assert outcome.facts["closed_form"]
    assert float((outcome.x - step.x).abs().max()) < 1e-6
    assert outcome.labels.tolist() == step.labels.int().tolist()
    assert outcome.coefficients.tolist() == pytest.approx(step.k.tolist(), rel=1e-6)
    assert outcome.residuals["residual"] < 1e-9


@pytest.mark.parametrize(("dtype", "decibels"), [(torch.float32, 70), (torch.bfloat16, 20)])
def test_stored_precision_costs_decibels(problem, dtype, decibels):
    step = one_step(problem, 2)
    check(step, launch(step.adapter(rank=200, dtype=dtype)), decibels=decibels)


def test_the_first_layer_alone_separates_by_its_zeros(problem):
    step = one_step(problem, 2)
    outcome = launch(step.adapter(rank=200, layers=("layers.0",)))
    found = match(outcome.x, step.x.float())
    assert min(found.values["psnr"]) > 60
    assert outcome.labels[found.assignment].tolist() == step.labels.int().tolist()
    assert torch.allclose(outcome.coefficients[found.assignment], step.k, rtol=1e-3)  # its scale is an unknown too


def test_a_low_rank_says_that_the_prior_decides(problem):
    step = one_step(problem, 2)
    outcome = launch(step.adapter(rank=4))
    assert outcome.status is Status.SOLVED
    assert outcome.facts["exact"] == [False, False]
    assert "8 linear measurements leave" in outcome.limits[0]
    assert max(outcome.confidence) < 0.9
    assert outcome.residuals["residual"] < 0.01


def test_n_is_known_or_found(problem):
    step = one_step(problem, 3)
    assert find_samples(step.adapter(threat=ThreatModel(samples=3))).separation.samples == 3
    found = find_samples(step.adapter())
    assert found.separation.samples == 3
    assert found.by.startswith("N = 3")
    assert find_samples(step.adapter(threat=ThreatModel(samples=2))).separation is None


@pytest.mark.parametrize("case", ["another base", "adamw", "more samples than ranks", "layers.1 alone"])
def test_what_does_not_come_apart_ends_typed_and_empty(problem, case):
    step = one_step(problem, 4)
    observation = {
        "another base": lambda: AdapterDelta(random_network(seed=9), step.adapter().layers, NOTHING),
        "adamw": lambda: AdapterDelta(step.network, {  # the first step of AdamW is the sign of the gradient
            name: Factors(layer.A, 1e-4 * layer.B.sign(), 2.0) for name, layer in step.adapter().layers.items()},
            NOTHING),
        "more samples than ranks": lambda: step.adapter(rank=3),
        "layers.1 alone": lambda: step.adapter(layers=("layers.1",)),
    }[case]()
    outcome = launch(observation)
    assert outcome.status is Status.NOT_SEPARABLE
    assert outcome.x.shape == (0, 1, 14, 14)
    assert outcome.tensors["x"].shape == (1, 0, 1, 14, 14)
    assert outcome.confidence == []
    (sentence,) = outcome.limits
    assert sentence.endswith(".")
    assert {"another base": "the base is not the one", "adamw": "no 32 activation patterns explain it",
            "more samples than ranks": "rank 3 at most", "layers.1 alone": "layers.0 has no update"}[case] in sentence


def test_a_wrong_label_of_one_sample_is_contradicted(problem):
    step = one_step(problem, 1)
    wrong = ThreatModel(samples=1, labels=1 - step.labels.long())
    outcome = launch(step.adapter(threat=wrong))
    assert outcome.status is Status.CONTRADICTORY
    assert any("no image in [0, 1]" in sentence for sentence in outcome.limits)


class Stopping(Silent):
    """Asks to stop from the n-th question on."""

    def __init__(self, after: int) -> None:
        self.left = after

    def should_stop(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_stop_is_a_status_and_keeps_what_there_is(problem):
    step = one_step(problem, 2)
    nothing = launch(step.adapter(), Stopping(0))
    assert nothing.status is Status.STOPPED
    assert nothing.x.shape[0] == 0
    assert nothing.limits == [Status.STOPPED.value]
    some = launch(step.adapter(), Stopping(60))
    assert some.status is Status.STOPPED
    assert 1 <= len(some.x) == len(some.labels) == len(some.confidence)
    assert bool(some.x.isfinite().all())


def test_a_time_limit_is_a_status(problem):
    step = one_step(problem, 2)
    outcome = launch(step.adapter(), max_seconds=1e-6)
    assert outcome.status is Status.TIME_LIMIT
    assert len(outcome.x) == 0


@pytest.mark.parametrize("released", ["adapter", "weights", "first layer"])
def test_the_network_is_left_as_it_was(problem, released):
    """In float32, as checkpoints are loaded: neither values nor dtypes may change under the pages' feet."""
    step = one_step(problem, 1 if released == "weights" else 2)
    observation = {"adapter": step.adapter, "weights": step.weights,
                   "first layer": lambda: step.adapter(layers=("layers.0",))}[released]()
    observation.network.float()
    before = {name: value.clone() for name, value in observation.network.state_dict().items()}
    launch(observation)
    for name, value in observation.network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name])


def test_input_that_is_no_update_names_the_field(problem):
    step = one_step(problem, 1)
    with pytest.raises(InputError, match=r"^method: algebraic takes the update"):
        named("algebraic").attack(TrainedWeights(step.network, NOTHING), AttackConfig(method="algebraic"), Silent(),
                                  began=time.monotonic())
    observation = step.adapter()
    empty = {name: Factors(layer.A, torch.zeros_like(layer.B), 2.0) for name, layer in observation.layers.items()}
    with pytest.raises(InputError, match=r"^adapter: every B is zero"):
        launch(replace(observation, layers=empty))
