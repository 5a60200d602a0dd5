"""Knobs changed while an attack runs: it goes another way, and a repeat goes the same."""

import pytest
import torch
from safetensors.torch import load_file

from core.config.finetune import FinetuneConfig
from core.config.knob_change import Change
from core.runs import tuning
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.recorder import Recorder
from core.runs.store import RunStore
from core.runs.tuning import request
from core.tasks import attack, finetune
from tests.helpers.runs import execute

KKT = {"method": "kkt", "samples": 6, "search": "pixels", "restarts": 2, "iterations": 40, "record_every": 5,
       "device": "cpu"}
NTK = {"method": "ntk", "finetune": "victim", "restarts": 2, "iterations": 40, "record_every": 5, "device": "cpu"}
CHANGED = {"lr_x": 0.2, "lr_coefficients": 0.01, "relu_alpha_start": 50.0, "relu_alpha_end": 60.0, "box_weight": 2.0,
           "tv_weight": 0.01}


class Hands(Recorder):
    """A recorder beside which somebody changes knobs at step 7, and then stops the run where told to."""

    def __init__(self, run: Run, *, values: dict[str, float], stop_at: int | None = None) -> None:
        super().__init__(run)
        self._values, self._stop_at = values, stop_at

    def progress(self, step: int, total: int) -> None:
        super().progress(step, total)
        if step == 7 and self._values:
            request(self.run, self._values)
            self._values = {}
        if step == self._stop_at:
            self.ask_to_stop("")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(tuning, "POLL_SECONDS", 0.0)


@pytest.fixture(scope="module")
def store(base_store) -> RunStore:
    config = FinetuneConfig(base="base", rank=784, device="cpu", seed=3)
    execute(finetune, base_store.create(config, run_id="victim"), config)
    return base_store


def create(store: RunStore, values: dict) -> Run:
    files = {} if "finetune" in values else {"checkpoint": str(store.get("base").file("result.safetensors"))}
    return store.create(AttackConfig(**files, **values))


def tuned(run: Run, values: dict, **options) -> Run:
    with Hands(run, values=values, **options) as recorder:
        attack.execute(run, run.config(), recorder)
    return run


def same(*runs: Run) -> bool:
    """Bit for bit."""
    first, second = (load_file(run.file("result.safetensors")) for run in runs)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("values", "changed"), [(KKT, {**CHANGED, "min_lambda": 0.5, "lambda_weight": 20.0}),
                                                 (NTK, CHANGED)])
def test_a_repeat_makes_the_same_changes_and_comes_to_the_same_images(store, values, changed):
    run = tuned(create(store, values), changed)
    assert {change.knob: change.value for change in run.changes()} == changed
    assert {change.step for change in run.changes()} == {7}
    assert run.report().changes[0] == Change(step=7, knob="lr_x", value=0.2)
    alphas = {row["step"]: row["relu_alpha"] for row in run.metrics()[0]}
    assert alphas[10] == pytest.approx(50 * 1.2 ** (10 / 40))
    repeat = tuned(create(store, {**values, "changes": run.changes()}), {})
    assert same(run, repeat)
    assert repeat.changes() == run.changes()
    assert not same(run, tuned(create(store, values), {}))


@pytest.mark.parametrize("name", ["lr_x", "lr_coefficients", "relu_alpha_start", "relu_alpha_end", "min_lambda",
                                  "lambda_weight", "box_weight", "tv_weight", "sparsity_weight"])
def test_every_knob_that_is_offered_counts(store, name):
    start = {**KKT, "iterations": 12, "min_lambda": 2.0}
    assert not same(*(tuned(create(store, {**start, "changes": changes}), {})
                      for changes in ([], [f"3:{name}=9"])))


def test_from_the_first_step_on_is_the_knob_itself(store):
    assert same(tuned(create(store, {**KKT, "changes": ["0:lr_x=0.2", "0:min_lambda=0.5"]}), {}),
                tuned(create(store, {**KKT, "lr_x": 0.2, "min_lambda": 0.5}), {}))


@pytest.mark.parametrize("stop_at", [7, 20])
def test_a_stop_and_a_resume_change_nothing(store, stop_at):
    whole = tuned(create(store, {**KKT, "changes": ["7:lr_x=0.2"]}), {})
    run = tuned(create(store, KKT), {"lr_x": 0.2}, stop_at=stop_at)
    assert run.status().state == "stopped"
    run.reset_for_resume()
    assert same(tuned(run, {}), whole)


def test_a_kill_before_the_checkpoint_changes_nothing(store):
    """The process comes to step 7 again, and knows what was changed there."""
    whole = tuned(create(store, {**KKT, "changes": ["7:lr_x=0.2"]}), {})
    run = tuned(create(store, KKT), {"lr_x": 0.2}, stop_at=20)
    run.file("checkpoint.safetensors").unlink()
    run.reset_for_resume()
    assert same(tuned(run, {}), whole)


def test_what_does_not_count_is_not_offered(store):
    offered = {}

    class Listening(Recorder):
        def offer(self, knobs):
            super().offer(knobs)
            offered.update({self.run.id: dict(knobs)})

    for values in (KKT, {**KKT, "kkt_surrogate": "relu"}, {**KKT, "kkt_objective": "naive"},
                   {**NTK, "threat": "oracle"}):
        run = create(store, {**values, "iterations": 2})
        with Listening(run) as recorder:
            attack.execute(run, run.config(), recorder)
    kkt, relu, naive, oracle = offered.values()
    assert kkt["relu_alpha_end"] == 500.0
    assert kkt["box_weight"] == 0.1
    assert not {"relu_alpha_start", "relu_alpha_end"} & relu.keys()
    assert not {"min_lambda", "lambda_weight"} & naive.keys()
    assert "lr_coefficients" not in oracle
    assert oracle["relu_alpha_start"] == 20.0
