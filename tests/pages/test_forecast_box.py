"""The forecast on the Fine-tune and Attack pages."""

import pytest
import torch

from core.io.files import write_json, write_tensors
from core.studies.forecast.records import Record
from tests.helpers import synthetic
from tests.helpers.seen import check, text


@pytest.fixture(autouse=True)
def no_table(monkeypatch):
    """The shipped table changes with each benchmark."""
    monkeypatch.setattr("pages.components.forecast.shipped", list)


def metric(app, label):
    return next(item.value for item in app.metric if item.label == label)


def field(app, label):
    widgets = [*app.text_input, *app.number_input, *app.selectbox, *app.radio]
    return next(widget for widget in widgets if widget.label == label)


def test_a_plan_is_counted_as_it_is_typed(show, runs_root):
    synthetic.pretrain(runs_root)
    app = show("finetune")
    assert metric(app, "Equations a sample") == "1,784 of 784"
    field(app, "Rank r").set_value("8").run()
    check(app)
    assert metric(app, "Equations a sample") == "16 of 784"
    assert metric(app, "Visible samples") == "2 of 2"
    assert metric(app, "Expected mean SSIM") == "–"
    assert "No stored result is near" in text(app)
    field(app, "Rank r").set_value("many").run()
    check(app)
    assert "'many' is not a whole number" in app.error[0].value
    assert not any(item.label == "Equations a sample" for item in app.metric)


def test_attacks_of_the_laboratory_make_the_expectation(show, runs_root):
    synthetic.pretrain(runs_root)
    victim = synthetic.finetune(runs_root, steps=1)
    write_json(victim.file("report.json"), {**victim.report().stored(), "verdicts": ["visible"] * 2})
    for number, score in enumerate((0.8, 0.9)):
        synthetic.attack(runs_root, f"attack-{number}", ssim=[score, score], found_by="ntk")
    app = show("finetune")
    assert metric(app, "Expected mean SSIM") == "0.85"
    assert metric(app, "Range") == "0.80 to 0.90"
    assert "NTK, informed: mean SSIM 0.85 (0.80 to 0.90), from 2 attacks of this laboratory" in text(app)
    finished = show("finetune", run=victim.id)
    assert metric(finished, "Expected mean SSIM") == "0.85"
    before = show("attack")
    assert metric(before, "Expected mean SSIM") == "0.85"
    field(before, "Threat").set_value("released-only").run()
    check(before)
    assert metric(before, "Expected mean SSIM") == "–"  # these attacks knew more
    field(before, "Threat").set_value("oracle").run()
    check(before)
    assert metric(before, "Expected mean SSIM") == "0.85"
    assert "knew less than yours will" in text(before)


def test_a_finished_run_knows_who_is_visible(show, runs_root):
    app = show("finetune", run=synthetic.finetune(runs_root, samples=4).id)
    assert metric(app, "Visible samples") == "3 of 4"
    assert "3 of 4 samples stand above the rounding floor, 2 of them more than 30x below" in text(app)


def test_an_adapter_made_elsewhere_is_counted_and_its_n_is_open(show, runs_root, tmp_path, monkeypatch):
    row = Record("algebraic", 1, 8, 1, "sgd", "float32", "released-only", (0.8, 0.9))
    monkeypatch.setattr("pages.components.forecast.shipped", lambda: [row])
    write_json(tmp_path / "adapter_config.json", {"r": 8})
    write_tensors(tmp_path / "adapter_model.safetensors",
                  {"base_model.model.layers.0.lora_B.weight": torch.zeros(9, 8)})
    app = show("attack")
    field(app, "Adapter folder").set_value(str(tmp_path)).run()
    check(app)
    assert metric(app, "Equations a sample") == "8 of 784"
    assert metric(app, "Visible samples") == "? of ?"
    assert "If N = 1 after one step: mean SSIM 0.85 (0.80 to 0.90), from 2 benchmark results" in text(app)


def test_files_that_are_not_there_have_no_forecast(show, runs_root):
    app = show("attack")
    field(app, "Adapter folder").set_value("/nowhere").run()
    check(app)
    assert not any(item.label == "Equations a sample" for item in app.metric)


def test_knobs_of_other_methods_are_left_out(show, runs_root):
    synthetic.finetune(runs_root)
    app = show("attack")
    names = {widget.label for widget in app.text_input}
    assert "Candidates (images)" in names
    field(app, "Method").set_value("algebraic").run()
    check(app)
    assert "Candidates (images)" not in {widget.label for widget in app.text_input}
