"""The whole way: private digits, an adapter saved by peft, an attack, its files and its score."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.config.finetune import FinetuneConfig
from core.io.errors import InputError
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.recorder import Recorder
from core.runs.store import RunStore
from core.tasks import attack, finetune
from tests.helpers.runs import execute

# Narrow networks pin the scale of an image only through their bias, so they take longer to reach SSIM 1 than the
# published width, which the benchmarks measure.
FAST = {"method": "ntk", "iterations": 1500, "lr_x": 0.05, "restarts": 6, "record_every": 50, "device": "cpu"}


@pytest.fixture(scope="module")
def store(base_store) -> RunStore:
    """A trained base and two victims of one full-rank step: N = 2 and N = 1."""
    for name, changes in {"victim": {}, "single": {"samples": 1}}.items():
        config = FinetuneConfig(base="base", rank=784, device="cpu", seed=3, **changes)
        execute(finetune, base_store.create(config, run_id=name), config)
    return base_store


def launch(store: RunStore, **changes) -> Run:
    config = AttackConfig(**{"finetune": "victim", **FAST, **changes})
    return execute(attack, store.create(config), config)


@pytest.mark.parametrize("threat", ["oracle", "informed", "released-only"])
def test_private_digits_come_back(store, threat):
    run = launch(store, threat=threat)
    report = run.report()
    assert report.samples == 2
    assert report.threat == threat
    assert report.score.targets == 2
    assert report.score.mean_ssim > 0.8
    assert sorted(report.labels) == [0, 1]
    assert len(report.confidence) == 2
    assert report.residuals["residual"] < 0.01
    x = load_file(run.file("reconstruction.safetensors"))["x"]
    assert x.shape == (2, 1, 28, 28)
    assert x.dtype == torch.float32
    assert x.min() >= 0
    assert x.max() <= 1
    everything = load_file(run.file("result.safetensors"))
    assert everything["x"].shape == (6, 2, 1, 28, 28)
    assert torch.equal(everything["x"][int(everything["best"])].clamp(0, 1), x)
    for layer in report.spectrum.values():
        assert layer.samples == 2
        assert layer.values[1] > 1e3 * layer.noise > layer.values[2] / 10
    gates = load_file(run.file("truth_patterns.safetensors"))
    for name, shares in report.score.gate_mismatch.items():
        differ = gates[f"truth.{name}"] != gates[f"found.{name}"]
        assert differ.double().mean(1).tolist() == pytest.approx(shares)
        assert max(shares) < 0.1
    private = [fact for fact in report.score.nearest if fact.set == "private samples"]
    assert sorted(fact.index for fact in private) == [0, 1]  # not the base's own digits
    assert max(fact.ssim for fact in private) >= max(report.score.ssim) - 1e-9
    for picture in ("reconstruction.png", "restarts.png", "truth.png", "nearest.png"):
        assert run.file(picture).stat().st_size > 100


def test_one_sample_with_released_files_only(store):
    report = launch(store, finetune="single", threat="released-only").report()
    assert report.samples == 1
    assert "numerical rank of layers.0" in report.samples_found_by
    assert report.score.mean_ssim > 0.95


def test_wrong_labels_explain_worse(store):
    """The sign of a coefficient is its label: what the released-only attack relies on."""
    adapter, checkpoint = store.get("victim").file("adapter"), store.get("base").file("result.safetensors")
    files = {"finetune": "", "adapter": str(adapter), "checkpoint": str(checkpoint)}
    right, wrong = (launch(store, **files, labels=labels, iterations=600).report().residuals["residual"]
                    for labels in ([1, 0], [0, 0]))
    assert wrong > 10 * right


def test_files_made_elsewhere_give_the_same_images_and_no_score(store):
    """The attack uses nothing of the run but its released files and what the threat names."""
    ours = launch(store, iterations=100)
    victim = store.get("victim")
    foreign = launch(store, finetune="", checkpoint=str(store.get("base").file("result.safetensors")),
                     adapter=str(victim.file("adapter")), labels=victim.report().labels, samples=2,
                     known_learning_rate=victim.config().learning_rate, known_steps=1, iterations=100)
    same = [load_file(run.file("reconstruction.safetensors"))["x"] for run in (ours, foreign)]
    assert torch.equal(*same)
    assert foreign.report().threat == "informed"
    assert foreign.report().score is None
    assert not foreign.file("truth.png").exists()


def test_the_truth_is_needed_for_the_score_alone(store, monkeypatch):
    """Other private images in the victim's secrets change the score and not one pixel of the reconstruction."""
    honest = launch(store, iterations=600)
    original = attack.load_victim

    def swapped(run, name):
        from dataclasses import replace
        victim = original(run, name)
        return replace(victim, x=1 - victim.x)

    monkeypatch.setattr(attack, "load_victim", swapped)
    fooled = launch(store, iterations=600)
    same = [load_file(run.file("reconstruction.safetensors"))["x"] for run in (honest, fooled)]
    assert torch.equal(*same)
    assert fooled.report().score.mean_ssim < 0.5 < honest.report().score.mean_ssim


def test_same_seed_same_bytes_other_seed_other_bytes(store):
    results = [launch(store, seed=seed, iterations=40).file("result.safetensors").read_bytes() for seed in (5, 5, 6)]
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_stopped_and_resumed_equals_uninterrupted(store):
    whole = launch(store, iterations=120)

    class StopsAt50(Recorder):
        def progress(self, step, total):
            super().progress(step, total)
            if step == 50:
                self.run.request_stop()

    config = whole.config()
    run = store.create(config)
    with StopsAt50(run) as recorder:
        attack.execute(run, config, recorder)
    assert run.status().state == "stopped"
    assert run.report().status == "stopped"
    assert any("Stopped on request" in sentence for sentence in run.report().limits)
    run.reset_for_resume()
    execute(attack, run, config)
    assert run.report().status == "iterations"
    assert run.file("result.safetensors").read_bytes() == whole.file("result.safetensors").read_bytes()
    strip = [[{k: v for k, v in row.items() if k != "seconds"} for row in item.metrics()[0]] for item in (run, whole)]
    assert [row["step"] for row in strip[0]] == [row["step"] for row in strip[1]]


def test_low_rank_says_what_limits_it(store):
    config = FinetuneConfig(base="base", rank=4, device="cpu", seed=3)
    execute(finetune, store.create(config, run_id="low"), config)
    report = launch(store, finetune="low", iterations=60).report()
    assert any(sentence.startswith("Rank 4") for sentence in report.limits)


@pytest.mark.parametrize(("changes", "field"), [
    ({"finetune": "nobody"}, "run"),
    ({"finetune": "base"}, "finetune"),
    ({"finetune": ""}, "checkpoint"),
    ({"finetune": "", "checkpoint": "BASE", "method": "ntk"}, "method"),
    ({"finetune": "", "checkpoint": "BASE", "adapter": "ADAPTER", "tuned": "BASE"}, "tuned"),
    ({"finetune": "", "checkpoint": "BASE", "tuned": "missing.pth"}, "tuned"),
    ({"finetune": "", "checkpoint": "BASE", "tuned": "BASE"}, "tuned"),
    ({"tuned": "BASE"}, "tuned"),
    ({"finetune": "", "checkpoint": "missing.safetensors", "adapter": "ADAPTER"}, "checkpoint"),
    ({"finetune": "", "checkpoint": "BASE", "adapter": "nowhere"}, "adapter"),
    ({"finetune": "", "checkpoint": "BASE", "adapter": "ADAPTER", "threat": "oracle"}, "threat"),
    ({"finetune": "", "checkpoint": "BASE", "adapter": "ADAPTER", "samples": 3, "labels": [1, 0]}, "labels"),
    ({"samples": 2}, "samples"),
])
def test_bad_input_names_the_field_and_fails_the_run(store, changes, field):
    places = {"BASE": str(store.get("base").file("result.safetensors")),
              "ADAPTER": str(store.get("victim").file("adapter"))}
    changes = {name: places.get(value, value) if isinstance(value, str) else value for name, value in changes.items()}
    config = AttackConfig(**{"finetune": "victim", **FAST, **changes})
    run = store.create(config)
    with pytest.raises(InputError, match=rf"^{field}: "):
        execute(attack, run, config)
    assert run.status().state == "failed"
    assert run.status().message.startswith(field)


def test_an_adapter_for_another_base_is_refused(store, tmp_path):
    """Same shapes, other weights: our side file tells them apart; a plain peft folder is told by its shapes."""
    other = load_file(store.get("base").file("result.safetensors"))
    other["layers.1.weight"] += 0.01
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="another base"):
        launch(store, finetune="", checkpoint=str(tmp_path / "other.safetensors"),
               adapter=str(store.get("victim").file("adapter")))
    narrow = {"layers.0.weight": torch.randn(64, 100), "layers.1.weight": torch.randn(64, 64),
              "layers.2.weight": torch.randn(1, 64)}
    save_file(narrow, tmp_path / "narrow.safetensors")
    plain = tmp_path / "plain"
    shutil.copytree(store.get("victim").file("adapter"), plain)
    (plain / "afterimage.json").unlink()
    with pytest.raises(InputError, match="another base"):
        launch(store, finetune="", checkpoint=str(tmp_path / "narrow.safetensors"), adapter=str(plain))


def test_metrics_rows_hold_what_the_page_draws(store):
    rows, _ = launch(store, iterations=100).metrics()
    assert [row["step"] for row in rows] == [0, 50, 100]
    assert set(rows[-1]) >= {"seconds", "loss", "residual", "residual.layers.0", "residual.layers.1", "box", "tv",
                             "sparsity", "relu_alpha", "coefficients", "restart_losses", "best_restart",
                             "flips.layers.0", "flips.layers.1"}
    assert json.dumps(rows, allow_nan=False)
