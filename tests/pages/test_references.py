"""Choosing what a run builds on: by its card, from a base, or files of one's own."""

from tests.helpers import synthetic
from tests.helpers.seen import check, text


def test_a_card_chooses_its_run(show, runs_root):
    for number in range(3):
        synthetic.pretrain(runs_root, f"pretrain-2026010{number + 1}-100000-aaaa", name=f"Base {number}")
    app = show("finetune")
    box = next(widget for widget in app.selectbox if widget.label == "Base network")
    other = next(run for run in box.options if "Base 1" in run)
    button = next(button for button in app.button if "20260102" in (button.key or "") and button.label == "Choose")
    button.click().run()
    check(app)
    box = next(widget for widget in app.selectbox if widget.label == "Base network")
    assert box.options[box.index] == other
    assert sum(button.label == "Chosen" for button in app.button) == 1


def test_a_base_leads_to_an_attack_on_its_own_training_set(show, runs_root):
    run = synthetic.pretrain(runs_root, optimizer="max-margin")
    app = show("pretrain", run=run.id)
    assert [button.label for button in app.button if "this base" in button.label] == [
        "Attack this base", "Fine-tune this base"]
    app = show("attack", base=run.id)
    fields = {widget.label: widget.value for widget in app.text_input}
    assert fields["Base checkpoint"] == str(run.file("result.safetensors").absolute())
    assert next(box for box in app.selectbox if box.label == "Method").value == "kkt"


def test_a_base_that_cannot_be_fine_tuned_offers_the_attack_alone(show, runs_root):
    run = synthetic.pretrain(runs_root, problem="mnist-digits", optimizer="max-margin")
    app = show("pretrain", run=run.id)
    assert [button.label for button in app.button if "this base" in button.label] == ["Attack this base"]


def test_a_file_that_cannot_be_read_says_so_at_its_field(show, runs_root):
    bad = runs_root.parent / "bad.pth"
    bad.write_bytes(b"no checkpoint")
    app = show("attack")
    next(widget for widget in app.text_input if widget.label == "Base checkpoint").set_value(str(bad)).run()
    check(app)
    assert any("checkpoint" in error.value for error in app.error)
    assert "parameters" not in text(app)
