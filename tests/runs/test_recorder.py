"""The recorder: one process, one end, and what a kill or a full disk leaves behind."""

import errno
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.config.pretrain import PretrainConfig
from core.io.errors import InputError
from core.io.images import row_names, tiles
from core.runs import recorder
from core.runs.directory import Run, create
from core.runs.kinds import parse_config
from core.runs.recorder import Recorder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create(tmp_path / "one", PretrainConfig())


def test_a_run_that_returns_is_done(run):
    with Recorder(run) as recorder:
        recorder.progress(3, 10)
        recorder.summary(loss=float("nan"), samples=2)
        assert run.status().state == "running"
    status = run.status()
    assert (status.state, status.step, status.total, status.attempts) == ("done", 3, 10, 1)
    assert status.summary == {"loss": None, "samples": 2}


def test_the_heart_beats(run, monkeypatch):
    monkeypatch.setattr(recorder, "HEARTBEAT_SECONDS", 0.02)
    with Recorder(run) as monitor:
        first = run.status().updated
        monitor.progress(5, 10)
        deadline = time.monotonic() + 5
        while run.status().step != 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert run.status().step == 5
        assert run.status().updated > first


def test_a_stop_file_ends_a_run_as_stopped(run):
    with Recorder(run) as monitor:
        assert not monitor.should_stop()
        run.request_stop()
        assert monitor.should_stop()
    assert run.status().state == "stopped"
    assert not run.file("STOP").exists()


def test_the_machine_interrupts_a_person_stops(run):
    with Recorder(run) as monitor:
        monitor.ask_to_stop("The walltime is over.", state="interrupted")
        assert monitor.should_stop()
    assert (run.status().state, run.status().message) == ("interrupted", "The walltime is over.")


def test_a_failure_is_one_sentence_and_its_traceback_is_in_the_log(run):
    with pytest.raises(RuntimeError), Recorder(run):
        raise RuntimeError("no luck\nsecond line")
    status = run.status()
    assert (status.state, status.message) == ("failed", "RuntimeError: no luck (see log.txt)")
    assert "Traceback" in run.log_tail()


def test_two_processes_cannot_execute_one_run(run, monkeypatch):
    monkeypatch.setattr(recorder, "LOCK_SECONDS", 0.1)
    with Recorder(run), pytest.raises(InputError, match="already running in another process"):
        Recorder(run).__enter__()
    assert run.status().state == "done"


def test_a_refused_start_frees_the_lock_and_changes_nothing(run):
    run.write_status(replace(run.stored_status(), state="done", message="kept"))
    with pytest.raises(InputError, match="is done, not pending"):
        Recorder(run).__enter__()
    assert run.status().message == "kept"
    with run.lock().acquire(timeout=0):
        pass


def test_a_damaged_checkpoint_fails_the_run_in_one_sentence(run):
    run.file("checkpoint.safetensors").write_bytes(b"\x08\x00\x00")
    with pytest.raises(InputError, match=r"cannot be read .* delete it to start"):
        Recorder(run).__enter__()
    assert run.status().state == "failed"
    run.file("checkpoint.safetensors").unlink()
    run.reset_for_resume()
    with Recorder(run):
        pass
    assert run.status().state == "done"


def test_resume_continues_after_the_checkpoint(run):
    with Recorder(run) as monitor:
        for step in range(5):
            monitor.record(step, loss=1.0)
            monitor.snapshot(step, torch.zeros(1, 1, 4, 4))
            if step == 2:
                monitor.save_checkpoint({"x": torch.ones(2)}, {"step": 2})
        monitor.ask_to_stop("")
    with run.file("metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')  # what a kill in the middle of a row leaves
    spent = run.status().seconds
    run.reset_for_resume()
    with Recorder(run) as monitor:
        assert [row["step"] for row in run.metrics()[0]] == [0, 1, 2]
        assert [step for step, _ in run.snapshots()] == [0, 1, 2]
        tensors, meta = monitor.load_checkpoint()
        assert (tensors["x"].tolist(), meta["step"]) == ([1.0, 1.0], 2)
        monitor.record(3, loss=0.5)
    assert [row["step"] for row in run.metrics()[0]] == [0, 1, 2, 3]
    assert run.status().attempts == 2
    assert run.status().seconds >= spent


def test_what_a_killed_write_left_is_swept_and_nothing_else(run):
    left = run.file(".checkpoint.safetensors.a1b2c3d4")
    left.write_bytes(b"half")
    mine = run.file(".mine.txt.backup")
    mine.write_text("keep")
    with Recorder(run):
        assert not left.exists()
    assert mine.exists()


@pytest.mark.parametrize(("kind", "limited"), [("attack", True), ("search", False)])
def test_the_time_left_ends_with_the_time_limit_of_an_attack(tmp_path, kind, limited):
    config = parse_config({"kind": kind, "checkpoint": "base.pth", "max_seconds": 5.0})
    with Recorder(create(tmp_path / kind, config)) as monitor:
        monitor.progress(1, 10_000_000)
        time.sleep(0.01)
        monitor.progress(2, 10_000_000)
        assert (monitor._status.seconds_left <= 5.0) is limited


def test_times_do_not_follow_the_clock(run, monkeypatch):
    with Recorder(run) as monitor:
        monitor.progress(1, 100)
        monkeypatch.setattr("time.time", lambda now=time.time: now() - 86_400)  # somebody sets the clock back
        monitor.progress(2, 100)
        monitor.record(2, loss=1.0)
    status = run.status()
    assert 0 <= status.seconds < 60
    assert run.metrics()[0][0]["seconds"] >= 0


def test_a_full_disk_keeps_the_old_files_whole_and_frees_the_lock(run, monkeypatch):
    with Recorder(run) as monitor:
        monitor.save_checkpoint({"x": torch.ones(2)}, {"step": 1})
        monitor.ask_to_stop("")
    run.reset_for_resume()

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"), Recorder(run) as monitor:  # noqa: PT012
        monkeypatch.setattr("os.fsync", full)     # every atomic write fails, and so does the log
        monkeypatch.setattr(monitor, "log", full)
        monitor.save_checkpoint({"x": torch.zeros(2)}, {"step": 2})
    monkeypatch.undo()
    assert run.stored_status().state == "running"  # the end did not fit on the disk: its dead process tells
    with run.lock().acquire(timeout=0):
        pass
    assert not list(run.path.glob(".*.safetensors.*"))
    run.write_status(replace(run.stored_status(), process_started=0.0))
    run.reset_for_resume()
    with Recorder(run) as monitor:
        assert monitor.load_checkpoint()[0]["x"].tolist() == [1.0, 1.0]


def test_a_full_disk_that_has_room_for_the_end_says_so(run):
    with pytest.raises(OSError, match="space"), Recorder(run):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert run.status().message == "The disk is full: free some space, then resume this run."


KILLED_WRITER = """
import os, signal, sys, threading, time
import torch
from core.runs.directory import Run
from core.runs import recorder
recorder.HEARTBEAT_SECONDS = 0.001
with recorder.Recorder(Run(sys.argv[1])) as monitor:
    print("ready", flush=True)
    checkpoint = monitor.load_checkpoint()
    for step in range(checkpoint[1]["step"] + 1 if checkpoint else 0, 10**9):
        monitor.progress(step, 10**9)
        monitor.record(step, loss=1.0 / (step + 1))
        if step % 5 == 0:
            monitor.save_checkpoint({"x": torch.full((50_000,), float(step))}, {"step": step})
"""


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_a_run_that_reads_and_resumes(run):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for attempt in range(3):
        writer = subprocess.Popen([sys.executable, "-c", KILLED_WRITER, str(run.path)], stdout=subprocess.PIPE,
                                  env=environment)
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(0.05 + 0.07 * attempt)
        writer.kill()
        writer.communicate()
        assert run.status().state == "interrupted"
        rows, _ = run.metrics()
        assert [row["step"] for row in rows] == list(range(len(rows)))
        run.reset_for_resume()
    with Recorder(run) as monitor:
        tensors, meta = monitor.load_checkpoint()
        assert set(tensors["x"].tolist()) == {float(meta["step"])}
        assert not list(run.path.glob(".*.*"))




def test_a_snapshot_of_several_restarts_names_each(run):
    with Recorder(run) as recorder:
        images = torch.rand(3, 2, 1, 8, 8)
        recorder.snapshot(7, images[1], restarts=images, numbers=[0, 4, 9])
    png = (run.file("snapshots") / "restarts" / "00000007.png").read_bytes()
    assert row_names(png) == ["0", "4", "9"]
    assert len(tiles(png)) == 6
    assert [step for step, _ in run.snapshots()] == [7]


def test_many_restarts_share_out_the_pictures(run):
    with Recorder(run) as recorder:
        recorder.snapshot(1, torch.zeros(20, 1, 4, 4), restarts=torch.zeros(32, 20, 1, 4, 4), numbers=range(32))
    assert len(tiles((run.file("snapshots") / "restarts" / "00000001.png").read_bytes())) == 32 * 5


def test_the_status_says_what_the_run_uses(run):
    with Recorder(run):
        pass
    load = run.status().load
    assert 0 < load["memory"] < load["memory_total"]
    assert load["cpu"] >= 0
    assert load["cores"] >= 1


def test_gates_show_the_last_step_and_few_samples(run):
    with Recorder(run) as recorder:
        for step in (1, 2):
            recorder.gates(step, {"layers.0": torch.arange(60 * 5).reshape(60, 5) % step == 0})
    stored = load_file(run.file("gates.safetensors"))
    assert int(stored["step"]) == 2
    assert stored["switched.layers.0"].shape == (40, 5)
    assert stored["switched.layers.0"][0].tolist() == [1, 0, 1, 0, 1]
