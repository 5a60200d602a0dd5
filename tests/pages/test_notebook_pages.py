"""Lessons and Evidence: what is written down, and what the experiments say."""

import re
from html import escape

from core.lessons.log import LessonLog
from core.studies.claims import CLAIMS
from tests.helpers import synthetic
from tests.helpers.seen import plots, text


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
    # features and steps, from one experiment, and the surrogate; then the reliability of confidence
    *_, confidence = drawn = plots(app)
    assert len(drawn) == 4
    assert [trace["name"] for trace in confidence["data"]] == ["as claimed", "mean guess", "attacks"]
    assert "How far confidence can be trusted" in text(app)
    assert "Brier score" in text(app)
