"""The Experiments page: choosing a grid and its cost, watching it, opening its points."""

import csv
import io
import sys
import types
from dataclasses import replace

import pytest

from core.runs.store import RunStore
from core.studies.experiments.presets import PRESETS
from core.studies.experiments.table import COLUMNS, to_csv
from tests.helpers import synthetic
from tests.helpers.seen import check, plots, text

GRID = "experiment-20260101-160000-abcd"


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


def start_from(app, label):
    next(group for group in app.button_group if group.label == "Start from").set_value(label).run()
    check(app)


def test_the_cost_is_said_before_the_launch(show, runs_root):
    synthetic.pretrain(runs_root)
    app = show("experiments")
    assert "**8 attacks** on **8 fine-tunings**" in text(app)
    assert not any(group.label == "Coefficients" for group in app.button_group)  # the KKT attack searches its own
    start_from(app, "B: steps")
    assert "**24 attacks** on **12 fine-tunings**" in text(app)
    field(app, "Ranks r").set_value("8, 64").run()
    assert "**36 attacks** on **18 fine-tunings**" in text(app)
    next(toggle for toggle in app.toggle if toggle.label == "Full fine-tuning too").set_value(False).run()
    assert "**24 attacks** on **12 fine-tunings**" in text(app)


def test_a_launch_takes_base_preset_and_axes(show, runs_root, queued):
    base = synthetic.pretrain(runs_root)
    app = show("experiments")
    start_from(app, "B: ranks")
    next(group for group in app.button_group if group.label == "Size").set_value("full").run()
    field(app, "Ranks r").set_value("2, 4").run()
    field(app, "Iterations (steps)").set_value("50")
    press(app, "Start experiment")
    (run,) = RunStore(runs_root).list(kind="experiment")
    config = run.config()
    assert queued == [run.id]
    assert (config.preset, config.size, config.base) == ("ntk-ranks", "full", base.id)
    assert (config.ranks, config.full, config.iterations, config.restarts) == ([2, 4], True, 50, None)
    assert config.steps == [1, 10, 100]
    assert app.query_params["run"] == run.id


@pytest.mark.parametrize(("value", "said"), [("one", "'one' is not a list of whole numbers"), ("0", "greater than")])
def test_a_bad_axis_is_named_and_nothing_starts(show, runs_root, queued, value, said):
    synthetic.pretrain(runs_root)
    app = show("experiments")
    field(app, "Ranks r").set_value(value).run()
    press(app, "Start experiment")
    assert any(said in error.value for error in app.error)
    assert RunStore(runs_root).list(kind="experiment") == queued == []


@pytest.mark.parametrize("state", ["pending", "running", "stopping", "stopped", "failed", "interrupted", "done"])
@pytest.mark.parametrize("preset", ["compose-rank", "ntk-steps", "ntk-ranks", "algebraic-ranks"])
def test_an_experiment_in_every_state(show, runs_root, state, preset):
    app = show("experiments", run=synthetic.experiment(runs_root, state=state, preset=preset).id)
    assert len(plots(app)) == (0 if state == "pending" else 2)
    labels = {button.label for button in app.button}
    assert ("Stop" in labels) == (state in ("pending", "running", "stopping"))
    assert ("Resume" in labels) == (state in ("stopped", "failed", "interrupted"))


@pytest.mark.parametrize("state", ["pending", "running", "failed", "done"])
@pytest.mark.parametrize("preset", [name for name, preset in PRESETS.items() if not preset.finetunes])
def test_an_experiment_on_a_base_alone(show, runs_root, state, preset):
    app = show("experiments", run=synthetic.experiment(runs_root, state=state, preset=preset).id)
    assert len(plots(app)) == (0 if state == "pending" else 1)
    if state == "done":
        table = app.dataframe[0].value
        assert table["pretraining"][0] == "/pretrain?run=pretrain-x-001"
        assert "fine-tuning" not in table
        assert list(table["setting"])[:2] == [arm.name for arm in PRESETS[preset].arms[:2]]
        assert table["SSIM > 0.4"][1] == 2


def test_tiny_init_pretrains_its_own_bases_and_asks_for_none(show, runs_root, queued):
    app = show("experiments")
    start_from(app, "B: tiny init")
    assert "**8 attacks** on **8 fine-tunings**" in text(app)
    assert not any("Pretrain 20" in toggle.label for toggle in app.toggle)
    press(app, "Start experiment")
    (run,) = RunStore(runs_root).list(kind="experiment")
    assert (run.config().preset, run.config().base) == ("ntk-init", "own")


def test_one_click_starts_an_experiment_with_bases_of_its_own(show, runs_root, queued):
    app = show("experiments")
    start_from(app, "KKT: restarts")
    assert "**9 attacks** on **3 pretrainings**" in text(app)
    assert not any(widget.label == "Ranks r" for widget in app.text_input)
    press(app, "Start experiment")
    (run,) = RunStore(runs_root).list(kind="experiment")
    config = run.config()
    assert (config.preset, config.base, config.repeats, config.ranks) == ("kkt-restarts", "own", 3, None)


def test_a_base_of_mine_in_the_place_of_its_own(show, runs_root, queued):
    base = synthetic.pretrain(runs_root)
    app = show("experiments")
    start_from(app, "KKT: candidates")
    next(toggle for toggle in app.toggle if toggle.label.startswith("Pretrain 20 digits")).set_value(False).run()
    assert "**21 attacks** on the base" in text(app)
    press(app, "Start experiment")
    assert RunStore(runs_root).list(kind="experiment")[0].config().base == base.id


def test_table_failures_and_links(show, runs_root):
    app = show("experiments", run=synthetic.experiment(runs_root).id)
    values = {metric.label: metric.value for metric in app.metric}
    assert (values["Points"], values["Failed"], values["Best mean SSIM"]) == ("24 of 24", "1", "0.92")
    table = app.dataframe[0].value
    assert table["attack"][0] == "/attack?run=attack-x-001"
    assert table["fine-tuning"][23] == "/finetune?run=finetune-x-012"
    assert table["reason"][23] == "fine-tuning failed: it diverged."
    assert list(table["state"]).count("failed") == 1
    for sentence in synthetic.LIMITS:
        assert sentence in text(app)
    rows = list(csv.DictReader(io.StringIO(to_csv(synthetic.experiment_rows()))))
    assert list(rows[0]) == list(COLUMNS)
    assert app.get("download_button")[0].label == "Download CSV"


def test_what_runs_now_is_shown(show, runs_root):
    run = synthetic.experiment(runs_root, state="running")
    child = synthetic.attack(runs_root, "attack-x-006", state="running", name="rank 64, T = 1")
    run.write_status(replace(run.stored_status(), summary={"current": child.id}))
    app = show("experiments", run=run.id)
    assert "Now: attack, rank 64, T = 1 · Step 600" in [item.text for item in app.get("progress")][1].replace("\\", "")


def test_children_are_listed_with_their_experiment_only(show, runs_root):
    grid = synthetic.experiment(runs_root)
    mine = synthetic.attack(runs_root, "attack-mine", name="Mine")
    children = [synthetic.attack(runs_root, f"attack-x-{number:03d}", name=f"Point {number}") for number in (1, 2)]
    for child in children:
        child.write_status(replace(child.stored_status(), summary={**child.status().summary, "experiment": grid.id}))
    assert "Point 1" not in text(show("overview"))
    assert "Mine" in text(show("overview"))
    options = {field(show("attack", run=run.id), "Attack run").options[0].split(" · ")[0]
               for run in (mine, children[0])}
    assert options == {"Mine", "Point 2"}
    assert any(link.proto.label == "A point of an experiment" for link in show("attack", run=children[0].id).get(
        "page_link"))
    both = show("compare", runs=",".join(child.id for child in children))
    assert both.multiselect[0].value == [child.id for child in children]
