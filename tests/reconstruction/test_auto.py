"""auto takes the method that suits what was released, and says why."""

import torch

from core.reconstruction.auto import choose
from core.threat.observation import AdapterDelta, TrainedWeights
from tests.helpers.cases import NOTHING, one_step, random_network


def chosen(observation) -> tuple[str, str]:
    choice = choose(observation)
    assert choice.reason.endswith(".")
    return choice.method.name, choice.reason


def test_what_comes_apart_is_solved(problem):
    step = one_step(problem, 2)
    for observation in (step.adapter(), step.adapter(dtype=torch.bfloat16), step.weights(),
                        step.adapter(layers=("layers.0",))):
        name, reason = chosen(observation)
        assert name == "algebraic"
        assert "patterns of 2 samples" in reason


def test_what_does_not_is_searched_for(problem):
    step = one_step(problem, 4)
    for observation, why in ((step.adapter(rank=3), "does not come apart"),
                             (AdapterDelta(random_network(seed=9), step.adapter().layers, NOTHING), "not come apart"),
                             (step.adapter(layers=("layers.1",)), "layers.0 has no update")):
        name, reason = chosen(observation)
        assert name == "ntk"
        assert why in reason


def test_trained_weights_alone_are_explained_by_kkt(problem):
    name, reason = chosen(TrainedWeights(random_network(), NOTHING))
    assert name == "kkt"
    assert "stationarity" in reason
