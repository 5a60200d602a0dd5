"""Each reason on reports in which it is the only thing wrong, and the sentences and numbers that people get."""

import pytest

from core.assessment.failure_reasons import CLEAR, FAILED, SUSPECT, UNKNOWN, headline, missed, reasons, sample_rows
from core.reconstruction.solvers.protocol import Status
from core.runs.kinds import AttackConfig
from core.runs.reports.attack import AttackReport
from core.runs.reports.training import FinetuneReport, PretrainReport

CONFIG = AttackConfig(finetune="f", min_lambda=0.1)
VICTIM = {"samples": 2, "labels": [1, 0], "rank": 1000, "layers": ["layers.0", "layers.1"], "optimizer": "sgd",
          "steps": 20, "adapter_dtype": "float32", "visibility": [1.0, 0.5], "verdicts": ["visible", "visible"],
          "rounding_floor": 1e-5, "flips": {"layers.0": 0.003}, "feature_cosine": [0.9995, 0.9999]}
SCORE = {"ssim": [0.2, 0.9], "targets": 2, "assignment": [0, 1], "recovered": 1,
         "gate_mismatch": {"layers.0": [0.01, 0.02], "layers.1": [0.03, 0.0]}}
REPORT = {"method": "ntk", "status": "iterations", "status_message": "", "samples": 2, "samples_found_by": "N = 2.",
          "coefficients": [1e-3, -8e-4], "restarts": 8, "restarts_near_best": 5, "residuals": {"residual": 0.001},
          "limits": [], "score": SCORE}
BASE = {"samples": 20, "support_samples": 20, "layer_residuals": {"layers.0": 0.04}}
KKT = {**REPORT, "method": "kkt", "candidates": 2, "coefficients": [0.6, -0.5],
       "residuals": {"residual": 0.01, "residual.layers.0": 0.02}}


def verdicts(report=REPORT, *, victim=VICTIM, base=None, config=CONFIG) -> dict[str, str]:
    found = reasons(config, AttackReport(**report), victim=FinetuneReport(**victim) if victim else None,
                    base=PretrainReport(**base) if base else None)
    return {reason.name: reason.verdict for reason in found}


def test_where_nothing_is_wrong_every_reason_is_ruled_out():
    assert set(verdicts().values()) == {CLEAR}
    assert set(verdicts(KKT, victim=None, base=BASE).values()) == {CLEAR}


@pytest.mark.parametrize(("name", "expected", "victim", "report"), [
    ("Invisible samples", FAILED, {"verdicts": ["visible", "hidden"], "visibility": [1, 1e-9]}, {}),
    ("Invisible samples", SUSPECT, {"verdicts": ["visible", "weak"], "visibility": [1, 0.01]}, {}),
    ("Neuron flips", FAILED, {"feature_cosine": [0.97, 0.999]}, {}),
    ("Neuron flips", SUSPECT, {"feature_cosine": [0.995, 0.9999]}, {}),
    ("Neuron flips", CLEAR, {"feature_cosine": [0.97, 0.999], "steps": 1}, {}),  # one step sees the base alone
    ("Neuron flips", SUSPECT, {}, {"score": {**SCORE, "gate_mismatch": {"layers.0": [0.3, 0.0]}}}),
    ("Rank", FAILED, {"rank": 1}, {}),
    ("Rank", FAILED, {"rank": 8}, {"equations": 16, "unknowns": 784}),
    ("Rank", FAILED, {"rank": 8}, {"limits": ["Rank 8: each sample is known by 16 linear measurements."]}),
    ("Rank", CLEAR, {"rank": 400}, {"equations": 800, "unknowns": 784}),
    ("Optimizer", FAILED, {"optimizer": "adamw"}, {}),
    ("Coefficients", SUSPECT, {}, {"coefficients": [1e-3, 1e-6]}),
    ("Number of samples", FAILED, {}, {"samples": 1, "score": {**SCORE, "assignment": [0, None]}}),
    ("Number of samples", SUSPECT, {}, {"samples": 3}),
    ("Search and restarts", FAILED, {}, {"residuals": {"residual": 0.4}}),
    ("Search and restarts", SUSPECT, {}, {"restarts_near_best": 1}),
    ("Search and restarts", SUSPECT, {}, {"copies": 1}),
    ("Precision", SUSPECT, {"adapter_dtype": "bfloat16"}, {}),
    ("How it ended", FAILED, {}, {"status": "diverged"}),
    ("How it ended", SUSPECT, {}, {"status": "stopped"}),
])
def test_one_thing_wrong_is_named_and_nothing_else(name, expected, victim, report):
    found = verdicts({**REPORT, **report}, victim=VICTIM | victim)
    assert found.pop(name) == expected
    assert set(found.values()) == {CLEAR}


def test_only_an_ending_that_falls_short_is_a_reason():
    named = {status.name for status in Status if "How it ended" in verdicts({**REPORT, "status": status.name.lower()})}
    assert {status.name for status in Status} - named == {"CONVERGED", "ITERATIONS", "SOLVED"}


@pytest.mark.parametrize(("name", "expected", "base", "report"), [
    ("Invisible samples", FAILED, {"support_samples": 12}, {}),
    ("Stationarity", FAILED, {"layer_residuals": {"layers.0": 0.9}}, {}),
    ("Stationarity", SUSPECT, {"layer_residuals": {"layers.0": 0.2}}, {}),
    ("Multipliers at their floor", FAILED, {}, {"coefficients": [0.05, -0.05]}),
    ("Multipliers at their floor", SUSPECT, {}, {"coefficients": [0.6, -0.05]}),
])
def test_of_an_attack_on_whole_weights(name, expected, base, report):
    found = verdicts({**KKT, **report}, victim=None, base=BASE | base)
    assert found.pop(name) == expected
    assert set(found.values()) == {CLEAR}


def test_of_strangers_files_it_says_that_the_truth_is_not_known():
    found = verdicts({key: value for key, value in REPORT.items() if key != "score"}, victim=None)
    assert {name for name, verdict in found.items() if verdict == UNKNOWN} == {
        "Invisible samples", "Neuron flips", "Rank", "Number of samples"}
    assert "own signs" in headline(AttackReport(method="ntk"))


def test_the_worst_comes_first_with_the_samples_and_the_number():
    first = reasons(CONFIG, AttackReport(**REPORT), victim=FinetuneReport(**VICTIM | {
        "verdicts": ["hidden", "visible"], "visibility": [1e-9, 1.0]}))[0]
    assert (first.verdict, first.samples) == (FAILED, (0,))
    assert first.text.startswith("Sample 1 is below the rounding")
    assert first.evidence == "weakest 1e-9 of the largest, floor 1e-5"


def test_what_did_not_hinder_is_not_blamed():
    """Everything came back: a low rank may stand in the way of others, it did not here."""
    report = {**REPORT, "score": {**SCORE, "ssim": [0.8, 0.9]}, "limits": ["Rank 8: few."]}
    assert verdicts(report, victim=VICTIM | {"rank": 8})["Rank"] == SUSPECT
    assert missed(AttackReport(**report)) == []
    assert headline(AttackReport(**report)) == "2 of 2 targets came back above SSIM 0.4."


def test_every_target_has_a_row_with_what_is_known_of_it():
    rows = sample_rows(AttackReport(**{**REPORT, "score": {**SCORE, "assignment": [None, 0]}}),
                       FinetuneReport(**VICTIM))
    assert rows[0]["found"] == "no candidate left for it"
    assert "found" not in rows[1]
    assert [row["wrong gates"] for row in rows] == [0.02, 0.01]
    assert [row["coefficient / largest"] for row in rows] == [1.0, 0.5]
    assert sample_rows(AttackReport(**KKT), None)[0] == {"target": 1, "SSIM": 0.2, "wrong gates": 0.02}


def test_points_of_the_plane_are_judged_by_distance():
    report = {**KKT, "score": {"distance": [0.01, 0.3, None], "recovered_below": 0.05, "recovered": 1, "targets": 3,
                               "assignment": [0, 1, None]}}
    assert missed(AttackReport(**report)) == [1, 2]
    assert headline(AttackReport(**report)) == "1 of 3 targets came back within distance 0.05."
    assert sample_rows(AttackReport(**report), None) == []
