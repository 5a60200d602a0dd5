"""Rows and CSV of an experiment."""

import csv
import io

import pytest

from core.runs.reports.attack import AttackReport
from core.runs.reports.studies import ExperimentRow
from core.runs.reports.training import FinetuneReport, PretrainReport
from core.studies.experiments.table import COLUMNS, VARIED, point_row, to_csv

VARIED_ROW = {"adaptation": "lora", "rank": 8, "steps": 10, "samples": 2, "seed": 0, "learning_rate": 0.1,
              "coefficients": "free", "features": "base", "method": "ntk"}
VICTIM = FinetuneReport(
    loss_before=2.0, loss_after=1.0, flips={"layers.0": 0.1, "layers.1": 0.3}, weight_change=0.01,
    feature_cosine=[0.9, 1.0], coefficient_drift=[0.2, None], verdicts=["visible", "hidden"])
SCORE = {"mean_ssim": 0.5, "mean_psnr": 12.0, "targets": 2, "ssim": [0.4, 0.6]}
FOUND = AttackReport(score=SCORE, residuals={"residual": 0.03})


def test_a_row_has_the_score_and_the_reasons():
    row = point_row(VARIED_ROW, finetune="f", attack="a", victim=VICTIM, found=FOUND, finetune_seconds=1.0,
                    attack_seconds=2.0)
    assert row.state == "done"
    assert (row.mean_ssim, row.targets, row.residual) == (0.5, 2, 0.03)
    assert row.flips == pytest.approx(0.2)
    assert row.feature_cosine == pytest.approx(0.95)
    assert row.coefficient_drift == 0.2  # what is not known does not count
    assert row.visible == 1
    assert row.seconds == 3.0
    assert set(COLUMNS) <= set(row.stored())
    assert set(VARIED) == {*VARIED_ROW, "arm"}
    assert row.arm is None


def test_a_row_of_an_arm_has_counts_and_controls():
    score = {**SCORE, "recovered": 1, "finding": True,
             "controls": {"mean_image": 0.2, "wrong_release": 0.3, "wrong_release_recovered": 0.7}}
    row = point_row({"arm": "ReLU", "seed": 0, "method": "kkt"}, pretrain="p", attack="a",
                    found=AttackReport(score=score), base=PretrainReport(kkt_residual=0.05))
    assert row.base_residual == 0.05
    assert set(COLUMNS) <= set(row.stored())
    assert (row.arm, row.recovered, row.finding) == ("ReLU", 1, True)
    assert (row.mean_image_ssim, row.wrong_release_ssim, row.wrong_release_recovered) == (0.2, 0.3, 0.7)
    assert row.rank is None


def test_a_failed_row_keeps_what_there_is():
    row = point_row(VARIED_ROW, finetune="f", victim=VICTIM, reason="attack failed: no luck.")
    assert (row.state, row.mean_ssim, row.attack) == ("failed", None, "")
    assert row.loss_after == 1.0


def test_csv_reads_back():
    rows = [point_row(VARIED_ROW, victim=VICTIM, found=FOUND), point_row(VARIED_ROW, reason='no "luck", sorry')]
    read = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert [row["mean_ssim"] for row in read] == ["0.5", ""]
    assert read[1]["reason"] == 'no "luck", sorry'
    assert read[0]["rank"] == "8"
    assert to_csv([]).splitlines() == [",".join(COLUMNS)]


def test_rows_from_before_there_were_controls_open_under_todays_names():
    old = ExperimentRow.model_validate({"state": "done", "mean_ssim": 0.4, "chance_mean_ssim": 0.3,
                                        "chance_recovered": 2.0})
    assert old.stored() == {"state": "done", "mean_ssim": 0.4, "wrong_release_ssim": 0.3,
                            "wrong_release_recovered": 2.0}
    assert ",0.3,2.0," in to_csv([old])
