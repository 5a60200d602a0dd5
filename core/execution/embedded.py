"""The embedded cluster: a Dask scheduler and its workers as processes of their own on this machine.

They outlive the dashboard that started them and are found again through
``<runs>/.cluster/<host>/``, one cluster a host and runs folder, so that hosts which share the folder
do not take each other's loopback address for their own. After half an hour without work they end.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from typing import Any

import psutil
from filelock import FileLock, Timeout

from core.host.hardware import PROJECT, cpu_cores, cuda_devices, process_started, slots, still_runs
from core.io.errors import InputError
from core.io.files import write_json

START_SECONDS = 30.0
IDLE_TIMEOUT = "30 minutes"
DASK = {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",  # a run whose worker died is resumed by a person
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",  # it would sample a waiting thread all day
    # A laptop that slept must not lose its workers; one that dies on this machine closes its connection anyway.
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "None",
}
_children: list[subprocess.Popen[bytes]] = []  # kept, so that Python does not warn of processes left behind


@dataclass(frozen=True)
class Cluster:
    """A scheduler's address and the resources that its workers offer."""

    address: str
    resources: frozenset[str]


def ensure(root: Path) -> Cluster:
    """The living cluster of this folder on this host; starts what is missing of it."""
    home = _home(root)
    processes = _processes(home)
    if not _complete(home, processes):
        try:
            home.mkdir(parents=True, exist_ok=True)
            with _exclusive(home):  # two pages, one cluster
                processes = _start(home)
        except OSError as error:
            raise InputError(f"cluster: the job queue cannot start ({error}); check the rights and the space in "
                             f"{home}.") from error
    return Cluster(_address(home) or "", frozenset("GPU" if name.startswith("gpu") else "CPU" for name in processes
                                                   if name != "scheduler"))


def describe(root: Path) -> dict[str, bool]:
    """Name of each process of the cluster: whether it runs. Empty where none was started."""
    return {name: _lives(process) for name, process in _processes(_home(root)).items()}


def shut_down(root: Path, *, patience: float = 3.0) -> None:
    """End scheduler and workers. Their runs see it within a second and stop with a checkpoint."""
    home = _home(root)
    if not home.is_dir():
        return
    with _exclusive(home):
        for number in (signal.SIGTERM, signal.SIGKILL):
            living = []
            for process in _processes(home).values():
                with contextlib.suppress(psutil.NoSuchProcess):  # one may end by itself when the other does
                    if _lives(process):
                        living.append(psutil.Process(process["pid"]))
                        living[-1].send_signal(number)
            psutil.wait_procs(living, timeout=patience)
        (home / "scheduler.json").unlink(missing_ok=True)
        (home / "processes.json").unlink(missing_ok=True)


@contextlib.contextmanager
def _exclusive(home: Path) -> Iterator[None]:
    lock = FileLock(str(home / "lock"))
    try:
        lock.acquire(timeout=2 * START_SECONDS)
    except Timeout:
        raise InputError(f"cluster: another process has been starting or stopping the job queue in {home} for a "
                         "minute; end that process, then try again.") from None
    try:
        yield
    finally:
        lock.release()


def _home(root: Path) -> Path:
    return root.resolve() / ".cluster" / gethostname()


def _processes(home: Path) -> dict[str, dict[str, Any]]:
    try:
        return json.loads((home / "processes.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _lives(process: dict[str, Any] | None) -> bool:
    return process is not None and still_runs(process["pid"], process["started"])


def _address(home: Path) -> str | None:
    """Where the scheduler listens; None while it has not said so."""
    try:
        return str(json.loads((home / "scheduler.json").read_text())["address"])
    except (FileNotFoundError, json.JSONDecodeError):  # Dask does not write it in one go
        return None


def _complete(home: Path, processes: dict[str, dict[str, Any]]) -> bool:
    return len(processes) > 1 and all(map(_lives, processes.values())) and _address(home) is not None


def workers() -> dict[str, tuple[list[str], dict[str, str]]]:
    """Name of each worker: its options and its environment. One for the CPU, and one for each GPU."""
    count = slots(default=max(1, cpu_cores() // 2))
    workers = {"cpu": (["--nthreads", str(count), "--resources", f"CPU={count}"],
                       {"CUDA_VISIBLE_DEVICES": "", "AFTERIMAGE_SLOTS": str(count)})}
    gpus = cuda_devices()
    for index, device in enumerate(gpus):
        workers[f"gpu-{index}"] = (["--nthreads", "1", "--resources", "GPU=1"],
                                   {"CUDA_VISIBLE_DEVICES": device, "AFTERIMAGE_SLOTS": str(2 * len(gpus))})
    return workers


def _start(home: Path) -> dict[str, dict[str, Any]]:
    processes = _processes(home)
    file = str(home / "scheduler.json")
    if not _lives(processes.get("scheduler")):
        (home / "scheduler.json").unlink(missing_ok=True)
        processes = {"scheduler": _spawn(home, "scheduler", [
            "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--dashboard-address", "127.0.0.1:0", "--scheduler-file", file, "--idle-timeout", IDLE_TIMEOUT], {})}
        write_json(home / "processes.json", processes)
    for name, (options, environment) in workers().items():
        if not _lives(processes.get(name)):
            processes[name] = _spawn(home, name, [
                "distributed.cli.dask_worker", "--scheduler-file", file, "--host", "127.0.0.1", "--name", name,
                "--no-nanny", "--no-dashboard", "--dashboard-address", "127.0.0.1:0", "--memory-limit", "0",
                "--death-timeout", str(START_SECONDS), "--local-directory", str(home), *options], environment)
            write_json(home / "processes.json", processes)
    deadline = time.monotonic() + START_SECONDS
    while _address(home) is None:
        if not _lives(processes["scheduler"]) or time.monotonic() > deadline:
            last = (home / "scheduler.log").read_text(errors="replace").splitlines()[-1:] or ["it said nothing"]
            raise InputError(f"cluster: the job queue did not start ({last[0].strip()}); see {home / 'scheduler.log'}.")
        time.sleep(0.05)
    return processes


def _spawn(home: Path, name: str, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    with (home / f"{name}.log").open("wb") as log:
        child = subprocess.Popen([sys.executable, "-m", *arguments], cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=subprocess.STDOUT, start_new_session=True,
                                 env={**os.environ, **DASK, **environment})
    _children.append(child)
    return {"pid": child.pid, "started": process_started(child.pid)}
