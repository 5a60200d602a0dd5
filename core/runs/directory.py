"""The run directory: all that a page, the command line or another machine needs of a run.

    config.json         the frozen config, written once
    status.json         state, step, heartbeat; replaced atomically
    metrics.jsonl       one JSON object a line, appended and flushed
    snapshots/          STEP.png and STEP.safetensors: images as they form
    checkpoint.safetensors   optimiser state to resume from (metadata: JSON)
    result.safetensors  the outcome
    report.json         the outcome in numbers and words
    environment.json    versions, device, host
    log.txt             lines for people
    STOP                its presence asks the process to stop
"""

import json
import os
import socket
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from core.errors import InputError
from core.files import write_json
from core.runs.config import RunConfig, parse_config

STATES = ("pending", "running", "stopping", "stopped", "failed", "interrupted", "done")
ACTIVE = ("pending", "running", "stopping")
STALE_SECONDS = 30.0  # a heartbeat older than this, on another host, means that its process is gone


@dataclass(frozen=True)
class Status:
    """A run's state. Times are Unix seconds; `seconds` is computing time over all attempts."""

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

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


class Run:
    """A handle on one run directory. Reads never fail half-way: every file is whole or absent."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def id(self) -> str:
        return self.path.name

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def file(self, name: str) -> Path:
        return self.path / name

    def config(self) -> RunConfig:
        """The frozen config; raises `InputError` where it is missing or unreadable."""
        return parse_config(self._json("config.json", required=True))

    def status(self) -> Status:
        """The state as it is now: a dead process reads as *interrupted*, a STOP file as *stopping*."""
        values = self._json("status.json", required=True)
        known = {name: values[name] for name in Status.__dataclass_fields__ if name in values}
        status = Status(**known)
        if status.state == "running" and not process_alive(status):
            return replace(status, state="interrupted", message="The process of this run is gone. Resume continues "
                           "from its last checkpoint.", seconds_left=None)
        if self.file("STOP").exists():
            if status.state == "running":
                return replace(status, state="stopping")
            if status.state == "pending":  # no process yet: nothing to wait for
                return replace(status, state="stopped", message="Stopped before it began.")
        return status

    def write_status(self, status: Status) -> None:
        write_json(self.file("status.json"), asdict(status))

    def metrics(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Rows from byte `offset` on, and the offset for the next call. A half-written last line waits."""
        path = self.file("metrics.jsonl")
        if not path.exists():
            return [], offset
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        return [json.loads(line) for line in whole.splitlines() if line.strip()], offset + len(whole)

    def snapshots(self) -> list[tuple[int, Path]]:
        """(step, picture) of every snapshot, in order of step."""
        return sorted((int(path.stem), path) for path in self.file("snapshots").glob("*.png"))

    def report(self) -> dict[str, Any] | None:
        return self._json("report.json", required=False)

    def environment(self) -> dict[str, Any] | None:
        return self._json("environment.json", required=False)

    def log_tail(self, lines: int = 200) -> str:
        path = self.file("log.txt")
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def request_stop(self) -> None:
        """Ask the run to stop at its next step; it checkpoints first. Harmless when it has ended."""
        if self.status().active:
            self.file("STOP").touch()

    def reset_for_resume(self) -> None:
        """Make a stopped, failed or interrupted run *pending* again; its checkpoint stays."""
        status = self.status()
        if status.state not in ("stopped", "failed", "interrupted"):
            raise InputError(f"run: {self.id} is {status.state}; only a stopped, failed or interrupted run resumes.")
        self.file("STOP").unlink(missing_ok=True)
        self.write_status(replace(status, state="pending", message="", ended=None, pid=None, process_started=None))

    def _json(self, name: str, *, required: bool) -> Any:
        try:
            return json.loads(self.file(name).read_text())
        except FileNotFoundError:
            if not required:
                return None
            raise InputError(f"run: {self.path} has no {name}; it is not a complete run directory. Delete it or "
                             "restore the file.") from None
        except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
            raise InputError(f"run: {self.file(name)} cannot be read ({error}); restore the file or delete the "
                             "run.") from error


def process_alive(status: Status) -> bool:
    """Whether the process in `status` still runs; on another host its heartbeat decides."""
    if status.host and status.host != socket.gethostname():
        return time.time() - status.updated < STALE_SECONDS
    try:
        process = psutil.Process(status.pid or -1)
        return (abs(process.create_time() - (status.process_started or 0)) < 1.0  # a pid can be reused
                and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError):
        return False


def create(path: Path, config: RunConfig) -> Run:
    """Make a run directory with its config, *pending*. The folder may exist but holds no run yet."""
    if any((path / name).exists() for name in ("config.json", "result.safetensors", "report.json",
                                               "reconstruction.safetensors")):
        raise InputError(f"out: {path} already holds a run; name another folder or delete it first.")
    try:
        (path / "snapshots").mkdir(parents=True, exist_ok=True)
        run = Run(path)
        run.write_status(Status(created=time.time(), updated=time.time()))
        write_json(path / "config.json", config.model_dump(mode="json"))  # last: a run is there once its config is
    except OSError as error:
        raise InputError(f"out: cannot write to {path} ({error.strerror or error}); name another folder.") from error
    return run


def this_process() -> dict[str, Any]:
    """The status fields that identify the process that runs a run."""
    return {"pid": os.getpid(), "process_started": psutil.Process().create_time(), "host": socket.gethostname()}
