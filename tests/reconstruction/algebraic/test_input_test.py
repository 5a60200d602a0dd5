import copy

import pytest
import torch

from core.artifacts.input_statistics import set_statistic
from core.config.monitor import Silent
from core.reconstruction.algebraic.attack import attack, find_samples
from core.reconstruction.algebraic.input_test import Trial, try_inputs, verdict
from core.runs.kinds import AttackConfig
from tests.helpers.cases import OneStep, random_network, small_digits


def standardised(network, mean: float, std: float):
    changed = copy.deepcopy(network)
    for name, value in (("input_mean", mean), ("input_std", std)):
        set_statistic(changed, name, torch.tensor([value]), what=name)
    return changed


@pytest.fixture(scope="module")
def step(problem) -> OneStep:
    """A base of pixels (x - 0.13) / 0.31."""
    x, labels = small_digits(problem, 1)
    return OneStep(standardised(random_network(192), 0.13, 0.31), x, labels)


def test_the_statistics_under_which_the_victim_was_trained_fit_best(step):
    observation = step.adapter(rank=48)
    networks = {"none": standardised(step.network, 0.0, 1.0), "half": standardised(step.network, 0.5, 0.5),
                "right": step.network}
    found = try_inputs(observation, find_samples(observation).separation, networks, default="none")
    assert found.chosen == "right"
    assert found.trials["none"].excluded
    assert found.trials["right"].residual < found.trials["half"].residual


def test_images_come_back_through_mean_and_deviation(step):
    """Pixels, not the network's inputs: h = (x - mean) / std is undone exactly."""
    result = attack(step.adapter(rank=160), AttackConfig(method="algebraic"), Silent(), began=0.0)
    torch.testing.assert_close(result.x.double(), step.x, atol=1e-3, rtol=0)


GOOD, POOR, BROKEN = Trial(0.0, 1e-4, 100, False), Trial(0.0, 1e-3, 150, False), Trial(9.0, 0.05, 80, False)


@pytest.mark.parametrize(("trials", "chosen", "decided"), [
    ({"a": BROKEN, "b": GOOD, "c": POOR}, "b", True),
    ({"a": POOR, "b": GOOD}, "b", True),
    ({"a": GOOD, "b": GOOD}, "a", False),
    ({"b": GOOD, "a": GOOD}, "a", False),
    ({"a": BROKEN, "b": BROKEN}, "a", False),
    ({"a": BROKEN, "b": POOR}, "b", True),
    ({"a": BROKEN, "b": POOR, "c": POOR}, "b", False),
])
def test_what_the_trials_decide(trials, chosen, decided):
    found = verdict(trials, default="a")
    assert (found.chosen, found.decided) == (chosen, decided)
