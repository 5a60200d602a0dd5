"""Overview: the next step, runs in flight, cards by page, kind and words."""

from core.runs.notes import Notes, write_notes
from tests.helpers import synthetic
from tests.helpers.seen import text


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
    app.session_state["overview-page-2"] = 2
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
