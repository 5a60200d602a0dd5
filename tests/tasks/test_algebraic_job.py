"""auto, from a victim's run to the files: what comes apart, and what does not and yet is written and scored."""

import pytest
import torch
from safetensors.torch import load_file

from core.config.finetune import FinetuneConfig
from core.io.images import tiles
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.recorder import Recorder
from core.runs.store import RunStore
from core.tasks import attack, finetune
from tests.helpers.runs import execute

VICTIMS = {"one-step": {"rank": 784}, "full": {"adaptation": "full"}, "adamw": {"rank": 8, "optimizer": "adamw"}}


@pytest.fixture(scope="module")
def store(base_store) -> RunStore:
    for name, changes in VICTIMS.items():
        config = FinetuneConfig(base="base", device="cpu", seed=3, **changes)
        execute(finetune, base_store.create(config, run_id=name), config)
    return base_store


def launch(store: RunStore, **changes) -> Run:
    config = AttackConfig(**{"device": "cpu", "threat": "released-only", **changes})
    return execute(attack, store.create(config), config)


@pytest.mark.parametrize("victim", ["one-step", "full"])
def test_auto_solves_one_step(store, victim):
    run = launch(store, finetune=victim)
    report = run.report()
    assert (report.method, report.status, report.samples) == ("algebraic", "solved", 2)
    assert "patterns of 2 samples" in report.method_reason
    assert report.score.mean_ssim > 0.999
    found, truth = ([report.labels[index] for index in report.score.assignment], report.score.labels)
    assert found == truth
    assert max(max(shares) for shares in report.score.pattern_mismatch.values()) < 0.05
    assert [row["step"] for row in run.metrics()[0]] == [1, 2]
    assert [step for step, _ in run.snapshots()] == [1, 2]
    assert len(tiles(run.file("reconstruction.png").read_bytes())) == 2


def test_no_images_are_written_scored_and_explained(store):
    run = launch(store, finetune="adamw", method="algebraic")
    report = run.report()
    assert (run.status().state, report.status, report.samples) == ("done", "not_separable", 0)
    assert load_file(run.file("reconstruction.safetensors"))["x"].shape == (0, 1, 28, 28)
    assert tiles(run.file("reconstruction.png").read_bytes()) == []
    assert report.score.targets == 2
    assert report.score.assignment == [None, None]
    assert report.score.mean_ssim == 0                       # a target without an image counts as 0
    assert (report.labels, report.confidence) == ([], [])
    assert len(report.limits) == 1
    foreign = launch(store, method="algebraic", threat="released-only",
                     checkpoint=str(store.get("base").file("result.safetensors")),
                     adapter=str(store.get("adamw").file("adapter")))
    assert foreign.report().score is None
    assert foreign.report().status == "not_separable"


def test_auto_falls_back_and_says_why(store):
    report = launch(store, finetune="adamw", threat="informed", iterations=20, restarts=2).report()
    assert report.method == "ntk"
    assert "does not come apart" in report.method_reason
    assert report.samples == 2


def test_a_stopped_attack_resumes_to_the_same_bytes(store):
    whole = launch(store, finetune="one-step")

    class StopsAtOnce(Recorder):
        def log(self, message):
            super().log(message)
            self.run.request_stop()

    config = whole.config()
    run = store.create(config)
    with StopsAtOnce(run) as recorder:
        attack.execute(run, config, recorder)
    assert run.status().state == "stopped"
    assert run.report().status == "stopped"
    run.reset_for_resume()
    execute(attack, run, config)
    first, second = (load_file(item.file("reconstruction.safetensors"))["x"] for item in (run, whole))
    assert torch.equal(first, second)
