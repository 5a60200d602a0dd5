from dataclasses import replace

import pytest
import torch

from core.reconstruction.algebraic.limits import DRIFTED, algebraic_limits
from core.reconstruction.algebraic.recovery import Estimate
from core.reconstruction.algebraic.separation import Separation, separate
from core.reconstruction.algebraic.updates import layer_updates
from core.threat.model import ThreatModel
from tests.helpers.cases import one_step

GOOD = Estimate(torch.zeros(4), 0.1, 1, 0.0, 1e-6, True, 2, 64, True, torch.zeros(4), torch.zeros(4), False)


@pytest.fixture
def step(problem):
    return one_step(problem, 2)


@pytest.fixture
def separation(step) -> Separation:
    return separate(step.network, layer_updates(step.adapter()), samples=2)


def test_nothing_in_the_way_says_nothing(step, separation):
    assert algebraic_limits(step.adapter(), separation, [GOOD, GOOD]) == []


def test_open_pixels_blur_contradictions_and_drift_are_told_with_numbers(step, separation):
    open_ = replace(GOOD, exact=False, free=120)
    (sentence,) = algebraic_limits(step.adapter(), separation, [GOOD, open_])
    assert sentence.startswith("Sample 2 of 2: 64 linear measurements leave about 120 pixels open")
    (sentence,) = algebraic_limits(step.adapter(), separation, [replace(GOOD, residual=0.2), replace(GOOD, slack=9.0)])
    assert sentence.startswith("Sample 1, 2: no image in [0, 1]")
    assert algebraic_limits(step.adapter(), separation, [GOOD, GOOD], drifted=True) == [DRIFTED]
    (sentence,) = algebraic_limits(step.adapter(), separation, [GOOD, replace(GOOD, background="white")])
    assert sentence.startswith("Sample 2: equations and signs are met with far less ink on white paper")
    first = separation.layers[0]
    blurred = Separation({**separation.layers, 0: replace(first, misfit=torch.tensor([0.0, 0.07]))})
    (sentence,) = algebraic_limits(step.adapter(), blurred, [GOOD, GOOD])
    assert sentence.startswith("7% of the neurons of one sample")


@pytest.mark.parametrize(("rank", "samples", "words"), [
    (2, None, "rank 2 at most"), (2, 4, "rank 2 at most"), (32, 20, "more than the 18"),
    (32, 2, "No 2 activation patterns explain")])
def test_why_an_update_does_not_come_apart(step, rank, samples, words):
    (sentence,) = algebraic_limits(step.adapter(rank=rank, threat=ThreatModel(samples=samples)), None, [])
    assert words in sentence
