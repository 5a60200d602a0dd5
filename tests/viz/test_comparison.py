"""Tables of several runs."""

from core.runs.config import AttackConfig, FinetuneConfig
from core.viz.compare import changed_knobs, config_difference, scored_images


def test_difference_shows_only_what_differs_and_no_names():
    configs = [AttackConfig(finetune="a", restarts=8, name="first"), AttackConfig(finetune="a", restarts=16, name="x")]
    assert config_difference(configs) == {"restarts": [8, 16]}
    assert config_difference(configs[:1]) == {}


def test_changed_knobs_include_required_ones():
    assert changed_knobs(FinetuneConfig(base="b", rank=8)) == {"base": "b", "rank": 8}


def test_scores_are_one_row_a_target():
    score = {"ssim": [0.9, 0.8], "psnr": [20.0, 19.0], "ncc": [1.0, None], "targets": 2}
    assert scored_images({"score": score}) == [{"ssim": 0.9, "psnr": 20.0, "ncc": 1.0},
                                               {"ssim": 0.8, "psnr": 19.0, "ncc": None}]
    assert scored_images({"score": None}) == scored_images(None) == []
