"""Confidence: falls with every unmet fact, never contradicts the status, and what the facts are."""

import pytest
import torch

from core.reconstruction.calibration import FACTS, calibration
from core.reconstruction.candidate import Candidate
from core.reconstruction.confidence import GUESS, GUESSES, confidence, image_facts, probability, searched_facts
from core.reconstruction.ntk.attack import settled
from core.reconstruction.solvers.protocol import Status

METHODS = ("algebraic", "ntk", "kkt")
MET = {name: fact.met for name, fact in FACTS.items()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FACTS)
def test_an_unmet_fact_never_raises_confidence(method, name):
    fact = FACTS[name]
    half = (fact.met + fact.unmet) / 2
    claims = [confidence(method, [{**MET, name: value}], Status.SOLVED)[0] for value in (fact.met, half, fact.unmet)]
    assert claims == sorted(claims, reverse=True)
    if name in calibration().weights[method]:
        assert claims[0] > claims[-1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", GUESSES)
def test_a_result_that_calls_itself_a_guess_claims_less_than_a_half(method, status):
    assert confidence(method, [MET, {}], status) == [min(GUESS, plain) for plain in
                                                     confidence(method, [MET, {}], Status.SOLVED)]
    assert max(confidence(method, [MET, {}], status)) < 0.5


@pytest.mark.parametrize("facts", [{"contradiction": 1.0}, {"residual": 0.5}, {"unexplained": 0.5}, {"mean": 0.99}])
def test_a_contradiction_the_mean_image_and_much_unexplained_are_guesses(facts):
    assert confidence("algebraic", [{**MET, **facts}], Status.SOLVED)[0] <= GUESS


def test_the_map_is_a_logistic_one_over_how_far_facts_are_unmet():
    assert probability({"noise": 1e-9}, 0.0, {"noise": 2.0}) == 0.5         # met
    assert probability({"noise": 0.5}, 0.0, {"noise": 2.0}) == pytest.approx(1 / (1 + torch.e ** 2))
    assert probability({}, 1.0, {"noise": 2.0}) == pytest.approx(1 / (1 + 1 / torch.e))  # says nothing here
    assert FACTS["noise"].degree(float("nan")) == 1.0
    assert FACTS["noise"].degree(1e-6 * (0.1 / 1e-6) ** 0.5) == pytest.approx(0.5)


def test_images_tell_noise_and_the_mean_from_pictures(problem):
    mean = problem.images(range(100)).mean(0)
    digit, noise = problem.images([7])[0], torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(0))
    of_digit, of_noise, of_mean = image_facts(torch.stack([digit, noise, mean]), mean)
    assert of_noise["rough"] > 2.0 > 1.5 > of_digit["rough"]
    assert of_mean["mean"] == pytest.approx(1.0)
    assert of_digit["mean"] < 0.9
    assert of_digit["unsaid"] == 0.0
    (unsaid,) = image_facts(digit[None], torch.full_like(mean, 0.5))  # a flat mean: nothing to compare with
    assert unsaid["unsaid"] == 1.0
    assert "unlike" not in unsaid
    assert "rough" not in image_facts(torch.rand(1, 1, 1, 2), torch.zeros(1, 1, 2))[0]  # a point has no neighbours


def test_a_search_states_what_its_restarts_agree_on():
    x = torch.rand(3, 2, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    x[1, 0] = x[0, 0]         # two restarts agree on the first sample
    x[0, 1, 0, 0, 0] = 2.0    # outside the box by 1 of 36 pixels
    candidate = Candidate(x, torch.zeros(3, 2).long(), torch.tensor([[1.0, 0.1]] * 3))
    first, second = searched_facts(candidate, torch.tensor([0.04, 0.05, 0.9]), 0, torch.zeros(1, 6, 6))
    assert first["unexplained"] == pytest.approx(0.2)
    assert first["disagreement"] == pytest.approx(0.0, abs=1e-9)
    assert second["disagreement"] > 0.3
    assert (first["weak"], second["weak"]) == (1.0, pytest.approx(10.0))
    assert (first["outside"], second["outside"]) == (0.0, pytest.approx(1 / 36))
    assert first["alone"] == 0.0
    assert searched_facts(candidate, torch.tensor([0.01, 0.5, 0.9]), 0, torch.zeros(1, 6, 6))[0]["alone"] == 1.0


def test_images_that_equations_determine_need_no_witness():
    doubted = {"open": 0.5, "unexplained": 1e-4, "outside": 1e-5, "alone": 1.0, "unsaid": 1.0, "rough": 0.5}
    assert settled(doubted) == {**doubted, "alone": 0.0, "unsaid": 0.0}
    assert confidence("ntk", [settled(doubted)], Status.ITERATIONS)[0] > \
        confidence("ntk", [doubted], Status.ITERATIONS)[0]
    for name, unmet in {"open": 2.0, "unexplained": 0.1, "outside": 0.05}.items():  # the last of a mean not told
        assert settled({**doubted, name: unmet}) == {**doubted, name: unmet}
