"""Changes of knobs while a run goes on: asked for by files, made by the run's process, kept for ever."""

import json
from dataclasses import replace

import pytest

from core.config.knob_change import Change
from core.io.errors import InputError
from core.runs import tuning
from core.runs.directory import Run, create
from core.runs.kinds import AttackConfig, SearchConfig, parse_config
from core.runs.recorder import Recorder
from core.runs.tuning import request

OFFERED = {"lr_x": 0.05, "min_lambda": 0.1}


@pytest.fixture
def run(tmp_path) -> Run:
    return create(tmp_path / "one", AttackConfig(changes=["9:lr_x=0.5"]))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(tuning, "POLL_SECONDS", 0.0)


def test_a_change_is_made_once_from_the_step_at_which_it_is_seen(run):
    with Recorder(run) as recorder:
        recorder.offer(OFFERED)
        assert list(recorder.changes(3)) == []
        request(run, {"lr_x": 0.01, "min_lambda": 0.2})
        made = [Change(step=4, knob="lr_x", value=0.01), Change(step=4, knob="min_lambda", value=0.2)]
        assert recorder.changes(4) == made
        assert recorder.changes(5) == made
    assert run.changes() == [*made, Change(step=9, knob="lr_x", value=0.5)]
    assert "From step 4 on: lr_x = 0.01." in run.log_tail()
    assert run.status().tunable == {}


@pytest.mark.parametrize(("values", "said"), [
    ({"lr_x": 100.0}, "lr_x: Input should be less than or equal to 10"),
    ({"lr_x": "fast"}, "lr_x: Input should be a valid number"),
    ({"lr_x": float("nan")}, "lr_x: "),
    ({"box_weight": 1.0}, "box_weight: this run cannot change it while it runs; it can change lr_x, min_lambda"),
    ({"iterations": 5}, "iterations: this run cannot"),
    ({}, "no knob has another value"),
])
def test_a_wrong_value_is_refused_in_one_sentence(run, values, said):
    with Recorder(run) as recorder:
        recorder.offer(OFFERED)
        with pytest.raises(InputError, match=said):
            request(run, values)
        assert list(recorder.changes(1)) == []
    assert run.status().state == "done"


@pytest.mark.parametrize("text", ['{"lr_x": 100}', "[1]", "nonsense", '{"seed": 1}', ""])
def test_whatever_lies_in_the_folder_never_ends_the_run(run, text):
    run.file("requests").mkdir()
    with Recorder(run) as recorder:
        recorder.offer(OFFERED)
        (run.file("requests") / "1.json").write_text(text)
        assert list(recorder.changes(1)) == []
        assert "A change was refused" in run.log_tail()
        assert not list(run.file("requests").iterdir())
    assert run.status().state == "done"


def test_only_a_running_run_takes_changes_and_none_that_belongs_to_another(run):
    with pytest.raises(InputError, match="is pending; knobs can be changed only while it runs"):
        request(run, {"lr_x": 0.01})
    run.write_status(replace(run.stored_status(), summary={"experiment": "experiment-1"}))
    with Recorder(run) as recorder:
        recorder.offer(OFFERED)
        with pytest.raises(InputError, match="none that belongs to an experiment or a search"):
            request(run, {"lr_x": 0.01})


def test_resume_knows_the_changes_and_what_came_too_late_is_dropped(run):
    with Recorder(run) as recorder:
        recorder.offer(OFFERED)
        request(run, {"lr_x": 0.01})
        recorder.changes(4)
        request(run, {"lr_x": 0.02})
        recorder.ask_to_stop("")
    assert "came too late" in run.log_tail()
    run.reset_for_resume()
    with Recorder(run) as recorder:
        assert recorder.changes(2) == [Change(step=4, knob="lr_x", value=0.01)]


def test_a_run_looks_rarely(run, monkeypatch):
    monkeypatch.setattr(tuning, "POLL_SECONDS", 100.0)
    with Recorder(run) as recorder:
        recorder.offer(OFFERED)
        recorder.changes(1)
        request(run, {"lr_x": 0.01})
        assert list(recorder.changes(2)) == []


def test_changes_of_a_config_keep_the_bounds_of_its_knobs():
    config = parse_config({"kind": "attack", "changes": ["600:lr_x=0.01", {"step": 7, "knob": "box_weight",
                                                                             "value": 1}]})
    assert [str(change) for change in config.changes] == ["600:lr_x=0.01", "7:box_weight=1.0"]
    assert parse_config(json.loads(json.dumps(config.model_dump(mode="json")))) == config
    assert SearchConfig(changes=["1:lr_x=1e-3"]).changes[0].value == 1e-3
    for wrong, said in (("600:lr_x=100", "changes: lr_x: "), ("5:seed=1", "changes: seed: it cannot be changed"),
                        ("600 lr_x=1", "STEP:KNOB=VALUE"), ("-1:lr_x=1", "STEP:KNOB=VALUE"), ("1:lr_x=inf", "finite")):
        with pytest.raises(InputError, match=said):
            parse_config({"kind": "attack", "changes": [wrong]})


def test_a_damaged_record_fails_the_run_in_one_sentence(run):
    run.file("changes.json").write_text("{")
    with pytest.raises(InputError, match=r"changes\.json cannot be read"):
        Recorder(run).__enter__()
    assert run.status().state == "failed"
