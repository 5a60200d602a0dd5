"""The run directory under kills, stale processes, foreign hosts, cut files and bad content."""

import errno
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from core.config.pretrain import PretrainConfig
from core.host.hardware import process_started
from core.io.errors import InputError
from core.runs import directory
from core.runs.directory import Run, create
from core.runs.status import this_process


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create(tmp_path / "one", PretrainConfig())


def as_running(run: Run, **changes) -> None:
    run.write_status(replace(run.stored_status(), **{"state": "running", "updated": time.time(), **this_process(),
                                                     **changes}))


def dead_process() -> dict:
    """The identity of a process that is gone."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = {"pid": child.pid, "process_started": process_started(child.pid)}
    child.communicate(b"\n")
    return identity


def test_a_new_run_is_pending_and_keeps_its_config(run):
    assert run.status().state == "pending"
    assert run.config() == PretrainConfig()


def test_a_folder_that_holds_a_run_is_refused(run):
    with pytest.raises(InputError, match="already holds a run"):
        create(run.path, PretrainConfig())


def test_a_folder_with_other_files_takes_a_run_and_keeps_them(tmp_path):
    (tmp_path / ".notes.txt").write_text("mine")
    assert create(tmp_path, PretrainConfig()).status().state == "pending"
    assert (tmp_path / ".notes.txt").read_text() == "mine"


def test_a_run_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(path, value):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(directory, "write_json", full)
    with pytest.raises(InputError, match="No space left"):
        create(tmp_path / "one", PretrainConfig())
    assert not (tmp_path / "one").exists()


def test_the_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to .*file"):
        create(tmp_path / "file" / "one", PretrainConfig())


def test_a_dead_process_reads_as_interrupted(run):
    as_running(run, **dead_process())
    status = run.status()
    assert status.state == "interrupted"
    assert not status.active
    assert "Resume" in status.message


def test_a_reused_pid_reads_as_interrupted(run):
    as_running(run, process_started=this_process()["process_started"] - 5.0)
    assert run.status().state == "interrupted"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems stamp a process once, at its start")
def test_setting_the_clock_does_not_interrupt_a_run(run, monkeypatch):
    as_running(run)
    boot = Path("/proc/stat").read_text().split("btime ")[1].split()[0]
    # What a step of the clock by an hour does to everything that is computed from the boot time:
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: float(boot) + 3600)
    monkeypatch.setattr("time.time", lambda now=time.time: now() + 3600)
    assert run.status().state == "running"


def test_a_process_elsewhere_is_judged_by_its_heartbeat(run):
    as_running(run, host="elsewhere", pid=1, process_started=1.0)
    assert run.status().state == "running"
    as_running(run, host="elsewhere", pid=2, process_started=1.0, updated=time.time() - 60)
    assert run.status().state == "interrupted"


def test_a_heartbeat_that_stops_elsewhere_goes_stale(run, monkeypatch):
    as_running(run, host="elsewhere", pid=3, process_started=1.0)
    assert run.status().state == "running"
    monkeypatch.setattr("time.monotonic", lambda now=time.monotonic: now() + 31)
    assert run.status().state == "interrupted"


def test_a_wrong_clock_elsewhere_does_not_interrupt_a_run_that_beats(run):
    an_hour_slow = time.time() - 3600
    as_running(run, host="elsewhere", pid=4, process_started=1.0, updated=an_hour_slow)
    run.status()
    as_running(run, host="elsewhere", pid=4, process_started=1.0, updated=an_hour_slow + 1)
    assert run.status().state == "running"


def test_stop_of_a_pending_run_needs_no_process(run):
    run.request_stop()
    assert run.status().state == "stopped"
    run.reset_for_resume()
    assert run.status().state == "pending"


def test_stop_of_a_running_run_reads_as_stopping(run):
    as_running(run)
    run.request_stop()
    assert run.status().state == "stopping"


def test_stop_of_an_ended_run_leaves_no_trace(run):
    run.write_status(replace(run.stored_status(), state="done"))
    run.request_stop()
    assert not run.file("STOP").exists()


@pytest.mark.parametrize("state", ["pending", "running", "done"])
def test_only_an_ended_run_resumes(run, state):
    as_running(run, state=state)
    with pytest.raises(InputError, match=f"is {state}; only"):
        run.reset_for_resume()


def test_resume_is_refused_while_a_process_holds_the_run(run, monkeypatch):
    monkeypatch.setattr(directory, "LOCK_SECONDS", 0.1)
    as_running(run, host="elsewhere", pid=5, process_started=1.0, updated=0.0)  # looks stale, and still works
    with run.lock().acquire(), pytest.raises(InputError, match="a process still works"):
        run.reset_for_resume()
    assert run.stored_status().state == "running"


@pytest.mark.parametrize("content", ["", "{", "null", "[]", '{"state": "elated"}', "\x00\x00\x00"])
def test_a_damaged_status_is_one_sentence(run, content):
    run.file("status.json").write_text(content)
    with pytest.raises(InputError, match=r"status\.json"):
        run.status()


def test_a_run_without_its_config_is_one_sentence(run):
    run.file("config.json").unlink()
    with pytest.raises(InputError, match=r"has no config\.json"):
        run.config()


def test_a_status_of_a_later_version_reads(run):
    run.file("status.json").write_text(json.dumps({"state": "done", "colour": "blue"}))
    assert run.status().state == "done"


def test_a_file_replaced_while_it_is_read_over_nfs_is_read_again(run, monkeypatch):
    failures = [OSError(errno.ESTALE, "Stale file handle")] * 2
    read = Path.read_text

    def stale_at_first(path, *args, **kwargs):
        if failures:
            raise failures.pop()
        return read(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", stale_at_first)
    assert run.status().state == "pending"


class TestMetrics:
    def rows(self, run, *lines):
        with run.file("metrics.jsonl").open("a") as file:
            file.writelines(lines)

    def test_no_rows_yet(self, run):
        assert run.metrics() == ([], 0)

    def test_a_half_written_line_waits(self, run):
        self.rows(run, '{"step": 0}\n', '{"step"')
        rows, offset = run.metrics()
        assert rows == [{"step": 0}]
        self.rows(run, ": 1}\n")
        assert run.metrics(offset)[0] == [{"step": 1}]

    def test_nothing_new_keeps_the_offset(self, run):
        self.rows(run, '{"step": 0}\n')
        _, offset = run.metrics()
        assert run.metrics(offset) == ([], offset)

    @pytest.mark.parametrize("after", ['{"step": 0}\n', '{"step": 0, "loss": 1.25}\n{"step": 1, "loss": 1.5}\n'])
    def test_an_offset_from_before_a_resume_reads_from_the_start(self, run, after):
        self.rows(run, '{"step": 0}\n{"step": 1}\n')
        _, offset = run.metrics()
        run.file("metrics.jsonl").write_text(after)  # shorter than the offset, and longer with other lines
        assert [row["step"] for row in run.metrics(offset)[0]] == list(range(after.count("\n")))

    def test_a_line_of_zero_bytes_is_a_gap(self, run):
        self.rows(run, '{"step": 0}\n', "\x00\x00\x00\n", '{"step": 2}\n')
        assert [row["step"] for row in run.metrics()[0]] == [0, 2]


def test_this_process_names_itself():
    identity = this_process()
    assert identity["pid"] == os.getpid()
    assert identity["host"] == socket.gethostname()


def test_one_version_of_a_file_is_kept_however_often_it_is_replaced(run):
    for step in range(5):
        run.write_status(replace(run.status(), step=step))
        assert run.status().step == step
    assert run.config() is run.config(), "not parsed again"
    assert len([path for path, _ in directory._parsed.held if path == run.path]) == 2  # config and status
