"""The supervisor of a child process: escalation, deaths of every kind, and what it writes of them."""

import os
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from core.config.pretrain import PretrainConfig
from core.execution import worker
from core.execution.queue_entry import enter_queue, entry_key, waiting
from core.execution.worker import supervise
from core.runs.directory import create

ROOT = Path(__file__).parents[2]
# A child that takes the run as `python -m core run` does, but needs no torch.
RUNNING = """
import os, signal, sys, time
from dataclasses import replace
from core.runs.directory import Run
from core.runs.status import this_process
run = Run(sys.argv[1])
run.write_status(replace(run.stored_status(), state="running", **this_process()))
"""


@pytest.fixture
def run(tmp_path):
    return create(tmp_path / "one", PretrainConfig())


@pytest.fixture
def child(monkeypatch):
    """Replace what the worker starts by a small program."""
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.02)

    def use(program):
        monkeypatch.setattr(worker, "command", lambda run: [sys.executable, "-c", program, str(run.path)])
    return use


def test_the_command_is_the_public_one(run):
    assert worker.command(run) == [sys.executable, "-m", "core", "run", str(run.path)]


def test_a_child_that_ends_its_run_is_believed(run, child):
    child(RUNNING + "run.write_status(replace(run.stored_status(), state='done', message='all of it'))")
    assert supervise(str(run.path), enter_queue(run)) == "done"
    assert run.status().message == "all of it"
    assert entry_key(run) is None


@pytest.mark.parametrize(("program", "state", "said"), [
    (RUNNING + "os.kill(os.getpid(), signal.SIGKILL)", "interrupted", "SIGKILL (the machine may have run out of mem"),
    (RUNNING + "os.kill(os.getpid(), signal.SIGTERM)", "interrupted", "SIGTERM. Resume continues"),
    (RUNNING + "os.kill(os.getpid(), signal.SIGSEGV)", "failed", "crashed (SIGSEGV)"),
    (RUNNING + "sys.exit('the disk is full')", "failed", "exit code 1: the disk is full"),
    ("raise ImportError('no module named torch')", "failed", "exit code 1: ImportError: no module named torch"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "interrupted", "SIGKILL"),
    ("pass", "failed", "exit code 0: nothing in log.txt"),
])
def test_a_child_that_dies_without_a_word_is_settled(run, child, program, state, said):
    child(program)
    assert supervise(str(run.path), enter_queue(run)) == state
    assert said in run.status().message
    run.reset_for_resume()
    assert run.status().state == "pending"


def test_a_child_that_cannot_be_started_fails_the_run(run, monkeypatch):
    monkeypatch.setattr(worker, "command", lambda run: ["/nowhere/python"])
    with pytest.raises(FileNotFoundError):
        supervise(str(run.path), enter_queue(run))
    assert run.status().state == "failed"
    assert "could not be started" in run.status().message
    assert entry_key(run) is None


def test_a_run_that_is_not_pending_is_left_alone(run, child):
    child("raise SystemExit('must not start')")
    key = enter_queue(run)
    run.request_stop()
    assert supervise(str(run.path), key) == "stopped"
    assert run.log_tail() == ""


def test_a_run_that_another_process_executes_is_left_alone(run, child, monkeypatch):
    monkeypatch.setattr(worker, "LOCK_SECONDS", 0.05)
    child("raise SystemExit(2)")
    with run.lock().acquire():
        assert supervise(str(run.path), "key") == "pending"


DEAF = RUNNING + """
signal.signal(signal.SIGTERM, lambda *_: print("terminated", flush=True))
os.system("sleep 300 & echo $! > " + str(run.file("grandchild")))
while True: time.sleep(0.05)
"""


def test_a_deaf_child_is_terminated_then_killed_with_all_it_started(run, child):
    child(DEAF)
    ended = []
    thread = threading.Thread(target=lambda: ended.append(
        supervise(str(run.path), enter_queue(run), stop_grace=0.2, term_grace=0.3)))
    thread.start()
    deadline = time.monotonic() + 20
    while not (run.file("grandchild").exists() and run.file("grandchild").read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    grandchild = psutil.Process(int(run.file("grandchild").read_text()))
    run.request_stop()
    thread.join(timeout=20)
    assert ended == ["stopped"]
    assert "did not stop in time" in run.status().message
    assert "terminated" in run.log_tail()
    psutil.wait_procs([grandchild], timeout=5)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_the_child_gets_its_share_of_the_cores_and_a_session_of_its_own(run, child, monkeypatch):
    monkeypatch.setenv("AFTERIMAGE_SLOTS", "1000")
    child(RUNNING + "print(os.environ['OMP_NUM_THREADS'], os.environ['AFTERIMAGE_SUPERVISOR'], os.getsid(0))")
    supervise(str(run.path), enter_queue(run))
    threads, supervisor, session = run.log_tail().splitlines()[0].split()
    assert (threads, supervisor) == ("1", str(os.getpid()))
    assert int(session) != os.getsid(0)


def test_entries_wait_in_order_and_ended_ones_are_cleared(tmp_path):
    runs = [create(tmp_path / name, PretrainConfig()) for name in ("b", "a", "c", "d", "e")]
    keys = [enter_queue(run) for run in runs]
    for age, run in zip((50, 40, 30, 20, 10), runs, strict=True):
        os.utime(run.file("job.json"), (time.time() - age,) * 2)
    runs[2].request_stop()                   # stopped before it began
    runs[3].file("config.json").unlink()     # broken: harms no other run
    assert waiting(tmp_path) == [(runs[0], keys[0]), (runs[1], keys[1]), (runs[4], keys[4])]
    assert entry_key(runs[2]) is None
