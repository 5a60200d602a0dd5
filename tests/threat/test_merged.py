import copy

import pytest
import torch

from core.reconstruction.algebraic.attack import find_samples
from core.threat.merged import is_merged, unmerged
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta, WeightDelta
from core.threat.update import weight_delta
from tests.helpers.peft_victims import PeftVictim, peft_victim

FAR = 10**9 + 7  # a seed that nobody tries


@pytest.fixture(scope="module")
def victim(problem) -> PeftVictim:
    return peft_victim(problem, 2)


def delta(victim: PeftVictim, **options) -> WeightDelta:
    return weight_delta(victim.network, victim.tuned(**options), ThreatModel())


def patterns_right(found, victim: PeftVictim) -> float:
    """The least share, over samples and layers, of certain neurons whose pattern is right."""
    shares = []
    for level, reading in found.separation.layers.items():
        for on, certain in zip(reading.on, reading.certain, strict=True):
            shares.append(max(float((on == row)[certain].double().mean()) for row in victim.patterns(level)))
    return min(shares)


@pytest.mark.parametrize("rank", [8, 128])
def test_a_merged_adapter_under_a_usual_seed_is_itself_again(victim, rank):
    observation = unmerged(delta(victim, r=rank, learning_rate=0.1))
    assert isinstance(observation, AdapterDelta)
    assert f"seed 3, rank {rank}" in observation.notes[0]
    for name, change in delta(victim, r=rank, learning_rate=0.1).layers.items():
        factors = observation.layers[name]
        assert factors.A.shape == (rank, change.shape[1])
        assert float((factors.B @ factors.A - change).norm() / change.norm()) < 1e-3
    found = find_samples(observation)
    assert found.separation.samples == 2
    assert patterns_right(found, victim) == 1.0


def test_a_merged_adapter_of_an_unknown_seed_is_said_and_its_inputs_are_not_taken_at_their_word(victim):
    observation = unmerged(delta(victim, seed=FAR, learning_rate=0.1))
    assert isinstance(observation, WeightDelta)
    assert observation.merged
    assert "merged in (the rank of its update is 2 in layers.0, 2 in layers.1" in observation.notes[0]
    found = find_samples(observation)
    assert found.separation.samples == 2
    assert patterns_right(found, victim) > 0.99


@pytest.mark.parametrize("bias", [True, False])
def test_full_fine_tuning_is_no_merged_adapter(victim, bias):
    """Not even with frozen biases: after a ReLU, silent inputs get no update."""
    tuned = copy.deepcopy(victim.network).requires_grad_(True)
    trained = [p for name, p in tuned.named_parameters() if bias or not name.endswith("bias")]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(tuned(victim.x), victim.labels.float())
    with torch.no_grad():
        for parameter, gradient in zip(trained, torch.autograd.grad(loss, trained), strict=True):
            parameter.sub_(0.1 * gradient)
    full = weight_delta(victim.network, tuned.requires_grad_(False), ThreatModel())
    assert not is_merged(full)
    assert unmerged(full) is full
