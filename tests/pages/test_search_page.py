"""The Search page: choosing victim and knobs, launching, watching, and taking the best knobs on."""

import sys
import types
from dataclasses import replace

import pytest

from core.runs.store import RunStore
from tests.helpers import synthetic
from tests.helpers.seen import check, plots, text


@pytest.fixture
def queued(monkeypatch):
    """Takes the place of `core.execution.queue`; the ids that were submitted."""
    queued = []
    fake = types.ModuleType("core.execution.queue")
    fake.submit = lambda run: queued.append(run.id)
    import core.execution

    monkeypatch.setitem(sys.modules, "core.execution.queue", fake)
    monkeypatch.setattr(core.execution, "queue", fake, raising=False)
    return queued


def field(app, label):
    return next(widget for widget in [*app.text_input, *app.number_input, *app.selectbox] if widget.label == label)


def press(app, label):
    next(button for button in app.button if button.label == label).click()
    app.run()
    check(app)


def pick(app, label, value):
    next(group for group in app.button_group if group.label == label).set_value(value).run()
    check(app)


def test_a_launch_attacks_the_base_with_the_chosen_knobs(show, runs_root, queued):
    base = synthetic.pretrain(runs_root)
    app = show("search")
    assert "**20 attacks** of 4 restarts and 600 steps each" in text(app)
    pick(app, "Searched knobs", ["lr_x", "lr_coefficients"])
    field(app, "Trials").set_value("7").run()
    field(app, "Learning rate of images").set_value("0.02")
    press(app, "Start search")
    (run,) = RunStore(runs_root).list(kind="search")
    config = run.config()
    assert queued == [run.id]
    assert config.checkpoint == str(base.file("result.safetensors").absolute())
    assert (config.method, config.threat, config.knobs, config.trials, config.lr_x, config.objective) == (
        "kkt", "released-only", ["lr_x", "lr_coefficients"], 7, 0.02, "residual")
    again = show("search", like=run.id)
    assert field(again, "Base network").value == base.id
    assert field(again, "Trials").value == "7"


def test_a_fine_tuning_is_searched_with_ntk(show, runs_root, queued):
    victim = synthetic.finetune(runs_root)
    app = show("search")
    pick(app, "What is attacked", "ntk")
    assert "leave *min_lambda* out" in text(app)
    pick(app, "Searched knobs", ["lr_x"])
    press(app, "Start search")
    (run,) = RunStore(runs_root).list(kind="search")
    assert (run.config().method, run.config().finetune, run.config().checkpoint) == ("ntk", victim.id, "")


def test_an_oracle_is_called_one_before_and_after(show, runs_root):
    synthetic.pretrain(runs_root)
    app = show("search")
    assert "**Oracle.**" not in text(app)
    pick(app, "Start from", "Oracle")
    assert "**Oracle.**" in text(app)
    app = show("search", run=synthetic.search(runs_root, objective="ssim").id)
    assert "**Oracle.**" in text(app)
    assert "Mean SSIM (oracle) of it" in [metric.label for metric in app.metric]
    assert "mean SSIM (oracle)" in app.dataframe[0].value
    assert "oracle" in text(show("overview"))


@pytest.mark.parametrize("state", ["pending", "running", "stopping", "stopped", "failed", "interrupted", "done"])
@pytest.mark.parametrize("scored", [True, False])
def test_a_search_in_every_state(show, runs_root, state, scored):
    app = show("search", run=synthetic.search(runs_root, state=state, scored=scored).id)
    charts = {"pending": 0, "done": 3}.get(state, 2) - (not scored and state != "pending")
    assert len(plots(app)) == charts
    labels = {button.label for button in app.button}
    assert ("Stop" in labels) == (state in ("pending", "running", "stopping"))
    assert ("Resume" in labels) == (state in ("stopped", "failed", "interrupted"))
    assert ("Attack with these knobs" in labels) == (state != "pending")


def test_gain_table_links_and_limits(show, runs_root):
    app = show("search", run=synthetic.search(runs_root).id)
    metrics = {metric.label: (metric.value, metric.delta) for metric in app.metric}
    assert metrics["Trials"] == ("10 of 10", "")
    assert metrics["Residual of the best trial"] == ("0.02", "first trial: 0.2")
    assert metrics["Mean SSIM (truth) of it"] == ("0.78", "first trial: 0.60")
    assert "Best mean SSIM of any trial (oracle)" in metrics
    table = app.dataframe[0].value
    assert table["open"][0] == "/attack?run=attack-s-001"
    assert list(table["ended"])[:3] == ["done", "pruned at 200", "done"]
    for sentence in synthetic.LIMITS:
        assert sentence in text(app)


def test_the_way_on_and_back(show, runs_root):
    run = synthetic.search(runs_root)
    child = RunStore(runs_root).get("attack-s-010")
    child.write_status(replace(child.stored_status(), summary={**child.status().summary, "search": run.id}))
    assert "The last trial" not in text(show("overview"))  # with its search, not among those people launched
    app = show("attack", run=child.id)
    assert any(link.proto.label == "A trial of a search" for link in app.get("page_link"))
    app = show("search", run=run.id)
    next(button for button in app.button if button.label == "Attack with these knobs").click()
    app.run()
    check(app)
    assert "Prefilled from The last trial" in text(app)


def test_what_runs_now_is_shown(show, runs_root):
    run = synthetic.search(runs_root, state="running")
    child = synthetic.attack(runs_root, "attack-s-009", state="running", name="Trial 9")
    run.write_status(replace(run.stored_status(), summary={"current": child.id}))
    app = show("search", run=run.id)
    assert any("Now: Trial 9" in item.text for item in app.get("progress"))
