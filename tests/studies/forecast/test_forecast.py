"""Forecasts: counting, nearest stored results, what would change them."""

import json
import os

import pytest
import torch

from core.config.finetune import FinetuneConfig
from core.config.pretrain import PretrainConfig
from core.io.errors import InputError
from core.io.files import write_json, write_tensors
from core.runs.kinds import AttackConfig
from core.runs.reports.training import FinetuneReport
from core.runs.store import RunStore
from core.studies.forecast.counting import measurements, sufficient_rank
from core.studies.forecast.expected import expect
from core.studies.forecast.forecast import forecast
from core.studies.forecast.records import MEASURED, Record, from_runs, shipped
from core.studies.forecast.setting import Setting, base_widths, file_widths, finished, made_elsewhere, planned

BOTH = ("layers.0", "layers.1")


def setting(**changes):
    return Setting(**{"samples": 4, "rank": 8, "steps": 1, "optimizer": "sgd", "dtype": "float32", "layers": BOTH,
                      **changes})


def record(*ssim, **changes):
    return Record(**{"method": "algebraic", "samples": 4, "rank": 8, "steps": 1, "optimizer": "sgd",
                     "dtype": "float32", "threat": "released-only", "ssim": ssim, **changes})


def ask(where, records, method="algebraic", threat="released-only"):
    return expect(where, records, method=method, threat=threat)


# Counting

def test_each_trained_layer_measures_with_its_rank():
    counts = measurements(setting(widths=(784, 300, 200, 1)))
    assert counts.by_layer == {"layers.0": 8, "layers.1": 8}
    assert (counts.equations, counts.unknowns, counts.signs) == (16, 784, 500)
    assert counts.separable
    assert not counts.determined
    capped = measurements(setting(rank=1000, widths=(784, 300, 200, 1)))
    assert capped.by_layer == {"layers.0": 784, "layers.1": 300}  # no more than a layer has inputs
    assert capped.determined


def test_the_output_layer_tells_no_samples_apart():
    assert measurements(setting(layers=("layers.2",))).equations == 0
    assert measurements(setting(layers=("layers.0", "layers.2"))).by_layer == {"layers.0": 8}


def test_a_full_change_gives_whole_inputs():
    counts = measurements(setting(rank=None))
    assert counts.by_layer == {"layers.0": 784, "layers.1": 1000}
    assert counts.determined


def test_fewer_ranks_than_samples_are_not_separable():
    assert not measurements(setting(rank=3)).separable
    assert any("from 4 on" in line for line in forecast(setting(rank=3), []).advice)


def test_the_sufficient_rank_is_the_first_that_determines():
    assert sufficient_rank(setting()) == 392
    assert measurements(setting(rank=392)).determined
    assert not measurements(setting(rank=391)).determined
    assert sufficient_rank(setting(layers=("layers.1",))) is None


# Expected scores

def test_between_two_ranks_the_score_is_interpolated_in_log_rank():
    records = [record(0.6, 0.8), record(0.9, 1.0, rank=128)]
    found = ask(setting(rank=32), records)
    assert found.mean == pytest.approx(0.7 + 0.5 * 0.25)
    assert (found.low, found.high) == (pytest.approx(0.75), pytest.approx(0.9))
    assert found.rows == 4
    assert found.distance == 0
    assert "between ranks 8 and 128" in found.source
    at = ask(setting(), records)
    assert (at.mean, at.rows, at.place) == (pytest.approx(0.7), 2, "N = 4, T = 1, rank 8")


def test_the_nearest_n_and_t_count_and_far_ones_do_not():
    records = [record(0.5, samples=2), record(0.1, samples=8, steps=10)]
    assert ask(setting(samples=1), records).mean == 0.5
    assert ask(setting(samples=8, steps=20), records).mean == 0.1
    assert ask(setting(samples=64), records) is None
    assert ask(setting(rank=64), records) is None  # a factor of eight from rank 8, and of two from N = 2


@pytest.mark.parametrize("other", [{"method": "ntk"}, {"threat": "informed"}, {"optimizer": "adamw"}, {"rank": None},
                                   {"dtype": "bfloat16"}])
def test_other_kinds_are_never_near(other):
    assert ask(setting(), [record(0.9, **other)]) is None


def test_the_same_precision_goes_before_the_other():
    records = [record(0.9, dtype="float64"), record(0.5)]
    assert ask(setting(), records).mean == 0.5
    assert ask(setting(dtype="float64"), records).mean == 0.9
    assert "float64" in ask(setting(), records[:1]).place


def test_the_learning_rate_counts_after_more_than_one_step():
    records = [record(0.9, steps=10, learning_rate=3e-4), record(0.3, steps=10, learning_rate=1e-2),
               record(0.8, learning_rate=1.0)]
    assert ask(setting(steps=10, learning_rate=2e-4), records).mean == 0.9
    assert ask(setting(steps=10, learning_rate=1e-2), records).mean == 0.3
    assert ask(setting(learning_rate=1e-5), records).mean == 0.8
    assert "learning rate 0.0003" in ask(setting(steps=10, learning_rate=2e-4), records).place


def test_full_ranks_are_all_alike():
    assert ask(setting(rank=1000), [record(1.0, rank=784)]).distance == 0


def test_hidden_samples_count_as_zero():
    where = setting(samples=4, verdicts=("visible", "visible", "hidden", "hidden"))
    found = ask(where, [record(0.8, samples=2), record(0.1)])
    assert found.mean == pytest.approx(0.4)
    assert "hidden samples counted as 0" in found.place
    assert ask(setting(samples=1, verdicts=("hidden",)), [record(0.8)]) is None


# Stored results

def test_the_shipped_table_is_readable():
    assert MEASURED.is_file()
    assert all(row.ssim and -1 <= min(row.ssim) <= max(row.ssim) <= 1 for row in shipped())


def test_rows_of_the_table(tmp_path):
    path = tmp_path / "measured.json"
    row = {"method": "algebraic", "samples": 4, "rank": 1000, "steps": 1, "optimizer": "sgd", "dtype": "float32",
           "threat": "released-only", "ssim": [0.7, 0.8], "psnr": [20, 21], "seconds": [9, 9]}
    path.write_text(json.dumps([row, {**row, "ssim": []}]))
    assert shipped(path) == [record(0.7, 0.8, rank=784)]
    assert shipped(tmp_path / "none.json") == []
    path.write_text(json.dumps([{"method": "algebraic"}]))
    os.utime(path, (1, 1))
    with pytest.raises(InputError, match=r"^measured: .*write it again"):
        shipped(path)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def finish(run, report):
    write_json(run.file("report.json"), report)
    run.write_status(run.status().__class__(state="done"))


def victim(store, **changes):
    run = store.create(FinetuneConfig(base="b"), run_id=changes.pop("run_id", "victim"))
    finish(run, {"samples": 4, "steps": 1, "rank": 8, "optimizer": "sgd", "adapter_dtype": "float32",
                 "adaptation": "lora", "verdicts": ["visible"] * 4, **changes})


def attack(store, run_id, *, ssim=0.7, status="solved", scored=True, **config):
    run = store.create(AttackConfig(**{"finetune": "victim", **config}), run_id=run_id)
    finish(run, {"method": "algebraic", "threat": "released-only", "status": status,
                 "score": {"mean_ssim": ssim} if scored else None})
    return run


def test_finished_attacks_of_the_store_are_results(store):
    victim(store)
    attack(store, "a", ssim=0.7)
    attack(store, "refused", ssim=0.0, status="not_separable")
    attack(store, "halted", status="stopped")
    attack(store, "unscored", scored=False)
    attack(store, "orphan", finetune="gone")
    unfinished = attack(store, "again")
    unfinished.write_status(unfinished.status().__class__(state="running"))
    found = from_runs(store.root)
    assert sorted(item.ssim for item in found) == [(0.0,), (0.7,)]
    assert all(item == record(*item.ssim, run=True) for item in found)
    expected = ask(setting(), found)
    assert (expected.mean, expected.runs, expected.rows) == (pytest.approx(0.35), 2, 0)
    assert "2 attacks of this laboratory" in expected.source


def test_a_changed_report_is_read_again_and_a_damaged_one_is_left_out(store):
    victim(store)
    run = attack(store, "a", ssim=0.7)
    assert [item.ssim for item in from_runs(store.root)] == [(0.7,)]
    report = run.report().stored()
    write_json(run.file("report.json"), {**report, "score": {"mean_ssim": 0.9}})
    assert [item.ssim for item in from_runs(store.root)] == [(0.9,)]
    run.file("report.json").write_text("{half")
    assert from_runs(store.root) == []
    assert from_runs(store.root / "nowhere") == []


def test_attacks_on_hidden_samples_are_no_measure(store):
    victim(store, verdicts=["visible", "hidden"])
    attack(store, "a")
    assert from_runs(store.root) == []


# Settings

def test_settings_of_plans_runs_and_files(store, tmp_path):
    config = FinetuneConfig(base="b", samples=3, rank=16, adapter_dtype="float64")
    assert planned(config, None).dtype == "float32"  # computed in float32
    assert planned(config.model_copy(update={"precision": "float64"}), None).dtype == "float64"
    assert planned(FinetuneConfig(base="b", adaptation="full"), None).rank is None
    assert planned(FinetuneConfig(base="b", indices=[7, 8, 9]), None).samples == 3
    report = FinetuneReport(samples=3, visibility=[1.0, 1e-9], verdicts=["visible", "hidden"])
    ended = finished(config, report, (784, 5, 1))
    assert ended.verdicts == ("visible", "hidden")
    assert ended.widths == (784, 5, 1)
    store.create(PretrainConfig(hidden=300), run_id="base")
    assert base_widths(store.root, "base") == (784, 300, 300, 1)
    path = tmp_path / "base.safetensors"
    write_tensors(path, {"layers.0.weight": torch.zeros(30, 784), "layers.1.weight": torch.zeros(1, 30)})
    assert base_widths(store.root, str(path)) == file_widths(path) == (784, 30, 1)
    assert base_widths(store.root, "nothing") is None
    folder = tmp_path / "adapter"
    folder.mkdir()
    assert made_elsewhere(str(path), str(folder), "") is None
    write_json(folder / "adapter_config.json", {"r": 8})
    write_tensors(folder / "adapter_model.safetensors", {
        f"base_model.model.layers.{index}.lora_{side}.weight": torch.zeros(2, 2, dtype=torch.bfloat16)
        for index in (0, 1) for side in "AB"})
    foreign = made_elsewhere(str(path), str(folder), "")
    assert (foreign.samples, foreign.rank, foreign.dtype, foreign.layers) == (None, 8, "bfloat16", BOTH)


# The forecast

def test_who_is_visible_is_said_for_plans_and_runs():
    assert "All 4 samples are drawn within 30x" in forecast(setting(), []).visibility
    assert "may still be hidden" in forecast(setting(dtype="bfloat16"), []).visibility
    assert "shows after the fine-tuning" in forecast(setting(selection="random"), []).visibility
    ended = forecast(setting(samples=3, verdicts=("visible", "weak", "hidden"), visibility=(1.0, 1e-3, 1e-7)), [])
    assert ended.visible == 2
    assert ended.visibility == ("2 of 3 samples stand above the rounding floor, 1 of them more than 30x below the "
                                "largest.")
    assert any("float64, 1 of the 1 hidden would be visible" in line for line in ended.advice)


def test_without_results_there_is_no_number():
    found = forecast(setting(), [])
    assert found.headline is None
    assert found.expected == found.levers == []
    assert found.by_samples == {}
    assert "16" in found.counting
    assert "784 pixels" in found.counting


def test_the_best_attack_leads_and_its_levers_are_measured():
    records = [record(0.7), record(0.9, rank=64), record(0.4, rank=1), record(0.8, samples=1), record(0.69, samples=8),
               record(0.5, steps=10), record(0.3, optimizer="adamw"), record(0.5, method="ntk", threat="informed")]
    found = forecast(setting(), records)
    assert [(item.method, item.mean) for item in found.expected] == [("algebraic", 0.7), ("ntk", 0.5)]
    levers = {lever.text: round(lever.change, 3) for lever in found.levers}
    assert levers == {"rank 64 instead of 8": 0.2, "N = 1 instead of 4": 0.1, "T = 10 instead of 1": -0.2,
                      "rank 1 instead of 8": -0.3, "adamw instead of sgd": -0.4}
    assert list(levers.values()) == sorted(levers.values(), reverse=True)
    drawn = forecast(setting(verdicts=("visible",) * 4), records)
    assert not any(lever.text.startswith("N =") for lever in drawn.levers)


def test_unknown_n_is_forecast_for_each_possible_one():
    records = [record(0.7), record(0.9, samples=1)]
    found = forecast(setting(samples=None, steps=None), records)
    assert found.expected == []
    assert {N: item.mean for N, item in found.by_samples.items()} == {1: 0.9, 2: 0.9, 4: 0.7, 8: 0.7}
    assert "not known before the attack" in found.visibility


def test_advice_follows_the_setting():
    text = " ".join(forecast(setting(steps=10, optimizer="adamw", dtype="bfloat16", layers=("layers.1",)), []).advice)
    for part in ("first layer", "Fewer steps", "SGD instead", "float32", "Fewer samples"):
        assert part in text
    assert any("below 392" in line for line in forecast(setting(rank=500), []).advice)
    assert not any("rank" in line for line in forecast(setting(rank=None), []).advice)
