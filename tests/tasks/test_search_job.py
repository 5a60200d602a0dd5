"""A search over a tiny network: trials are attacks of their own, repeatable, stoppable, and resumed after a kill."""

import pytest

from core.config.finetune import FinetuneConfig
from core.config.pretrain import PretrainConfig
from core.runs.directory import Run
from core.runs.kinds import SearchConfig
from core.runs.reports.studies import Trial
from core.runs.store import RunStore
from core.tasks import attack, finetune, search
from core.tasks.execute import execute
from tests.helpers.runs import execute as run_here

TINY = {"device": "cpu", "restarts": 1, "iterations": 12, "samples": 4, "search": "pixels", "record_every": 2,
        "trials": 3}


def make(store: RunStore, name: str, **changes) -> Run:
    checkpoint = str(store.get("base").file("result.safetensors"))
    return store.create(SearchConfig(**{**TINY, "checkpoint": checkpoint, **changes}), run_id=f"search-{name}")


def launch(store: RunStore, name: str, **changes) -> Run:
    run = make(store, name, **changes)
    execute(run)
    return run


def told(run: Run) -> list[tuple]:
    return [(row["params"], row["residual"], row["mean_ssim"], row["state"], row["reported"])
            for row in run.metrics()[0]]


@pytest.fixture(scope="module")
def whole(base_store) -> Run:
    return launch(base_store, "whole")


def test_every_trial_is_an_attack_that_can_be_repeated(base_store, whole):
    assert whole.status().state == "done", whole.status().message
    rows, report = whole.metrics()[0], whole.report()
    assert [row["attack"] for row in rows] == [f"attack-whole-00{number}" for number in (1, 2, 3)]
    assert report.table == whole.table(Trial)
    for row in rows:
        trial = base_store.get(row["attack"])
        assert trial.status().state == "done"
        assert trial.status().summary["search"] == whole.id
        assert trial.report().residuals["residual"] == row["residual"]
        assert trial.report().score.mean_ssim == row["mean_ssim"]
        assert trial.file("reconstruction.png").is_file()
        assert {name: getattr(trial.config(), name) for name in row["params"]} == row["params"]
    again = base_store.create(base_store.get(rows[1]["attack"]).config())
    execute(again)
    assert again.report().residuals["residual"] == rows[1]["residual"]
    assert report.best.residual == min(row["residual"] for row in rows)
    assert report.first.params["lr_x"] == 0.05
    assert whole.status().summary["done"] == whole.status().step == 3


def test_a_repeat_gives_the_same_trials(base_store, whole):
    assert told(launch(base_store, "repeat")) == told(whole)


def test_a_stop_in_a_trial_and_resume_change_nothing(base_store, whole, monkeypatch):
    run = make(base_store, "stopped")
    real, seen = attack.execute, []

    def stops_in_the_second(child, config, recorder):
        seen.append(child.id)
        if len(seen) == 2:
            run.request_stop()
        real(child, config, recorder)

    monkeypatch.setattr(attack, "execute", stops_in_the_second)
    execute(run)
    assert run.status().state == base_store.get("attack-stopped-002").status().state == "stopped"
    assert run.report() is None
    assert len(run.metrics()[0]) == 1
    run.reset_for_resume()
    execute(run)
    assert run.status().state == "done"
    assert seen == ["attack-stopped-001", "attack-stopped-002", "attack-stopped-002", "attack-stopped-003"]
    assert told(run) == told(whole)


def test_a_kill_between_a_trial_and_its_row_costs_nothing(base_store, whole, monkeypatch):
    run = make(base_store, "killed")
    real = search._row

    def dies(*arguments):
        if arguments[3] == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(search, "_row", dies)
    execute(run)
    monkeypatch.setattr(search, "_row", real)
    run.reset_for_resume()
    execute(run)
    assert base_store.get("attack-killed-002").status().attempts == 1
    assert told(run) == told(whole)


def test_a_trial_that_falls_behind_is_pruned_at_once(base_store):
    run = launch(base_store, "pruned", trials=9, lr_x=0.05, knobs=["lr_x"])
    rows = run.metrics()[0]
    pruned = [row for row in rows if row["state"] == "pruned"]
    assert pruned, [row["residual"] for row in rows]
    for row in pruned:
        trial = base_store.get(row["attack"])
        assert 4 <= row["pruned_at"] <= 12
        assert trial.status().step == row["pruned_at"] == row["reported"][-1][0]
        assert trial.status().state == "stopped"
        assert "Pruned at step" in trial.status().message
        assert trial.file("reconstruction.png").is_file()
    assert run.report().pruned == len(pruned)
    assert run.report().best.attack not in [row["attack"] for row in pruned]
    assert told(launch(base_store, "pruned-again", trials=9, lr_x=0.05, knobs=["lr_x"])) == told(run)


def test_ntk_on_a_fine_tuning(base_store):
    config = FinetuneConfig(base="base", rank=784, device="cpu", seed=3)
    run_here(finetune, base_store.create(config, run_id="victim"), config)
    run = launch(base_store, "ntk", method="ntk", checkpoint="", finetune="victim", samples=None, trials=2,
                 knobs=["lr_x", "relu_alpha_end"])
    assert run.status().state == "done", run.status().message
    first, second = run.metrics()[0]
    assert first["params"] == {"lr_x": 0.05, "relu_alpha_end": 1e5 / 2}
    assert base_store.get(second["attack"]).report().method == "ntk"
    assert second["targets"] == 2


def test_an_oracle_says_so_and_prunes_nothing(base_store):
    run = launch(base_store, "oracle", objective="ssim", trials=3)
    rows = run.metrics()[0]
    assert {row["state"] for row in rows} == {"done"}
    assert all("oracle" in base_store.get(row["attack"]).config().name for row in rows)
    assert run.report().best.mean_ssim == max(row["mean_ssim"] for row in rows)
    assert run.report().oracle is run.status().summary["oracle"] is True
    assert "Oracle" in run.report().limits[0]


def test_a_trial_that_fails_is_a_row_and_the_rest_goes_on(base_store, monkeypatch):
    real = attack.execute

    def fails(child, config, recorder):
        if child.id.endswith("002"):
            raise RuntimeError("no luck")
        real(child, config, recorder)

    monkeypatch.setattr(attack, "execute", fails)
    run = launch(base_store, "failing")
    assert run.status().state == "done"
    assert [row["state"] for row in run.metrics()[0]] == ["done", "failed", "done"]
    assert "no luck" in run.metrics()[0][1]["reason"]


@pytest.mark.parametrize(("changes", "said"), [
    ({"checkpoint": "nowhere.pth"}, "checkpoint: "), ({"method": "ntk"}, "min_lambda belongs to kkt alone"),
    ({"objective": "ssim", "foreign": True}, "objective: ssim needs a truth"),
])
def test_bad_input_is_said_once(base_store, tmp_path, changes, said):
    if changes.pop("foreign", False):  # a file that names no training digits
        from core.artifacts.checkpoint import load_checkpoint, save_checkpoint
        base = load_checkpoint(base_store.get("base").file("result.safetensors"))
        save_checkpoint(tmp_path / "foreign.safetensors", base.network, {})
        changes["checkpoint"] = str(tmp_path / "foreign.safetensors")
    run = launch(base_store, f"bad{len(said)}", **changes)
    assert run.status().state == "failed"
    assert said in run.status().message
    assert len(run.metrics()[0]) == 0


def test_a_foreign_run_in_the_way_is_not_touched(base_store):
    base_store.create(PretrainConfig(), run_id="attack-way-001")
    run = launch(base_store, "way")
    assert "attack-way-001 exists already" in run.status().message
    assert base_store.get("attack-way-001").status().state == "pending"
