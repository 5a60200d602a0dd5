"""Reports as models of their kind: round trips of stored ones, of earlier versions, and of damaged ones."""

import json
import math
import subprocess
import sys

import pytest
from pydantic import ValidationError

from core.io.errors import InputError
from core.io.files import write_json
from core.runs.kinds import KINDS
from core.runs.reports.attack import AttackReport
from core.runs.reports.read import MODELS
from core.runs.reports.score import ImageScore, PointScore
from core.runs.reports.studies import ExperimentReport, SearchReport
from core.runs.reports.training import FinetuneReport, PretrainReport
from tests.helpers import synthetic

POINTS = {"distance": [0.01, 1.4], "mean_distance": 0.7, "targets": 2, "recovered": 1, "recovered_below": 0.05,
          "assignment": [0, None], "labels": [1, 0], "chance_mean_distance": None, "chance_recovered": None,
          "problem": "toy-2d", "of": "training points", "selected_by": "the attack's own residual"}


@pytest.fixture
def make(tmp_path):
    return {"pretrain": synthetic.pretrain, "finetune": synthetic.finetune, "attack": synthetic.attack,
            "experiment": synthetic.experiment, "search": synthetic.search}, tmp_path / "runs"


@pytest.mark.parametrize(("kind", "model"), [
    ("pretrain", PretrainReport), ("finetune", FinetuneReport), ("attack", AttackReport),
    ("experiment", ExperimentReport), ("search", SearchReport)])
def test_what_is_read_is_written_with_the_same_keys(make, kind, model):
    makers, root = make
    run = makers[kind](root)
    report = run.report()
    assert type(report) is model is MODELS[kind]
    assert report.stored() == json.loads(run.file("report.json").read_text())
    assert not report.model_extra  # the model knows every key


def test_every_kind_of_run_has_a_model():
    assert MODELS.keys() == KINDS.keys()


def test_a_report_asked_for_as_another_kind_is_none(make):
    makers, root = make
    run = makers["finetune"](root)
    assert run.report(AttackReport) is run.outcome(PretrainReport) is None
    assert run.report(FinetuneReport).samples == 2


def test_what_is_missing_has_a_default_and_what_is_unknown_is_kept(make):
    """Of an earlier version, and of a later one or a method of somebody else."""
    makers, root = make
    run = makers["attack"](root)
    write_json(run.file("report.json"), {"method": "mine", "score": {"ssim": [0.5], "sharpness": 3}, "entropy": [1]})
    report = run.report(AttackReport)
    assert (report.samples, report.labels, report.residual, report.restarts, report.limits) == (0, [], None, None, [])
    assert (report.score.targets, report.score.mean_ssim, report.score.nearest) == (0, None, [])
    assert report.score.by_target() == [{"ssim": 0.5, "psnr": None, "ncc": None}]
    assert report.stored() == {"method": "mine", "score": {"ssim": [0.5], "sharpness": 3}, "entropy": [1]}


def test_points_and_pictures_are_told_apart(make):
    makers, root = make
    run = makers["attack"](root)
    assert type(run.report().score) is ImageScore
    write_json(run.file("report.json"), {"score": POINTS})
    score = run.report().score
    assert type(score) is PointScore
    assert score.card == {"mean_distance": 0.7}
    assert score.words() == ["distance 0.01", "distance 1.40"]
    assert AttackReport(score=score).stored() == {"score": POINTS}


def test_what_is_not_finite_is_null_in_the_file_and_none_for_readers(make):
    makers, root = make
    run = makers["attack"](root)
    made = AttackReport(residuals={"residual": math.nan}, confidence=[0.5, math.inf],
                        score=ImageScore(ssim=[math.nan], mean_ssim=math.nan))
    write_json(run.file("report.json"), made.stored())
    assert run.report().residual is None
    assert run.report().confidence == [0.5, None]
    assert run.report().score.mean_ssim is None


@pytest.mark.parametrize(("content", "said"), [
    ("{half", "Invalid JSON"), ("[1]", "should be an object"), ('{"samples": "many"}', "samples: "),
    ('{"score": {"ssim": ["high"]}}', "score.*ssim.0: "), ("\xff", "cannot be read")])
def test_a_damaged_report_is_one_clear_sentence(make, content, said):
    makers, root = make
    run = makers["attack"](root)
    run.file("report.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=said) as error:
        run.report()
    assert str(error.value).startswith(f"run: {run.file('report.json')} cannot be read")
    assert str(error.value).endswith("restore the file or delete the run.")


def test_a_report_cannot_be_changed():
    with pytest.raises(ValidationError):
        AttackReport(samples=1).samples = 2


def test_reading_reports_costs_no_torch():
    code = "import sys; import core.runs.directory; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
