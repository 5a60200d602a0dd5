"""The run directory: all that a page, the command line or another machine needs of a run.

    config.json         the frozen config, written once
    status.json         state, step, heartbeat; replaced atomically
    metrics.jsonl       one JSON object a line, appended and flushed
    changes.json        knobs that were changed while it ran, with the steps; replaced atomically
    requests/           changes that people ask for (see core.runs.tuning)
    snapshots/          STEP.png and STEP.safetensors: images as they form
    gates.safetensors   which neurons switched lately (see core.config.monitor); replaced atomically
    checkpoint.safetensors   optimiser state to resume from (metadata: JSON)
    result.safetensors  the outcome
    report.json         the outcome in numbers and words
    environment.json    versions, device, host
    log.txt             lines for people, and what the process printed
    job.json            there while a job for this run is queued or running (see core.execution.queue)
    STOP                its presence asks the process to stop
    .lock               held by the one process that may change the files above
"""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from filelock import FileLock, Timeout

try:
    from orjson import loads  # a long metrics.jsonl is read five times faster
except ImportError:  # a machine that only executes runs may lack it
    from json import loads  # type: ignore[assignment]  # it takes more than what is used of both

from core.config.knob import RunConfig
from core.config.knob_change import Change
from core.io.errors import InputError
from core.io.files import write_json
from core.runs.kinds import parse_config
from core.runs.replaced_files import Newest, read_text, stamp
from core.runs.reports.read import MODELS, Kind, Row, as_rows, read_report
from core.runs.reports.stored import Report
from core.runs.status import Status, parse_status, process_alive

LOCK_SECONDS = 2.0    # others hold a run's lock for moments only, unless they execute it
MOST_KEPT = 20_000         # parsed files in memory, a few kB each
MOST_REPORTS = 500         # parsed reports in memory, three times as large as their files
MOST_KEPT_BYTES = 1 << 16  # a longer report is parsed each time
Parsed = TypeVar("Parsed")
MetricsRow = dict[str, Any]  # one line of metrics.jsonl; which columns it has depends on the kind of run


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
        return self._kept("config.json", _parse_config)

    def lock(self) -> FileLock:
        """The lock of the process that executes or changes this run; the kernel frees it at any death."""
        return FileLock(str(self.file(".lock")))

    def stored_status(self) -> Status:
        """status.json as it is written, whether or not its process still lives."""
        return self._kept("status.json", _read_status)

    def status(self) -> Status:
        """The state as it is now: a dead process reads as *interrupted*, a STOP file as *stopping*."""
        status = self.stored_status()
        if status.state == "running" and not process_alive(status):
            return replace(status, state="interrupted", message="The process of this run is gone. Resume continues "
                           "from its last checkpoint.", seconds_left=None)
        if status.state in ("running", "pending") and self.file("STOP").exists():
            if status.state == "running":
                return replace(status, state="stopping")
            return replace(status, state="stopped", message="Stopped before it began.")  # nothing to wait for
        return status

    def write_status(self, status: Status) -> None:
        write_json(self.file("status.json"), asdict(status))

    def metrics(self, offset: int = 0, *, most: int = -1) -> tuple[list[MetricsRow], int]:
        """Rows from byte `offset` on, of about `most` bytes (-1: all), and the offset for the next call. A
        half-written last line waits.

        Resume cuts the file back to its checkpoint: a caller that keeps rows keeps them for one
        `Status.attempts` only. An offset from before the cut reads from the start.
        """
        path = self.file("metrics.jsonl")
        if not path.exists():
            return [], 0
        with path.open("rb") as file:
            file.seek(max(0, offset - 1))
            if offset and file.read(1) != b"\n":  # beyond the end, or inside a line
                offset = 0
                file.seek(0)
            content = file.read(most) + (file.readline() if most > 0 else b"")
        whole = content[: content.rfind(b"\n") + 1]
        return [row for line in whole.splitlines() if (row := _row(line)) is not None], offset + len(whole)

    def table(self, model: type[Row]) -> list[Row]:
        """The rows of metrics.jsonl, of a run whose rows are a table: an experiment or a search."""
        return as_rows(model, self.metrics()[0], self.file("metrics.jsonl"))

    def live_changes(self) -> list[Change]:
        """Knobs that people changed while the run went on, in order of step."""
        path = self.file("changes.json")
        try:
            return [Change(**row) for row in json.loads(read_text(path))]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError) as error:
            raise InputError(f"run: {path} cannot be read; restore or delete it.") from error

    def changes(self) -> list[Change]:
        """All changes in the middle of this run, those that its config plans and those made by people."""
        planned = getattr(self.config(), "changes", None) or []
        return sorted([*planned, *self.live_changes()], key=lambda change: change.step)

    def snapshots(self) -> list[tuple[int, Path]]:
        """(step, picture) of every snapshot, in order of step."""
        return sorted((int(path.stem), path) for path in self.file("snapshots").glob("*.png"))

    def report(self, model: type[Kind] = Report) -> Kind | None:  # type: ignore[assignment]
        """report.json as the model of the run's kind; None where there is none, and where the kind is not that of
        `model`. Raises `InputError` where it is damaged."""
        if not issubclass(MODELS[self.config().kind], model):
            return None
        path = self.file("report.json")
        try:
            stat = path.stat()
            if stat.st_size > MOST_KEPT_BYTES:
                return cast(Kind, _parse_report(self))
            return cast(Kind, _reports.get((self.path, _parse_report), stamp(stat), lambda: _parse_report(self)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (UnicodeDecodeError, OSError) as error:
            raise InputError(f"run: {path} cannot be read ({error}); restore the file or delete the run.") from error

    def outcome(self, model: type[Kind] = Report) -> Kind | None:  # type: ignore[assignment]
        """The report, unless the run is active again: what a stopped attempt left is not the outcome."""
        return None if self.status().active else self.report(model)

    def environment(self) -> dict[str, Any] | None:
        return self._json("environment.json", required=False)

    def log_tail(self, lines: int = 200) -> str:
        path = self.file("log.txt")
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def request_stop(self) -> None:
        """Ask the run to stop at its next step; it checkpoints first. Harmless when it has ended."""
        if self.status().active:
            try:
                self.file("STOP").touch()
            except OSError as error:
                raise InputError(f"run: cannot ask {self.id} to stop ({error.strerror or error}); check the rights and "
                                 f"the space in {self.path}.") from error

    def reset_for_resume(self) -> None:
        """Make a stopped, failed or interrupted run *pending* again; its checkpoint stays."""
        try:
            # A process whose heartbeat only seems stale (another host, a hung disk) still holds the lock.
            with self.lock().acquire(timeout=LOCK_SECONDS):
                status = self.status()
                if status.state not in ("stopped", "failed", "interrupted"):
                    raise InputError(f"run: {self.id} is {status.state}; only a stopped, failed or interrupted run "
                                     "resumes.")
                self.write_status(replace(status, state="pending", message="", ended=None, pid=None,
                                          process_started=None, seconds_left=None))
                self.file("STOP").unlink(missing_ok=True)  # last: a kill in between reads as stopped, as before
        except Timeout:
            raise InputError(f"run: a process still works on {self.id}; wait for its end, or stop it first.") from None

    def _kept(self, name: str, parse: Callable[["Run"], Parsed]) -> Parsed:
        """What `parse` makes of a required file, kept until the file is another one: pages list hundreds of runs at
        every refresh."""
        try:
            stat = self.file(name).stat()
        except OSError:
            return parse(self)  # says what is wrong
        return _parsed.get((self.path, parse), stamp(stat), lambda: parse(self))

    def _json(self, name: str, *, required: bool) -> dict[str, Any] | None:
        try:
            value = json.loads(read_text(self.file(name)))
        except (FileNotFoundError, NotADirectoryError):
            if not required:
                return None
            raise InputError(f"run: {self.path} has no {name}; it is not a complete run directory. Delete it or "
                             "restore the file.") from None
        except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
            raise InputError(f"run: {self.file(name)} cannot be read ({error}); restore the file or delete the "
                             "run.") from error
        if not isinstance(value, dict):
            raise InputError(f"run: {self.file(name)} holds no JSON object; restore the file or delete the run.")
        return value


_parsed = Newest(MOST_KEPT)
_reports = Newest(MOST_REPORTS)


def _parse_config(run: Run) -> RunConfig:
    return parse_config(run._json("config.json", required=True))


def _parse_report(run: Run) -> Report:
    path = run.file("report.json")
    return read_report(MODELS[run.config().kind], read_text(path), path)


def _read_status(run: Run) -> Status:
    return parse_status(run._json("status.json", required=True), run.file("status.json"))


def _row(line: bytes) -> MetricsRow | None:
    try:
        return loads(line)
    except ValueError:
        return None  # a power cut can leave a line of zero bytes: a gap in a curve, not a lost page


def create(path: Path, config: RunConfig) -> Run:
    """Make a run directory with its config, *pending*. The folder may exist but holds no run yet."""
    if any((path / name).exists() for name in ("config.json", "status.json", "metrics.jsonl", "result.safetensors",
                                               "report.json", "reconstruction.safetensors")):
        raise InputError(f"out: {path} already holds a run; name another folder or delete it first.")
    # A new folder appears whole or not at all: nobody sees a run without its config, and two processes that take
    # the same name cannot both win.
    folder = path if path.exists() else path.with_name(f".new-{path.name}-{secrets.token_hex(4)}")
    try:
        (folder / "snapshots").mkdir(parents=True, exist_ok=True)
        run = Run(folder)
        run.write_status(Status(created=time.time(), updated=time.time()))
        write_json(folder / "config.json", config.model_dump(mode="json"))
        if folder != path:
            folder.rename(path)
    except OSError as error:
        raise InputError(f"out: cannot write to {path} ({error.strerror or error}); name another folder.") from error
    return Run(path)
