"""The state of a run, as status.json holds it, and whether the process in it still lives."""

import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.host.hardware import process_started, still_runs
from core.io.errors import InputError

STATES = ("pending", "running", "stopping", "stopped", "failed", "interrupted", "done")
ACTIVE = ("pending", "running", "stopping")
STALE_SECONDS = 30.0  # a heartbeat older than this, on another host, means that its process is gone
_heartbeats: dict[tuple[Any, ...], tuple[float, float]] = {}  # of processes elsewhere: (heartbeat, when it moved)


@dataclass(frozen=True)
class Status:
    """A run's state. Times are Unix seconds; `seconds` is computing time over all attempts. `tunable` holds the
    knobs that may be changed now, with their present values. `load` is what `core.host.hardware.Meter` read last.

    `pid`, `process_started` (see `core.host.hardware.process_started`) and `host` name the process that runs it.
    """

    state: str = "pending"
    step: int = 0
    total: int = 0
    message: str = ""
    created: float = 0.0
    started: float | None = None
    updated: float = 0.0
    ended: float | None = None
    seconds: float = 0.0
    seconds_left: float | None = None
    pid: int | None = None
    process_started: float | None = None
    host: str = ""
    attempts: int = 0
    summary: dict[str, Any] = field(default_factory=dict)
    tunable: dict[str, float] = field(default_factory=dict)
    load: dict[str, float] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


def parse_status(values: dict[str, Any], path: Path) -> Status:
    """From the content of the status file `path`; raises `InputError` where that names no known state."""
    known = {name: values[name] for name in Status.__dataclass_fields__ if name in values}
    if known.get("state") not in STATES:
        raise InputError(f"run: {path} names no known state; restore the file or delete the run.")
    return Status(**known)


def process_alive(status: Status) -> bool:
    """Whether the process in `status` still runs; on another host its heartbeat decides."""
    if not status.host or status.host == socket.gethostname():
        return still_runs(status.pid, status.process_started)
    # Clocks of two hosts may differ by more than STALE_SECONDS: only the first look compares them, later ones ask
    # whether the heartbeat has moved since.
    key, now = (status.host, status.pid, status.process_started), time.monotonic()
    if key not in _heartbeats:
        fresh = abs(time.time() - status.updated) < STALE_SECONDS
        _heartbeats[key] = (status.updated, now if fresh else now - STALE_SECONDS)
    elif _heartbeats[key][0] != status.updated:
        _heartbeats[key] = (status.updated, now)
    return now - _heartbeats[key][1] < STALE_SECONDS


def this_process() -> dict[str, Any]:
    """The status fields that identify the process that runs a run."""
    return {"pid": os.getpid(), "process_started": process_started(os.getpid()), "host": socket.gethostname()}
