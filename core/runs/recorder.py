"""The monitor that writes a run directory; used by the one process that executes the run."""

import contextlib
import errno
import json
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Literal, Self

import torch
from filelock import Timeout
from safetensors import SafetensorError, safe_open

from core.config.knob_change import Change
from core.host.hardware import Meter
from core.io.errors import InputError
from core.io.files import finite, remove_leftovers, write_atomic, write_tensors
from core.io.images import grid_png
from core.runs.directory import LOCK_SECONDS, Run
from core.runs.status import this_process
from core.runs.tuning import Inbox

HEARTBEAT_SECONDS = 1.0
MOST_RESTART_IMAGES = 160  # of one snapshot: all restarts together
MOST_GATE_ROWS = 40        # samples: as many as a picture of gates shows


class Recorder:
    """Context manager and `core.config.monitor.Monitor`: holds the lock, beats, records, ends the run.

    Leaving the context sets the final state: *done*, *stopped* (somebody asked), *interrupted* (see
    `ask_to_stop`), or *failed* with one sentence (`InputError`) or the exception's last line; the
    traceback goes to log.txt.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._lock = run.lock()
        self._mutex = threading.Lock()  # engine and heartbeat both replace _status
        self._ended = threading.Event()
        self._step_seconds: deque[float] = deque(maxlen=200)
        self._last_step: tuple[int, float] | None = None
        self._end_state, self._end_message = "stopped", ""
        self._meter = Meter()
        config = run.config()  # an attack ends at its time limit; a search gives that to each of its trials
        self._limit: float | None = getattr(config, "max_seconds", None) if config.kind == "attack" else None
        self.stop_seen = False

    def __enter__(self) -> Self:
        try:
            self._lock.acquire(timeout=LOCK_SECONDS)
        except Timeout:
            raise InputError(f"run: {self.run.id} is already running in another process.") from None
        try:
            status = self.run.status()
            if status.state != "pending":
                raise InputError(f"run: {self.run.id} is {status.state}, not pending; resume it instead.")
            try:
                self._tidy()
                self._inbox = Inbox(self.run)
            except InputError as error:
                self.run.write_status(replace(status, state="failed", message=str(error), ended=time.time()))
                raise
            self._before, self._began = status.seconds, time.monotonic()
            now = time.time()
            self._status = replace(status, state="running", started=status.started or now, updated=now, message="",
                                   tunable={}, attempts=status.attempts + 1, **this_process())
            self.run.write_status(self._status)
        except BaseException:
            self._lock.release()
            raise
        self._heart = threading.Thread(target=self._beat, daemon=True, name="heartbeat")
        self._heart.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> Literal[False]:
        self._ended.set()
        self._heart.join()
        state, message = (self._end_state, self._end_message) if self.stop_seen else ("done", "")
        try:
            if error is not None:
                state = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
                message = describe_failure(error)
                with contextlib.suppress(OSError):  # a full disk: the state still says why, if it fits
                    self.log("".join(traceback.format_exception(kind, error, trace)))
            self._write(state=state, message=message, ended=time.time(), seconds_left=None, tunable={})
            for sentence in self._inbox.close():
                self.log(sentence)
            self.run.file("STOP").unlink(missing_ok=True)
        finally:
            self._lock.release()
        return False

    def ask_to_stop(self, message: str, *, state: str = "stopped") -> None:
        """From a signal handler or another thread: make `should_stop` true.

        `state` is *stopped* where a person asked, *interrupted* where the machine did (walltime, lost supervisor).
        """
        self._end_state, self._end_message = state, message
        self.stop_seen = True

    # What the engine tells

    def progress(self, step: int, total: int) -> None:
        now = time.monotonic()  # the wall clock may be set while a run lasts
        if self._last_step is not None and step > self._last_step[0]:
            self._step_seconds.append((now - self._last_step[1]) / (step - self._last_step[0]))
        self._last_step = (step, now)
        left = median(self._step_seconds) * (total - step) if self._step_seconds else None
        if left is not None and self._limit is not None:
            left = min(left, max(0.0, self._limit - (now - self._began)))
        with self._mutex:
            self._status = replace(self._status, step=step, total=total, seconds_left=left)

    def record(self, step: int, **values: Any) -> None:
        row = {"step": step, "seconds": round(self._seconds(), 3), **values}
        line = json.dumps(finite(row), allow_nan=False) + "\n"
        with self.run.file("metrics.jsonl").open("a") as file:
            file.write(line)

    def summary(self, **values: Any) -> None:
        """Facts for lists and cards; kept in status.json."""
        with self._mutex:
            self._status = replace(self._status, summary={**self._status.summary, **finite(values)})

    def snapshot(self, step: int, images: torch.Tensor, *, restarts: torch.Tensor | None = None,
                 numbers: Sequence[int] = ()) -> None:
        folder = self.run.file("snapshots")
        if restarts is not None:  # before the leader's picture, by which pages find a snapshot
            shown = restarts[:, :max(1, MOST_RESTART_IMAGES // len(restarts))]
            (folder / "restarts").mkdir(exist_ok=True)
            write_atomic(folder / "restarts" / f"{step:08d}.png", grid_png(
                shown.flatten(0, 1), columns=shown.shape[1], cell=0, names=[str(number) for number in numbers]))
        write_tensors(folder / f"{step:08d}.safetensors", {"x": images.float()})
        write_atomic(folder / f"{step:08d}.png", grid_png(images))

    def gates(self, step: int, switched: dict[str, torch.Tensor]) -> None:
        write_tensors(self.run.file("gates.safetensors"), {"step": torch.tensor(step)} | {
            f"switched.{layer}": pairs[:MOST_GATE_ROWS].to(torch.uint8) for layer, pairs in switched.items()})

    def save_checkpoint(self, tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> None:
        write_tensors(self.run.file("checkpoint.safetensors"), tensors, {"meta": json.dumps(meta)})

    def log(self, message: str) -> None:
        with self.run.file("log.txt").open("a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message.rstrip()}\n")

    def offer(self, knobs: dict[str, float]) -> None:
        """Not of a point of an experiment or a trial of a search: these stay what their table says."""
        if not {"experiment", "search"} & self._status.summary.keys():
            with self._mutex:
                self._status = replace(self._status, tunable=dict(knobs))
            self._write()  # at once: people see what they changed

    # What the engine asks

    def changes(self, step: int) -> Sequence[Change]:
        for sentence in self._inbox.poll(step, self._status.tunable):
            self.log(sentence)
        return self._inbox.made

    def should_stop(self) -> bool:
        self.stop_seen = self.stop_seen or self.run.file("STOP").exists()
        return self.stop_seen

    def load_checkpoint(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        path = self.run.file("checkpoint.safetensors")
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["meta"])
        except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
            raise InputError(f"run: the checkpoint {path} cannot be read ({error}); delete it to start this run "
                             "over.") from error

    # Inside

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._began

    def _write(self, **changes: Any) -> None:
        load = self._meter.read()
        with self._mutex:
            status = replace(self._status, updated=time.time(), seconds=self._seconds(), load=load, **changes)
            self._status = status
        self.run.write_status(status)  # outside: a slow disk must not hold up the engine's next step

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                self._write()
            except OSError:
                continue  # a full disk: the engine's own next write raises and ends the run; the old status stays

    def _tidy(self) -> None:
        """Before an attempt: drop what a kill left half-written, and rows after the checkpoint it continues from."""
        remove_leftovers(self.run.path)
        remove_leftovers(self.run.file("snapshots"))
        rows, _ = self.run.metrics()
        checkpoint = self.load_checkpoint()
        last = checkpoint[1]["step"] if checkpoint else -1
        kept = [row for row in rows if row["step"] <= last]
        if self.run.file("metrics.jsonl").exists():
            write_atomic(self.run.file("metrics.jsonl"), "".join(json.dumps(row) + "\n" for row in kept).encode())
        for step, picture in self.run.snapshots():
            if step > last:
                picture.unlink()
                picture.with_suffix(".safetensors").unlink(missing_ok=True)
                (picture.parent / "restarts" / picture.name).unlink(missing_ok=True)


def describe_failure(error: BaseException) -> str:
    """One sentence for people."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "The disk is full: free some space, then resume this run."
    if isinstance(error, KeyboardInterrupt):
        return "Stopped from the keyboard."
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'} (see log.txt)"
