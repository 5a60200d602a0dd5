"""Knobs on the page of an attack that is running."""

import json
from dataclasses import replace

import pytest

from core.io.files import write_json
from core.runs.directory import Run
from tests.helpers import synthetic
from tests.helpers.seen import check, plots, text

OFFERED = {"lr_x": 0.05, "min_lambda": 0.1, "relu_alpha_end": 500.0}
CHANGES = [{"step": 250, "knob": "lr_x", "value": 0.01}, {"step": 400, "knob": "min_lambda", "value": 0.2}]


def running(root, *, state: str = "running", **config) -> Run:
    run = synthetic.attack(root, state=state, method="kkt", **config)
    run.write_status(replace(run.stored_status(), tunable=OFFERED))
    return run


def send(app) -> None:
    next(button for button in app.button if button.label == "Change").click().run()
    check(app)


def asked(run: Run) -> list[dict[str, float]]:
    return [json.loads(path.read_text()) for path in run.file("requests").glob("*.json")]


def field(app, name: str):
    return next(item for item in app.text_input if item.key and item.key.endswith(f"/{name}"))


def test_only_what_was_changed_is_asked_for(show, runs_root):
    run = running(runs_root)
    app = show("attack", run=run.id)
    assert {name: field(app, name).value for name in OFFERED} == {"lr_x": "0.05", "min_lambda": "0.1",
                                                                  "relu_alpha_end": "500"}
    field(app, "lr_x").set_value("1e-2")
    send(app)
    assert asked(run) == [{"lr_x": 0.01}]
    assert not app.error


@pytest.mark.parametrize(("typed", "said"), [("100", "**Learning rate of images** (`lr_x`): Input should be less than"),
                                             ("fast", "is not a number"), ("0.05", "No knob has another value yet")])
def test_a_wrong_value_is_said_until_it_is_corrected(show, runs_root, typed, said):
    run = running(runs_root)
    app = show("attack", run=run.id)
    field(app, "lr_x").set_value(typed)
    send(app)
    assert said in app.error[0].value
    app.run()  # a refresh
    assert said in app.error[0].value
    field(app, "lr_x").set_value("0.01")
    send(app)
    assert not app.error
    assert asked(run) == [{"lr_x": 0.01}]


def test_changes_are_listed_marked_and_repeated(show, runs_root):
    run = running(runs_root, state="done", changes=["700:box_weight=1"])
    write_json(run.file("changes.json"), CHANGES)
    app = show("attack", run=run.id)
    assert "From step 250 on: Learning rate of images = **0.01**" in text(app)
    assert not [button for button in app.button if button.label == "Change"]
    given = "--changes 250:lr_x=0.01,400:min_lambda=0.2,700:box_weight=1.0 "
    assert any(given in code.value for code in app.get("code"))
    layouts = [figure["layout"] for figure in plots(app)]
    assert [250, 400, 700] in [[shape["x0"] for shape in layout.get("shapes", [])] for layout in layouts]
    again = show("attack", like=run.id)
    assert "It makes the same changes at the same steps" in text(again)
    assert field(again, "changes").value == "250:lr_x=0.01, 400:min_lambda=0.2, 700:box_weight=1.0"


def test_fields_follow_the_values_and_never_send_old_ones(show, runs_root):
    """The list of changes and the values come from two files, one of them a moment later."""
    run = running(runs_root)
    app = show("attack", run=run.id)
    for value in (0.01, 0.05):
        changes = [*(json.loads(run.file("changes.json").read_text()) if run.file("changes.json").exists() else []),
                   {"step": 600, "knob": "lr_x", "value": value}]
        write_json(run.file("changes.json"), changes)
        app.run()
        run.write_status(replace(run.stored_status(), tunable={**OFFERED, "lr_x": value}))
        app.run()
        assert float(field(app, "lr_x").value) == value
    field(app, "min_lambda").set_value("0.3")
    send(app)
    assert asked(run) == [{"min_lambda": 0.3}]


@pytest.mark.parametrize("state", ["pending", "stopping"])
def test_nothing_can_be_changed_where_nothing_runs(show, runs_root, state):
    app = show("attack", run=running(runs_root, state=state).id)
    assert all(item.disabled for item in app.text_input if (item.key or "").startswith("tune/"))
    assert all(button.disabled for button in app.button if button.label == "Change")


def test_a_search_that_has_not_begun_and_a_child_have_no_knobs(show, runs_root):
    run = running(runs_root)
    run.write_status(replace(run.stored_status(), tunable={}))
    assert "The knobs appear once the search has begun" in text(show("attack", run=run.id))
    run.write_status(replace(run.stored_status(), tunable=OFFERED, summary={"search": "search-1"}))
    assert not any(expander.label == "Tune while it runs" for expander in show("attack", run=run.id).expander)
