"""Grids: what they hold, in which order, at which learning rates."""

import pytest
import torch

from core.config.experiment import ExperimentConfig
from core.io.errors import InputError
from core.runs.kinds import parse_config
from core.studies.experiments.grid import count_runs, expand, grid_values, label, learning_rate
from core.studies.experiments.presets import PRESETS

FINETUNED = [name for name, preset in PRESETS.items() if not preset.arms]
ON_A_BASE = [name for name, preset in PRESETS.items() if not preset.finetunes]


def config(**changes) -> ExperimentConfig:
    return ExperimentConfig(**{"base": "base", **changes})


@pytest.mark.parametrize("size", ["small", "full"])
@pytest.mark.parametrize("preset", FINETUNED)
def test_every_preset_is_a_grid_of_valid_runs(preset, size):
    points = expand(config(preset=preset, size=size))
    for point in points:
        parse_config(point.finetune)
        parse_config({**point.attack, "finetune": "victim"})
    assert len({label(point.varied) for point in points}) == len(points), "no point twice, and labels tell them apart"
    assert {point.varied["adaptation"] for point in points} == {"lora", "full"}
    assert len({point.varied["seed"] for point in points}) > 1


@pytest.mark.parametrize("size", ["small", "full"])
@pytest.mark.parametrize("preset", ON_A_BASE)
def test_arms_attack_a_base_alone_for_every_seed(preset, size):
    points = expand(config(preset=preset, size=size, base="own"))
    for point in points:
        assert not point.finetune
        assert parse_config(point.pretrain).samples_per_class == 10
        attack = parse_config({**point.attack, "checkpoint": "base.safetensors"})
        assert (attack.method, attack.seed) == ("kkt", point.pretrain["seed"])
    seeds = {point.varied["seed"] for point in points}
    assert len(seeds) > 1
    bases = {str(arm.pretrain) for arm in PRESETS[preset].arms}
    assert count_runs(points) == (len(seeds) * len(bases), len(seeds) * len(PRESETS[preset].arms))
    assert len({label(point.varied) for point in points}) == len(points)
    assert len({(point.pretraining, str(point.attack)) for point in points}) == len(points), "no arm twice"


def test_a_given_base_is_not_pretrained_and_its_digits_count():
    points = expand(config(preset="kkt-candidates", repeats=1), digits=100)
    assert all(point.pretrain == {} for point in points)
    assert count_runs(points)[0] == 0
    asked = {point.varied["arm"]: (point.attack["samples"], point.attack["candidates"]) for point in points}
    assert asked == {"N read off": (None, None), "1×": (100, None), "1.5×": (100, 150), "2×": (100, 200),
                     "4×": (100, 400), "told N/2": (50, None), "told 1.5 N": (150, None)}
    assert {point.attack["threat"] for point in points if point.attack["samples"] is None} == {"released-only"}


def test_axes_without_meaning_and_a_base_of_its_own_are_refused_where_they_do_not_fit():
    with pytest.raises(InputError, match=r"ranks: .*fine-tunes nothing"):
        expand(config(preset="kkt-restarts", ranks=[4]))
    with pytest.raises(InputError, match=r"base: .*name a pretraining run"):
        expand(config(preset="ntk-steps", base="own"))


def test_the_presets_are_those_that_the_config_names():
    assert set(PRESETS) == set(ExperimentConfig.model_json_schema()["properties"]["preset"]["enum"])
    for preset in PRESETS.values():
        assert set(preset.sizes) == {"small", "full"}


def test_the_published_grids_are_the_full_presets():
    ranks = grid_values(config(preset="compose-rank", size="full"))["ranks"]
    assert ranks == [1, 2, 4, 8, 16, 32, 64]
    assert grid_values(config(preset="ntk-steps", size="full"))["steps"] == [1, 2, 5, 10, 20, 50, 100, 500, 1000]


def test_what_the_config_gives_wins_and_the_rest_is_the_presets():
    mine = config(preset="ntk-steps", ranks=[4, 2, 4], full=False, steps=[3], coefficients=["known"], repeats=1, seed=7)
    (low, high) = expand(mine)
    assert [low.varied["rank"], high.varied["rank"]] == [2, 4]
    assert low.varied["samples"] == 2
    assert low.finetune["steps"] == 3
    assert low.finetune["seed"] == low.attack["seed"] == 7
    assert low.attack["threat"] == "oracle"
    assert low.attack["method"] == "ntk"


def test_attacks_on_one_victim_share_its_fine_tuning_and_seeds_come_last():
    points = expand(config(preset="ntk-steps", ranks=[8], steps=[1, 10], repeats=2, coefficients=["free", "known"],
                           features=["base", "both"]))
    finetunings, attacks = count_runs(points)
    assert (finetunings, attacks) == (2 * 2 * 2, 2 * 2 * 2 * 4)
    assert [point.varied["seed"] for point in points] == sorted(point.varied["seed"] for point in points)
    shared = [point for point in points if point.finetuning == 1]
    assert len(shared) == 4
    assert all(point.finetune == shared[0].finetune for point in shared)
    assert {point.attack.get("features", "base") for point in shared} == {"base", "both"}


def test_the_kkt_attack_has_one_curve():
    points = expand(config(preset="compose-rank", coefficients=["free", "known"], features=["base", "both"], repeats=1))
    assert {(point.varied["coefficients"], point.varied["features"]) for point in points} == {(None, None)}
    assert {point.attack["threat"] for point in points} == {"informed"}


@pytest.mark.parametrize(("changes", "field"), [
    ({"ranks": [], "full": False}, "ranks"), ({"coefficients": []}, "coefficients"), ({"features": []}, "features"),
    ({"repeats": 100, "samples": list(range(1, 50)), "size": "full"}, "repeats"),
])
def test_a_grid_without_points_or_with_too_many_names_the_field(changes, field):
    with pytest.raises(InputError, match=rf"^{field}: "):
        expand(config(**changes))


def test_no_rank_leaves_full_fine_tuning_alone():
    assert {point.varied["rank"] for point in expand(config(ranks=[]))} == {None}


def test_matched_rates_undo_what_pefts_initialisation_shrinks():
    """Slow and obvious: the mean of A^T A over many draws of peft's A, times the factor, is the identity."""
    width, rank = 30, 5
    draws = torch.stack([torch.nn.init.kaiming_uniform_(torch.empty(rank, width), a=5 ** 0.5)
                         for _ in range(4000)]).double()
    mean = (draws.mT @ draws).mean(0)
    factor = learning_rate(1.0, rank=rank, width=width, rates="matched")
    assert torch.allclose(factor * mean, torch.eye(width).double(), atol=0.1)
    assert learning_rate(0.3, rank=rank, width=width, rates="same") == 0.3
    assert learning_rate(0.3, rank=None, width=width, rates="matched") == 0.3


def test_bases_that_are_compared_differ_in_how_far_they_are_trained_alone():
    points = expand(config(preset="kkt-stationarity", base="own", repeats=1))
    assert [point.pretraining for point in points] == [1, 2, 3]
    far, near, margin = (parse_config(point.pretrain) for point in points)
    alike = {"name", "optimizer", "target_log_loss"}
    assert far.model_dump(exclude=alike) == near.model_dump(exclude=alike) == margin.model_dump(exclude=alike)
    assert (far.target_log_loss, near.target_log_loss) == (-5.0, margin.target_log_loss)
    assert {str(point.attack) for point in points} == {str(points[0].attack)}
    with pytest.raises(InputError, match=r"base: .*own"):
        expand(config(preset="kkt-stationarity", base="mine"))


def test_overlap_takes_training_samples_of_the_same_base():
    points = expand(config(preset="ntk-overlap", base="own", repeats=2))
    assert [point.pretraining for point in points] == [1, 1, 2, 2]
    assert [point.finetune.get("selection") for point in points] == [None, "trained"] * 2
    assert points[0].pretrain == points[1].pretrain


def test_arms_that_fine_tune_share_a_base_where_they_pretrain_alike():
    points = expand(config(preset="ntk-init", base="own", repeats=2))
    assert count_runs(points) == (8, 8)
    assert [point.pretraining for point in points] == [1, 2, 1, 2, 3, 4, 3, 4]
    for point in points:
        pretrain, finetune = parse_config(point.pretrain), parse_config({**point.finetune, "base": "b"})
        assert (pretrain.seed, finetune.seed) == (point.varied["seed"],) * 2
        assert (pretrain.epochs == 1) == point.varied["arm"].startswith("tiny")
        assert parse_config({**point.attack, "finetune": "victim"}).method == "ntk"
    with pytest.raises(InputError, match=r"base: .*own"):
        expand(config(preset="ntk-init", base="mine"))
    with pytest.raises(InputError, match="steps: "):
        expand(config(preset="ntk-init", base="own", steps=[3]))
