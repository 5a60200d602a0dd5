"""Forms: what they submit, what they refuse, and the buttons of a run."""

import sys
import types

import pytest

from core.io.errors import InputError
from core.io.files import write_json
from core.runs.kinds import AttackConfig
from core.runs.store import RunStore
from pages.components.presets import PRESETS
from tests.helpers import synthetic
from tests.helpers.seen import check


@pytest.fixture
def cluster(monkeypatch):
    """Takes the place of `core.execution.queue`: remembers what it was asked for."""
    calls = []
    fake = types.ModuleType("core.execution.queue")
    fake.recover = lambda root: calls.append(("recover", str(root)))
    for name in ("submit", "stop", "resume"):
        setattr(fake, name, lambda run, name=name: calls.append((name, run.id)))
    fake.calls = calls
    import core.execution

    monkeypatch.setitem(sys.modules, "core.execution.queue", fake)
    monkeypatch.setattr(core.execution, "queue", fake, raising=False)
    return fake


def press(app, label):
    next(button for button in app.button if button.label == label).click()
    app.run()
    check(app)
    return app


def field(app, label):
    widgets = [*app.text_input, *app.number_input, *app.selectbox, *app.radio]
    return next(widget for widget in widgets if widget.label == label)


def test_pretrain_is_created_submitted_and_shown(show, runs_root, cluster):
    app = show("pretrain")
    field(app, "Name").set_value("Mine")
    field(app, "Learning rate").set_value("3e-2")
    field(app, "Epochs").set_value("2,000")
    press(app, "Start pretraining")
    (run,) = RunStore(runs_root).list()
    config = run.config()
    assert (config.name, config.learning_rate, config.epochs, config.hidden) == ("Mine", 0.03, 2000, 1000)
    assert cluster.calls == [("submit", run.id)]
    assert app.query_params["run"] == run.id
    assert "Stop" in [button.label for button in app.button]


def test_attack_takes_the_newest_victim_and_leaves_foreign_knobs_alone(show, runs_root, cluster):
    victim = synthetic.finetune(runs_root)
    app = show("attack")
    field(app, "Threat").set_value("released-only")
    press(app, "Start attack")
    config = RunStore(runs_root).list(kind="attack")[0].config()
    assert (config.finetune, config.threat, config.samples, config.max_seconds) == (victim.id, "released-only", None,
                                                                                    None)


def test_attack_on_files_made_elsewhere(show, runs_root, cluster):
    app = show("attack")
    field(app, "Base checkpoint").set_value("/models/base.pth")
    field(app, "Adapter folder").set_value("/models/adapter")
    field(app, "Samples N").set_value("2")
    field(app, "Known labels").set_value("1, 0")
    press(app, "Start attack")
    config = RunStore(runs_root).list(kind="attack")[0].config()
    assert (config.finetune, config.checkpoint, config.adapter) == ("", "/models/base.pth", "/models/adapter")
    assert (config.samples, config.labels, config.threat) == (2, [1, 0], "released-only")


@pytest.mark.parametrize(("label", "value", "sentence"), [
    ("Learning rate of images", "fast", "**Learning rate of images** (`lr_x`): 'fast' is not a number"),
    ("Restarts R", "0", "**Restarts R** (`restarts`): Input should be greater than or equal to 1"),
    ("Iterations (steps)", "", "**Iterations (steps)** (`iterations`): a value is needed here"),
    ("Seed", -1, "**Seed** (`seed`): Input should be greater than or equal to 0"),
])
def test_bad_values_are_named_in_one_box_and_nothing_starts(show, runs_root, cluster, label, value, sentence):
    synthetic.finetune(runs_root)
    app = show("attack")
    field(app, label).set_value(value)
    press(app, "Start attack")
    assert len(app.error) == 1
    assert app.error[0].value.startswith(sentence)
    assert RunStore(runs_root).list(kind="attack") == []
    assert cluster.calls == []


def test_finetune_without_a_base_says_so(show, runs_root, cluster):
    app = show("finetune")
    press(app, "Start fine-tuning")
    assert "base" in app.error[0].value
    assert RunStore(runs_root).list() == []


def test_a_cluster_that_refuses_is_reported(show, runs_root, cluster):
    def refuse(run):
        raise InputError("cluster: no place to run; start one first.")

    cluster.submit = refuse
    app = press(show("pretrain"), "Start pretraining")
    assert "no place to run" in app.error[0].value


def test_a_run_says_in_what_it_differs_from_the_one_it_was_made_like(show, runs_root, cluster):
    synthetic.finetune(runs_root)
    old = synthetic.attack(runs_root, restarts=8, name="Old")
    app = show("attack", like=old.id)
    field(app, "Restarts R").set_value("32")
    press(app, "Start attack")
    made = app.query_params["run"]
    assert app.query_params["like"] == old.id
    assert any("Like *Old*, but Restarts R 8 → **32**." in item.value for item in app.markdown)
    assert "nothing was changed" in " ".join(item.value for item in show("attack", run=old.id, like=old.id).markdown)
    gone = show("attack", run=made, like="../../etc")
    assert any("which is no longer here" in item.value for item in gone.caption)
    assert not any("Like *" in item.value for item in show("attack", run=made).markdown)


def test_preset_fills_the_form(show, runs_root, cluster):
    synthetic.finetune(runs_root)
    app = show("attack")
    app.button_group[0].set_value("As published (Haim et al. 2022)").run()
    check(app)
    assert field(app, "ReLU α, start").value == "149.87"
    assert field(app, "Optimiser").value == "sgd"
    press(app, "Start attack")
    config = RunStore(runs_root).list(kind="attack")[0].config()
    assert (config.optimizer, config.lr_x, config.iterations) == ("sgd", 0.03052, 50_000)


def test_published_preset_has_the_values_of_the_paper():
    """Haim et al. 2022 and its public run on 250 MNIST digits a class, each to the digits it is quoted with."""
    config = AttackConfig(**PRESETS["attack"]["As published (Haim et al. 2022)"])
    assert (config.candidates, config.restarts, config.iterations) == (2 * 500, 1, 50_000)
    assert config.init_scale == pytest.approx(0.03497673778414215, rel=1e-4)
    assert config.lr_x == pytest.approx(0.03052419903283405, rel=2e-4)
    assert config.lr_coefficients == 1e-4
    assert config.min_lambda == pytest.approx(0.4470505589528116, rel=2e-4)
    assert config.alphas((0, 0)) == pytest.approx((149.86555429083975, 149.86555429083975), rel=1e-4)
    assert (config.box_weight, config.box_range, config.lambda_weight) == (1.0, "centred", 5.0)
    assert (config.optimizer, config.lr_schedule, config.precision) == ("sgd", "constant", "float64")
    assert (config.init_draw, config.lambda_start, config.lambda_space) == ("gaussian", "uniform", "linear")
    assert (config.kkt_objective, config.kkt_surrogate) == ("stationarity", "modified")
    assert config.kkt_residual == "published"
    assert (config.search, config.kkt_layers, config.tv_weight, config.sparsity_weight) == ("pixels", None, None, None)


def test_like_prefills_from_a_run(show, runs_root, cluster):
    old, new = synthetic.finetune(runs_root, "finetune-old"), synthetic.finetune(runs_root, "finetune-new")
    run = synthetic.attack(runs_root, finetune=old.id, restarts=3, lr_x=0.123, tv_weight=1e-4)
    app = show("attack", like=run.id)
    assert field(app, "Learning rate of images").value == "0.123"
    press(app, "Start attack")
    twin = next(item for item in RunStore(runs_root).list(kind="attack") if item.id != run.id)
    assert twin.config() == run.config()
    assert new.id != twin.config().finetune


def test_like_of_another_kind_is_said(show, runs_root):
    app = show("attack", like=synthetic.pretrain(runs_root).id)
    assert "is a run of kind pretrain" in app.error[0].value


def test_links_bring_their_base_along(show, runs_root, cluster):
    old = synthetic.pretrain(runs_root, "pretrain-old")
    synthetic.pretrain(runs_root, "pretrain-new")
    press(show("finetune", base=old.id), "Start fine-tuning")
    assert RunStore(runs_root).list(kind="finetune")[0].config().base == old.id


def test_stop_and_resume_ask_the_cluster(show, runs_root, cluster):
    running = synthetic.attack(runs_root, "attack-r", state="running")
    press(show("attack", run=running.id), "Stop")
    failed = synthetic.attack(runs_root, "attack-f", state="failed", message="It broke.")
    press(show("attack", run=failed.id), "Resume")
    assert cluster.calls == [("stop", "attack-r"), ("resume", "attack-f")]


def test_a_started_dashboard_places_waiting_runs_again_once(show, runs_root, cluster):
    waiting = synthetic.attack(runs_root, state="pending")
    write_json(waiting.file("job.json"), {"key": "k", "submitted": 0.0})
    show("overview")
    show("attack")
    assert cluster.calls == [("recover", str(runs_root))]


def test_refused_resume_is_told_once(show, runs_root, cluster):
    def refuse(run):
        raise InputError("run: a process still works on it; wait for its end.")

    cluster.resume = refuse
    failed = synthetic.attack(runs_root, state="failed", message="It broke.")
    app = press(show("attack", run=failed.id), "Resume")
    assert "still works on it" in app.error[1].value
    app.run()
    assert len(app.error) == 1


def test_new_leaves_the_run_for_the_form(show, runs_root):
    app = show("attack", run=synthetic.attack(runs_root).id)
    press(app, "New attack")
    assert app.title[0].value == "Attack"
    assert "run" not in app.query_params


def test_selecting_another_run_shows_it(show, runs_root):
    first = synthetic.attack(runs_root, "attack-1", name="First")
    synthetic.attack(runs_root, "attack-2", name="Second", scored=False)
    app = show("attack", run=first.id)
    field(app, "Attack run").set_value("attack-2").run()
    check(app)
    assert app.query_params["run"] == "attack-2"
    assert app.subheader[0].value == "Second"
