"""Full fine-tuning, end to end: what is released, how it is attacked, and what is refused."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.artifacts.checkpoint import load_checkpoint
from core.config.finetune import FinetuneConfig
from core.io.errors import InputError
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.recorder import Recorder
from core.runs.store import RunStore
from core.tasks import attack, finetune
from tests.helpers.runs import execute

FULL = {"base": "base", "adaptation": "full", "device": "cpu", "seed": 3}
FAST = {"method": "ntk", "iterations": 800, "restarts": 6, "record_every": 100, "device": "cpu"}


@pytest.fixture(scope="module")
def store(base_store) -> RunStore:
    tune(base_store, "victim")
    return base_store


def tune(store: RunStore, run_id: str | None = None, **changes) -> Run:
    config = FinetuneConfig(**{**FULL, **changes})
    return execute(finetune, store.create(config, run_id=run_id), config)


def launch(store: RunStore, **changes) -> Run:
    config = AttackConfig(**{"finetune": "victim", **FAST, **changes})
    return execute(attack, store.create(config), config)


def test_the_network_is_released_and_nothing_private_in_it(store):
    run = store.get("victim")
    assert not run.file("adapter").exists()
    tuned, base = (load_checkpoint(path) for path in (run.file("tuned.safetensors"),
                                                      store.get("base").file("result.safetensors")))
    assert tuned.facts == {"base_fingerprint": base.fingerprint}
    changed = {name for name, tensor in tuned.network.state_dict().items()
               if not torch.equal(tensor, base.network.state_dict()[name])}
    assert changed == {"layers.0.weight", "layers.0.bias", "layers.1.weight"}
    report = run.report()
    assert report.adaptation == "full"
    assert "rank" not in report
    assert set(report.flips) == set(report.kink_distance) == {"layers.0", "layers.1"}
    assert report.feature_cosine_min == min(report.feature_cosine)
    assert report.weight_change > 0
    assert len(report.coefficient_drift) == 2
    assert run.status().summary["adaptation"] == "full"


@pytest.mark.parametrize("threat", ["oracle", "informed", "released-only"])
def test_private_digits_come_back(store, threat):
    report = launch(store, threat=threat).report()
    assert report.samples == 2
    assert report.threat == threat
    assert "all fine-tuned weights" in report.method_reason
    assert sorted(report.labels) == [0, 1]
    assert report.score.mean_ssim > 0.8


def test_output_layer_and_both_ends(store):
    tune(store, "whole", layers=["layers.0", "layers.1", "layers.2"], steps=3, learning_rate=1e-4)
    report = launch(store, finetune="whole", features="both").report()
    assert set(report.residuals) == {"residual", "residual.layers.0", "residual.layers.1", "residual.layers.2"}
    assert report.score.mean_ssim > 0.8


def test_files_made_elsewhere_give_the_same_images_and_no_score(store, tmp_path):
    """A bare state_dict of the tuned network, as somebody else would save it."""
    ours = launch(store, iterations=60)
    victim = store.get("victim")
    state = load_file(victim.file("tuned.safetensors"))
    torch.save({"state_dict": state}, tmp_path / "tuned.pth")
    foreign = launch(store, finetune="", checkpoint=str(store.get("base").file("result.safetensors")),
                     tuned=str(tmp_path / "tuned.pth"), labels=victim.report().labels, known_steps=1,
                     known_learning_rate=victim.config().learning_rate, iterations=60)
    same = [load_file(run.file("reconstruction.safetensors"))["x"] for run in (ours, foreign)]
    assert torch.equal(*same)
    assert foreign.report().threat == "informed"
    assert foreign.report().score is None


def test_networks_that_are_refused(store, tmp_path):
    base, tuned = store.get("base").file("result.safetensors"), store.get("victim").file("tuned.safetensors")
    other = load_file(base)
    other["layers.1.weight"] += 0.01
    save_file(other, tmp_path / "other.safetensors")
    shutil.copy(tuned, tmp_path / "tuned.safetensors")
    cases = {(tmp_path / "other.safetensors", tmp_path / "tuned.safetensors"): "was trained on another base",
             (base, base): "weights are those of the base", (base, tmp_path / "none.pth"): "there is no file"}
    for (checkpoint, path), says in cases.items():
        with pytest.raises(InputError, match=rf"^tuned: .*{says}"):
            launch(store, finetune="", checkpoint=str(checkpoint), tuned=str(path))


def test_rounding_of_whole_weights_hides_more_and_is_said(store):
    """bfloat16 keeps adapters usable; a network stored in it loses a small step altogether."""
    fine = store.get("victim").report()
    coarse = tune(store, learning_rate=1e-2, adapter_dtype="bfloat16")
    assert coarse.report().rounding_floor > fine.rounding_floor
    limits = launch(store, finetune=str(coarse.path), iterations=20).report().limits
    assert any("rounding the weights" in sentence for sentence in limits)
    lost = tune(store, learning_rate=1e-6, adapter_dtype="bfloat16")
    assert set(lost.report().verdicts) == {"hidden"}
    with pytest.raises(InputError, match="weights are those of the base"):
        launch(store, finetune=str(lost.path))


def test_stopped_and_resumed_equals_uninterrupted(store):
    class StopsAfterThree(Recorder):
        def progress(self, step: int, total: int) -> None:
            super().progress(step, total)
            if step == 3:
                self.run.request_stop()

    whole = tune(store, steps=6, optimizer="adamw", learning_rate=1e-4)
    parted = store.create(whole.config())
    with StopsAfterThree(parted) as recorder:
        finetune.execute(parted, parted.config(), recorder)
    assert parted.status().state == "stopped"
    assert not parted.file("tuned.safetensors").exists()
    parted.reset_for_resume()
    execute(finetune, parted, parted.config())
    for name in ("tuned.safetensors", "result.safetensors"):
        assert whole.file(name).read_bytes() == parted.file(name).read_bytes()
