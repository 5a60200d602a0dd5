"""list, show, stop, export and cluster from the command line."""

import json
import threading
import zipfile
from dataclasses import replace

from core.config.experiment import ExperimentConfig
from core.config.finetune import FinetuneConfig
from core.config.pretrain import PretrainConfig
from core.runs.kinds import AttackConfig, SearchConfig
from core.runs.recorder import Recorder
from core.runs.store import RunStore


def test_an_empty_store_says_what_to_do(core):
    code, out, _ = core("list")
    assert code == 0
    assert "python -m core pretrain" in out


def test_the_list_shows_runs_and_broken_folders(core, store):
    run, broken = store.create(PretrainConfig(name="mine")), store.create(PretrainConfig())
    run.write_status(replace(run.stored_status(), state="done", step=5, total=9, summary={"log_loss": -3.14159}))
    broken.file("config.json").unlink()
    tuned = store.create(FinetuneConfig(base="x.pth"))
    code, out, _ = core("list")
    assert code == 0
    line = next(line for line in out.splitlines() if line.startswith(run.id))
    assert line.split() == [run.id, "pretrain", "done", "5/9", "mine", "log_loss=-3.142"]
    assert f"{broken.id}  broken: run: " in out
    assert tuned.id in out
    assert tuned.id not in core("list", "--kind", "pretrain")[1]


def test_show_is_json(core, store):
    run = store.create(PretrainConfig(seed=4))
    run.file("report.json").write_text('{"margin": 0.5}')
    code, out, _ = core("show", run.id)
    shown = json.loads(out)
    assert code == 0
    assert (shown["id"], shown["config"]["seed"], shown["status"]["state"]) == (run.id, 4, "pending")
    assert shown["report"] == {"margin": 0.5}


def test_stop(core, store):
    run = store.create(PretrainConfig())
    assert core("stop", run.id)[:2] == (0, f"{run.id} is stopped.\n")
    assert run.status().state == "stopped"


def test_an_export_reads_as_before_wherever_it_is_unpacked(core, store, tmp_path):
    base = store.create(PretrainConfig(seed=1))
    victim = store.create(FinetuneConfig(base=base.id))
    attack = store.create(AttackConfig(finetune=str(victim.path)))
    base.file("result.safetensors").write_bytes(b"weights")
    victim.file("adapter").mkdir()
    victim.file("adapter").joinpath("adapter_config.json").write_text("{}")
    attack.request_stop()
    attack.file("job.json").write_text("{}")
    attack.file(".lock").touch()
    target = tmp_path / "all.zip"
    code, out, _ = core("export", attack.id, target)
    assert code == 0
    assert all(run.id in out for run in (base, victim, attack))
    with zipfile.ZipFile(target) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "elsewhere")
    assert not [name for name in names if name.endswith(("STOP", "job.json", ".lock"))]
    copy = RunStore(tmp_path / "elsewhere")
    assert {run.id for run in copy.list()} == {base.id, victim.id, attack.id}
    assert copy.get(base.id).file("result.safetensors").read_bytes() == b"weights"
    assert copy.get(victim.id).file("adapter/adapter_config.json").exists()


def test_an_export_of_an_experiment_takes_its_children_along(core, store, tmp_path):
    base = store.create(PretrainConfig(seed=1))
    victim = store.create(FinetuneConfig(base=base.id), run_id="finetune-x-001")
    attack = store.create(AttackConfig(finetune=victim.id), run_id="attack-x-001")
    grid = store.create(ExperimentConfig(base=base.id))
    rows = [{"step": 1, "attack": attack.id, "finetune": victim.id}, {"step": 2, "attack": "", "finetune": victim.id}]
    grid.file("metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert core("export", grid.id, tmp_path / "all.zip")[0] == 0
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith("config.json")]
    assert sorted(names) == sorted(f"{run.id}/config.json" for run in (base, victim, attack, grid))
    fresh = store.create(ExperimentConfig(base=base.id))
    assert core("export", fresh.id, tmp_path / "fresh.zip")[0] == 0


def test_an_export_of_a_search_takes_its_trials_and_the_base_along(core, store, tmp_path):
    base = store.create(PretrainConfig(seed=1))
    weights = str(base.file("result.safetensors"))
    trial = store.create(AttackConfig(checkpoint=weights, method="kkt"), run_id="attack-x-001")
    search = store.create(SearchConfig(checkpoint=weights))
    search.file("metrics.jsonl").write_text(json.dumps({"step": 1, "attack": trial.id}) + "\n")
    assert core("export", search.id, tmp_path / "all.zip")[0] == 0
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith("config.json")]
    assert sorted(names) == sorted(f"{run.id}/config.json" for run in (base, trial, search))


def test_an_export_overwrites_nothing_and_leaves_nothing_half(core, store, tmp_path):
    run = store.create(PretrainConfig())
    target = tmp_path / "mine.zip"
    target.write_text("mine")
    code, _, err = core("export", run.id, target)
    assert (code, target.read_text()) == (2, "mine")
    assert "exists already" in err
    code, _, err = core("export", run.id, tmp_path / "nowhere" / "x.zip")
    assert code == 2
    assert "cannot write" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.zip", "runs"]


def test_a_cluster_that_was_never_started_is_no_error(core):
    assert core("cluster", "status")[:2] == (0, "0 runs wait.\n")
    assert core("cluster", "stop")[0] == 0

def test_tune_changes_a_running_attack_and_says_from_which_step(core, store):
    run = store.create(AttackConfig(method="kkt"))
    assert core("tune", run.id, "--set", "lr_x=0.01")[2] == \
        f"afterimage: run: {run.id} is pending; knobs can be changed only while it runs.\n"
    ended = threading.Event()
    with Recorder(run) as recorder:
        recorder.offer({"lr_x": 0.05, "min_lambda": 0.1})

        def work() -> None:
            while not ended.wait(0.02):
                recorder.changes(600)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            code, out, _ = core("tune", run.id, "--set", "lr_x=1e-2", "--set", "min-lambda=0.2")
            assert (code, out) == (0, "From step 600 on: lr_x = 0.01.\nFrom step 600 on: min_lambda = 0.2.\n")
            code, _, err = core("tune", run.id, "--set", "lr_x=100")
            assert (code, err) == (2, "afterimage: lr_x: Input should be less than or equal to 10.\n")
            assert core("tune", run.id, "--set", "lr_y=1")[2].endswith("did you mean lr_x?\n")
        finally:
            ended.set()
            worker.join()
    assert json.loads(core("show", run.id)[1])["changes"] == ["600:lr_x=0.01", "600:min_lambda=0.2"]
