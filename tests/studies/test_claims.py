"""Verdicts follow the rows, whichever way they come out."""

import pytest

from core.runs.kinds import parse_config
from core.runs.reports.studies import ExperimentRow
from core.studies.claims import CLAIMS, FAILS, HOLDS, LADDER, MIXED
from core.studies.experiments.presets import PRESETS

BY_KEY = {claim.key: claim for claim in CLAIMS}


def row(ssim, **values):
    return ExperimentRow(**{
        "state": "done", "mean_ssim": ssim, "arm": None, "adaptation": "lora", "rank": 8, "steps": 1, "seed": 0,
        "coefficients": "free", "feature_cosine": 1.0, "largest_coefficient": 1.0, "base_residual": 0.5,
        "recovered": 10, "targets": 20, **values})


def arms(name, *scores):
    return [row(score, arm=name, seed=seed) for seed, score in enumerate(scores)]


def verdict(key, rows):
    judged = BY_KEY[key].judge(rows)
    return judged and judged.verdict


def test_every_claim_names_an_experiment_that_can_be_launched():
    assert len(BY_KEY) == len(CLAIMS) == len(LADDER)
    costs = [(claim.minutes, claim.attacks()) for claim in LADDER]
    assert costs == sorted(costs)
    for claim in CLAIMS:
        config = parse_config(claim.config("pretrain-x"))
        assert config.preset == claim.preset
        assert claim.attacks() > 0
        names = {arm.name for arm in PRESETS[claim.preset].arms}
        if names:  # the arms that are compared exist
            assert claim.judge([one for name in names for one in arms(name, 0.5, 0.6)])


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.key)
def test_without_rows_that_bear_on_it_there_is_no_verdict(claim):
    assert claim.judge([]) is None
    assert claim.judge([row(None, steps=1, feature_cosine=None)]) is None
    assert claim.judge([row(0.9, state="failed")]) is None


def test_features():
    assert verdict("features", [row(0.5, feature_cosine=0.999), row(0.5, steps=200, feature_cosine=0.5)]) == HOLDS
    assert verdict("features", [row(0.5, feature_cosine=0.999), row(0.5, feature_cosine=0.39)]) == FAILS


@pytest.mark.parametrize(("key", "axis", "rises"), [("steps", "steps", False), ("rank", "rank", True)])
def test_along_an_axis(key, axis, rises):
    up = [row(0.2, **{axis: 1}), row(0.9, **{axis: 64})]
    down = [row(0.9, **{axis: 1}), row(0.2, **{axis: 64})]
    assert verdict(key, up) == (HOLDS if rises else FAILS)
    assert verdict(key, down) == (FAILS if rises else HOLDS)
    assert verdict(key, [row(0.5, **{axis: 1}), row(0.51, **{axis: 64})]) == MIXED
    if axis == "steps":  # full fine-tuning has no rank
        full = [one.model_copy(update={"adaptation": "full", "rank": None}) for one in up]
        assert verdict(key, down + full) == MIXED, "one of the two adaptations says otherwise"
        assert "with full fine-tuning; " in BY_KEY[key].judge(down + full).text
    oracle = [row(0.0, coefficients="known", **{axis: 64})]  # a ceiling says nothing of an attack
    assert verdict(key, up + oracle) == verdict(key, up)


@pytest.mark.parametrize("key", ["compose", "algebraic"])
def test_whether_anything_comes_back(key):
    assert verdict(key, [row(0.1, rank=1), row(0.6, rank=64)]) == HOLDS
    assert verdict(key, [row(0.1, rank=1), row(0.2, rank=64), row(0.9, adaptation="full", rank=None)]) == FAILS


def test_seed_by_seed():
    better = "ModifiedReLU, α 5 to 500"
    assert verdict("surrogate", arms(better, 0.8, 0.7) + arms("ReLU", 0.5, 0.6)) == HOLDS
    assert verdict("surrogate", arms(better, 0.9, 0.5) + arms("ReLU", 0.5, 0.6)) == MIXED
    assert verdict("surrogate", arms(better, 0.5, 0.5) + arms("ReLU", 0.5, 0.6)) == FAILS
    judged = BY_KEY["surrogate"].judge(arms(better, 0.9, 0.5) + arms("ReLU", 0.5, 0.6, 0.7))
    assert "0.70 with ModifiedReLU" in judged.text
    assert "1 of 2 seeds" in judged.text  # only seeds that both have


def test_overlap():
    def seen(own, ssim, new=0.9):
        return [row(score, arm=name, largest_coefficient=value) for name, value, score in (
            ("hold-out samples", new, 0.99), ("training samples", own, ssim))]

    assert verdict("overlap", seen(1e-18, 0.1)) == HOLDS
    assert verdict("overlap", seen(1e-18, 0.9)) == MIXED
    assert verdict("overlap", seen(1e-6, 0.1)) == MIXED
    assert verdict("overlap", seen(1e-6, 0.9)) == FAILS
    assert verdict("overlap", seen(1e-18, 0.1)[:1]) is None


def test_count():
    def seen(many, few, right=0.7, found=16):
        return [row(right, arm="1×", recovered=found), row(many, arm="told 1.5 N", recovered=18),
                row(0.35, arm="told N/2", recovered=few)]

    assert verdict("count", seen(0.5, 4)) == HOLDS
    assert verdict("count", seen(0.8, 4)) == MIXED
    assert verdict("count", seen(0.5, 9)) == MIXED
    assert verdict("count", seen(0.8, 9)) == FAILS, "half of the candidates cannot show more than half of the targets"
    assert verdict("count", seen(0.5, 4)[:2]) is None
    assert "90 % with half of it" in BY_KEY["count"].judge(seen(0.8, 9)).text


def test_stationarity():
    def seen(near, far, **values):
        return arms("max-margin, ln loss -40", *near) + [
            one.model_copy(update=values) for one in arms("log-gd, ln loss -5", *far)]

    assert verdict("stationarity", seen((0.8, 0.7), (0.3, 0.2))) == HOLDS
    assert verdict("stationarity", seen((0.8, 0.3), (0.3, 0.4))) == MIXED
    assert verdict("stationarity", seen((0.3, 0.2), (0.8, 0.7))) == FAILS
    assert verdict("stationarity", seen((0.8,), (0.3,), base_residual=None)) is None, "nothing says how far it was"
    judged = BY_KEY["stationarity"].judge(seen((0.8,), (0.3,), base_residual=0.9))
    assert "0.50 with max-margin, ln loss -40, 0.90 with log-gd, ln loss -5" in judged.text


def test_init():
    def seen(pretrained, tiny, large=0.5):
        return [row(0.9, arm=name, feature_cosine=value) for name, value in (
            ("pretrained, lr 0.0003", pretrained), ("tiny init, lr 0.0003", tiny),
            ("pretrained, lr 0.01", pretrained), ("tiny init, lr 0.01", large))]

    assert verdict("init", seen(0.999, 0.4)) == HOLDS
    assert verdict("init", seen(0.999, 0.995)) == MIXED
    assert verdict("init", seen(0.5, 0.995, 0.999)) == FAILS
    assert verdict("init", seen(0.999, 0.4)[:3]) is None
