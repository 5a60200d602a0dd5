"""What a Dask worker does with a run: start its process, watch it, stop it, and say how it ended.

The worker's interpreter loads no torch and opens no CUDA; the child does, in a session of its own, so that
its end frees the memory and a signal reaches all that it started.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from filelock import Timeout

from core.execution.queue_entry import leave_queue
from core.host.hardware import PROJECT, cpu_cores, slots
from core.runs.directory import LOCK_SECONDS, Run

STOP_GRACE = 30.0  # seconds from the STOP file to SIGTERM: an engine looks for STOP once a step
TERM_GRACE = 10.0  # and from there to SIGKILL
POLL_SECONDS = 0.2
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)


def supervise(path: str, key: str, *, threads: int | None = None, stop_grace: float = STOP_GRACE,
              term_grace: float = TERM_GRACE) -> str:
    """Execute the *pending* run at `path` in a child process and wait for its end; returns the run's state.

    A run that is not pending any more is left alone, so that a task that Dask places twice runs once. `threads`
    are those of the child; None gives it its share of the cores.
    """
    run = Run(path)
    try:
        if run.status().state == "pending":
            try:
                with _child(run, threads or max(1, cpu_cores() // slots())) as child:
                    killed = _wait(run, child, stop_grace=stop_grace, term_grace=term_grace)
            except OSError as error:  # no memory for a process, no space for its log
                settle(run, "failed", f"The process could not be started ({error}).")
                raise
            settle(run, *_ending(run, child.returncode, killed=killed))
    finally:
        leave_queue(run, key)
    return run.status().state


def command(run: Run) -> list[str]:
    """What executes a run."""
    return [sys.executable, "-m", "core", "run", str(run.path)]


@contextlib.contextmanager
def _child(run: Run, count: int) -> Iterator[subprocess.Popen[bytes]]:
    threads = str(count)
    environment = {**os.environ, "AFTERIMAGE_SUPERVISOR": str(os.getpid()), "AFTERIMAGE_SLOTS": str(slots()),
                   "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads,
                   "PYTHONUNBUFFERED": "1"}
    with run.file("log.txt").open("ab") as log:
        child = subprocess.Popen(command(run), cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield child
    finally:
        _signal(child, signal.SIGKILL)  # whatever is left of the group; the child itself has ended, unless we failed
        child.wait()


def _wait(run: Run, child: subprocess.Popen[bytes], *, stop_grace: float, term_grace: float) -> bool:
    """Until the child ends: STOP file, then SIGTERM, then SIGKILL. Returns whether it had to be killed."""
    asked: float | None = None
    terminated = killed = False
    while child.poll() is None:
        time.sleep(POLL_SECONDS)
        if asked is None and run.file("STOP").exists():
            asked = time.monotonic()
        waited = time.monotonic() - asked if asked is not None else 0.0
        if waited > stop_grace and not terminated:
            terminated = _signal(child, signal.SIGTERM)
        if waited > stop_grace + term_grace and not killed:
            killed = _signal(child, signal.SIGKILL)
    return killed


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)  # macOS answers EPERM for a group of zombies
    return True


def settle(run: Run, state: str, message: str) -> None:
    """Write the end of a run whose process left without writing one; every other run stays as it is."""
    try:
        with run.lock().acquire(timeout=LOCK_SECONDS):
            status = run.stored_status()
            if status.state == "running" or run.status().state == "pending":
                run.write_status(replace(status, state=state, message=message, ended=time.time(), seconds_left=None))
    except Timeout:
        return  # somebody else executes this run, and will end it


def _ending(run: Run, returncode: int, *, killed: bool) -> tuple[str, str]:
    if killed:
        return "stopped", ("It did not stop in time and was killed. Resume continues from its last checkpoint.")
    if returncode >= 0:
        last = run.log_tail(1) or "nothing in log.txt"
        return "failed", f"The process ended with exit code {returncode}: {last.removeprefix('afterimage: ')}"
    name = signal.Signals(-returncode).name
    if -returncode in CRASHES:
        return "failed", f"The process crashed ({name}); see log.txt."
    cause = " (the machine may have run out of memory)" if -returncode == signal.SIGKILL else ""
    return "interrupted", f"The process was ended by {name}{cause}. Resume continues from its last checkpoint."
