"""What an update gives away, on the pages of attacks and fine-tunings."""

import pytest
import torch

from core.io.files import write_atomic, write_json, write_tensors
from core.io.images import grid_png
from tests.helpers import synthetic
from tests.helpers.seen import plots, text


def titles(app):
    return [item.value.strip("*") for item in app.markdown if item.value.startswith("**") and item.value.endswith("**")]


def charts(app):
    return len(plots(app))


@pytest.mark.parametrize("found_by", ["ntk", "algebraic"])
def test_an_attack_draws_what_its_method_gives(show, runs_root, found_by):
    synthetic.finetune(runs_root, samples=3)
    app = show("attack", run=synthetic.attack(runs_root, samples=3, found_by=found_by).id)
    seen = text(app)
    for title in ("Spectrum of the update", "Coefficient of each sample", "Separated patterns",
                  "Where reconstruction and truth differ"):
        assert title in titles(app)
    assert ("reads no activation patterns" in seen) == (found_by == "ntk")
    assert ("128 for 784 pixels" in seen) == (found_by == "algebraic")
    assert "3 of 3 targets" in seen  # labels
    assert charts(app) == (11 if found_by == "ntk" else 12)


def test_without_truth_nothing_is_compared_with_it(show, runs_root):
    run = synthetic.attack(runs_root, finetune="", scored=False, checkpoint="/a.pth", adapter="/b",
                           found_by="algebraic")
    app = show("attack", run=run.id)
    assert "Separated patterns" in titles(app)
    assert "Where reconstruction and truth differ" not in titles(app)


def test_an_attack_that_could_not_separate_says_so(show, runs_root):
    synthetic.finetune(runs_root, samples=2)
    run = synthetic.attack(runs_root, samples=2, found_by="algebraic")
    report = run.report().stored()
    nothing = {"ssim": [0.0] * 2, "psnr": [0.0] * 2, "ncc": [0.0] * 2, "mean_ssim": 0.0, "assignment": [None] * 2,
               "gate_mismatch": {"layers.0": [None] * 2}}
    write_json(run.file("report.json"), {**report, "samples": 0, "labels": [], "coefficients": [], "confidence": [],
                                         "status": "not_separable", "score": {**report["score"], **nothing}})
    write_tensors(run.file("result.safetensors"), {"x": torch.zeros(1, 0, 1, 28, 28)})
    write_atomic(run.file("reconstruction.png"), grid_png(torch.zeros(0, 1, 28, 28)))
    write_tensors(run.file("truth_patterns.safetensors"), {
        "truth.layers.0": torch.ones(2, 9, dtype=torch.uint8), "found.layers.0": torch.full((2, 9), 255).byte()})
    seen = text(show("attack", run=run.id))
    assert "No samples could be separated" in seen
    assert "No reconstruction was matched to any target" in seen
    assert "0 of 2 targets" in seen
    assert seen.count("not found") == 2
    show("overview")


def test_an_attack_that_is_still_running_shows_no_anatomy(show, runs_root):
    app = show("attack", run=synthetic.attack(runs_root, state="running").id)
    assert "Spectrum of the update" not in titles(app)


def test_older_runs_say_what_they_lack(show, runs_root):
    run = synthetic.attack(runs_root)
    run.file("truth_patterns.safetensors").unlink()
    assert "scored before patterns were compared" in text(show("attack", run=run.id))
    victim = synthetic.finetune(runs_root)
    victim.file("result.safetensors").unlink()
    assert "before flipped neurons were stored" in text(show("finetune", run=victim.id))


def test_a_finetuning_draws_spectrum_and_flipped_neurons(show, runs_root):
    app = show("finetune", run=synthetic.finetune(runs_root).id)
    assert {"Spectrum of the update", "Which neurons flipped"} <= set(titles(app))
    calm = show("finetune", run=synthetic.finetune(runs_root, "finetune-calm", steps=1).id)
    assert "No neuron switched for any sample" in text(calm)
    assert charts(calm) == charts(app) - 1


def test_the_title_names_the_method_that_auto_took(show, runs_root):
    app = show("attack", run=synthetic.attack(runs_root, found_by="algebraic").id)
    assert "Algebraic, informed" in [heading.value for heading in app.subheader]
    moving = show("attack", run=synthetic.attack(runs_root, "attack-moving", state="running").id)
    assert "Auto, informed" in [heading.value for heading in moving.subheader]


@pytest.mark.parametrize("switched", [0, 1])
def test_neurons_that_switch_are_drawn_while_it_runs(show, runs_root, switched):
    attack, finetune = (kind(runs_root, state="running") for kind in (synthetic.attack, synthetic.finetune))
    for page, run, title, calm in (("attack", attack, "Which neurons still switch", "None between the last two"),
                                   ("finetune", finetune, "Which neurons flipped", "None so far")):
        before = charts(show(page, run=run.id))
        pairs = torch.zeros(2, 30, dtype=torch.uint8)
        pairs[1, 3] = switched
        write_tensors(run.file("gates.safetensors"), {"step": torch.tensor(5), "switched.layers.0": pairs})
        app = show(page, run=run.id)
        assert charts(app) == before + switched
        assert title in titles(app)
        assert (calm in text(app)) == (not switched)
