import copy
from dataclasses import replace

import pytest
import torch

from core.artifacts.input_statistics import AS_THEY_ARE, set_statistic
from core.config.monitor import Silent
from core.tasks.input_choice import ASK, choose_inputs, doubt_inputs
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta, TrainedWeights
from tests.helpers.cases import OneStep, random_network, small_digits

MNIST = "MNIST, mean 0.1307, deviation 0.3081"


@pytest.fixture(scope="module")
def silent(problem) -> AdapterDelta:
    """An adapter on a base of pixels (x - 0.1307) / 0.3081, whose checkpoint says nothing of it."""
    network = random_network(192)
    blank = copy.deepcopy(network)
    blank.input_mean.zero_()
    for name, value in (("input_mean", 0.1307), ("input_std", 0.3081)):
        set_statistic(network, name, torch.tensor([value]), what=name)
    x, labels = small_digits(problem, 1)
    return replace(OneStep(network, x, labels).adapter(rank=48), network=blank)


def test_where_nothing_is_said_the_facts_choose(silent):
    choice = choose_inputs(silent, Silent())
    assert choice.facts.chosen == MNIST
    assert choice.limits == ()
    assert set(choice.facts.tried) == {AS_THEY_ARE, "mean 0.5, deviation 0.5", MNIST}
    assert not choice.facts.tried[AS_THEY_ARE].fits
    assert choice.observation.network.input_std.unique().item() == pytest.approx(0.3081)
    assert choice.observation.layers is silent.layers


def test_what_is_said_is_taken(silent):
    choice = choose_inputs(replace(silent, inputs_said="input_mean in base.pth"), Silent())
    assert choice.observation.network is silent.network
    assert choice.facts.why == "as said by input_mean in base.pth"
    assert choice.facts.tried == {}


def test_a_stated_mean_that_contradicts_the_facts_is_doubted(silent):
    choice = doubt_inputs(replace(silent, inputs_said="given"), Silent())
    assert choice.facts.chosen == MNIST
    assert "do not fit the update; MNIST, mean 0.1307" in choice.limits[0]


def test_out_of_time_or_without_an_update_it_is_left_open(silent):
    choice = choose_inputs(silent, Silent(), ends=0.0)
    assert choice.facts.chosen == AS_THEY_ARE
    assert choice.limits[0].endswith(ASK)
    assert "no time to try any" in choice.facts.why
    alone = choose_inputs(TrainedWeights(silent.network, ThreatModel()), Silent())
    assert alone.observation.network is silent.network
    assert "cannot be held against the candidates" in alone.facts.why
