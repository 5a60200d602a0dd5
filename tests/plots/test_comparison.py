"""Tables of several runs."""

import io

import numpy as np
import torch
from PIL import Image

from core.config.finetune import FinetuneConfig
from core.io.images import difference, grid_png, thumbnail
from core.plots.compare import changed_knobs, config_difference, result_row, scored_images
from core.plots.panels import compared_panels
from core.runs.kinds import AttackConfig
from core.runs.reports.attack import AttackReport
from tests.helpers import synthetic


def test_difference_shows_only_what_differs_and_no_names():
    configs = [AttackConfig(finetune="a", restarts=8, name="first"), AttackConfig(finetune="a", restarts=16, name="x")]
    assert config_difference(configs) == {"restarts": [8, 16]}
    assert config_difference(configs[:1]) == {}


def test_changed_knobs_include_required_ones():
    assert changed_knobs(FinetuneConfig(base="b", rank=8)) == {"base": "b", "rank": 8}


def test_scores_are_one_row_a_target():
    score = {"ssim": [0.9, 0.8], "psnr": [20.0, 19.0], "ncc": [1.0, None], "targets": 2}
    assert scored_images(AttackReport(score=score)) == [{"ssim": 0.9, "psnr": 20.0, "ncc": 1.0},
                                                        {"ssim": 0.8, "psnr": 19.0, "ncc": None}]
    assert scored_images(AttackReport(score=None)) == scored_images(None) == []


def grey(*rows: list[int]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.array(rows, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(png: bytes) -> list[list[int]]:
    return np.asarray(Image.open(io.BytesIO(png)))[..., 0].tolist()


def test_a_difference_is_black_where_pictures_agree():
    assert pixels(difference(grey([0, 10, 250, 9]), grey([0, 250, 10, 9]))) == [[0, 240, 240, 0]]


def test_a_thumbnail_shows_each_target_beside_what_was_found_of_it():
    truth, found = (grid_png(torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 1, 2, 2) / 255)
                    for levels in ([10.0, 20.0, 30.0, 40.0], [29.0, 9.0]))
    shown = pixels(thumbnail(truth, found, [1, None, 0, 1], most=3))
    assert shown[0] == shown[1]
    assert shown[0] == [10, 10, 9, 9, 128, 128, 128, 20, 20, 0, 0, 128, 128, 128, 30, 30, 29, 29]


def test_curves_by_time_smoothed_and_on_either_scale():
    rows = [{"step": step, "seconds": 2.0 * step, "residual": value, "loss": 1.0}
            for step, value in enumerate([1.0, 0.0, 0.5])]
    plain = compared_panels("attack", {"a": rows})[0]
    assert (plain.series[0].x, plain.series[0].y) == ([0, 1, 2], [1.0, None, 0.5])  # log: a zero is a gap
    shown = compared_panels("attack", {"a": rows}, by="seconds", smoothing=0.5, log_y=False)[0]
    assert (shown.series[0].x, shown.series[0].y) == ([0.0, 2.0, 4.0], [1.0, 0.5, 0.5])
    assert (shown.x_title, shown.log_y) == ("computing time (s)", False)


def test_a_run_in_flight_shows_nothing_of_an_earlier_outcome(runs_root):
    synthetic.pretrain(runs_root.root)
    synthetic.finetune(runs_root.root)
    assert result_row(synthetic.attack(runs_root.root))["mean SSIM"] != "–"
    assert result_row(synthetic.attack(runs_root.root, "going", state="running"))["mean SSIM"] == "–"
