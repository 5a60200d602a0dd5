"""What a score has to beat, and the words for it."""

import pytest
import torch

from core.assessment.controls import DRAWS, measure_controls, other_sets, public_mean
from core.assessment.finding import controls_of, is_finding, judged, verdict
from core.assessment.matching import match
from core.runs.reports.score import Controls, ImageScore, PointScore


def test_controls_of_digits_are_matches_to_other_sets_and_of_the_mean(problem, trained_indices):
    pool = problem.holdout(trained_indices)
    truth, labels = problem.images(pool[:4]), problem.labels[pool[:4]]
    others = other_sets(problem, labels, pool=pool[4:])
    mean = public_mean(problem, base=torch.zeros(1, 28, 28), pool=pool[4:])
    found = measure_controls(truth, truth, mean_image=mean, others=others)
    assert (len(others), found.draws) == (DRAWS, DRAWS)
    by_hand = [match(truth, other).mean("ssim") for other in others]
    assert found.wrong_release == pytest.approx(sum(by_hand) / DRAWS)
    assert found.wrong_release_best == max(by_hand)
    assert found.mean_image == pytest.approx(match(mean.repeat(4, 1, 1, 1), truth).mean("ssim"))
    assert is_finding(1.0, found) is True
    assert is_finding(max(by_hand), found) is False


def test_other_sets_have_the_classes_of_the_private_ones_and_none_of_their_samples(problem):
    labels = torch.tensor([1, 1, 0])
    pool = torch.arange(100, 200)
    private = problem.images(torch.arange(100))
    for other in other_sets(problem, labels, pool=pool):
        assert len(other) == 3
        assert not any(torch.equal(image, mine) for image in other for mine in private)
    chosen = other_sets(problem, labels, pool=pool)[0]
    rows = [int((problem.images(pool) == image).flatten(1).all(1).nonzero()[0]) for image in chosen]
    assert sorted(problem.labels[pool[rows]].tolist()) == [0, 1, 1]
    assert other_sets(problem, torch.ones(90), pool=pool) == []  # too few of them


def test_many_samples_are_compared_with_fewer_draws(problem):
    assert len(other_sets(problem, problem.labels[:500], pool=torch.arange(500, 5000), images=1000)) < DRAWS


def test_a_reconstruction_that_ignores_the_release_is_exchangeable(problem):
    """The claim behind the wrong release, where it can be seen: images that depend on nothing private score as well
    against the truth as against other sets, so they are a finding once in 21 times."""
    generator = torch.Generator().manual_seed(3)
    image = problem.images(torch.tensor([4000]))
    findings = 0
    for _ in range(60):
        private = torch.randperm(2000, generator=generator)[:1]
        controls = measure_controls(image, problem.images(private), mean_image=None,
                                    others=other_sets(problem, problem.labels[private], pool=torch.arange(2000, 4000)))
        findings += bool(is_finding(match(image, problem.images(private)).mean("ssim"), controls))
    assert findings <= 8  # 60 / 21 = 3 expected


def test_points_are_compared_by_distance():
    truth = torch.tensor([[[[0.2, 0.2]]], [[[0.8, 0.8]]]])
    others = [torch.tensor([[[[0.2, 0.8]]], [[[0.8, 0.2]]]]), torch.tensor([[[[0.5, 0.5]]], [[[0.5, 0.6]]]])]
    found = measure_controls(truth, truth, mean_image=torch.tensor([[[0.5, 0.5]]]), others=others)
    assert found.wrong_release_best == pytest.approx(min(match(truth, other).mean("distance")
                                                            for other in others))
    assert is_finding(0.01, found, higher=False) is True
    assert is_finding(0.6, found, higher=False) is False
    assert "no better than" in judged(PointScore(distance=[0.6, 0.6], mean_distance=0.6, controls=found))


def test_what_is_not_above_both_is_no_finding_and_says_of_what():
    controls = Controls(mean_image=0.3, wrong_release=0.2, wrong_release_spread=0.02, wrong_release_best=0.25)
    assert is_finding(0.31, controls) is True
    assert verdict(0.31, controls) == "0.31 is better than the mean image (0.30) and a wrong release (0.20 ± 0.02)."
    assert is_finding(0.28, controls) is False
    assert verdict(0.28, controls) == "No finding: 0.28 is no better than the mean image (0.30)."
    assert "the mean image (0.30) and a wrong release (0.20 ± 0.02)" in verdict(0.24, controls)
    assert is_finding(None, controls) is None
    assert (is_finding(0.5, Controls()), verdict(0.5, Controls())) == (None, "")


def test_the_base_gives_the_mean_where_it_says_one(problem):
    own = problem.images(torch.arange(10)).mean(0)
    assert public_mean(problem, base=own, pool=torch.arange(50, 60)) is own
    assert torch.equal(public_mean(problem, base=torch.full((1, 28, 28), 0.5), pool=torch.arange(50, 60)),
                       problem.images(torch.arange(50, 60)).mean(0))


def test_chance_of_earlier_reports_is_a_wrong_release():
    old = ImageScore(mean_ssim=0.5, chance_mean_ssim=0.3, chance_recovered=4.0)
    assert controls_of(old) == Controls(wrong_release=0.3, wrong_release_recovered=4.0)
    assert judged(old) == "0.50 is better than a wrong release (0.30)."
    assert judged(ImageScore(mean_ssim=0.5)) == ""
