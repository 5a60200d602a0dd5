"""Changing an attack's knobs while it runs: a page or the command line asks, the run's own process makes the change.

A request is a small file in ``requests/``; the process takes it up at its next step and writes to ``changes.json`` what
it changed at which step. That file outlives stops and kills: a resumed run makes the same changes at the same steps.
"""

import json
import secrets
import time
from pathlib import Path
from typing import Any

from core.config.knob_change import Change
from core.config.tunable import check_value
from core.io.errors import InputError
from core.io.files import write_json
from core.runs.directory import Run

POLL_SECONDS = 0.2


def request(run: Run, values: dict[str, Any]) -> Path:
    """Ask a running run for other values of its knobs, all from the same step on; raises `InputError`.

    The file that is given back is gone once the run has taken it up.
    """
    status = run.status()
    if status.state != "running":
        raise InputError(f"run: {run.id} is {status.state}; knobs can be changed only while it runs.")
    if not values:
        raise InputError("set: no knob has another value; give at least one.")
    checked = {name: _checked(run, status.tunable, name, value) for name, value in values.items()}
    path = run.file("requests") / f"{time.time_ns():020d}-{secrets.token_hex(4)}.json"
    try:
        path.parent.mkdir(exist_ok=True)
        write_json(path, checked)
    except OSError as error:
        raise InputError(f"run: cannot ask {run.id} for a change ({error.strerror or error}); check the rights and the "
                         f"space in {run.path}.") from error
    return path


def _checked(run: Run, tunable: dict[str, float], name: str, value: Any) -> float:
    if not tunable:
        raise InputError(f"{name}: {run.id} has no knobs to change now; only a search by ntk or kkt has, once it has "
                         "begun, and none that belongs to an experiment or a search.")
    if name not in tunable:
        raise InputError(f"{name}: this run cannot change it while it runs; it can change {', '.join(tunable)}.")
    return check_value(type(run.config()), name, value)


class Inbox:
    """The process's side of it: what people asked for, as changes with the step at which they were made."""

    def __init__(self, run: Run) -> None:
        self._run, self._folder = run, run.file("requests")
        self._looked = float("-inf")
        self.made = run.live_changes()  # of earlier attempts

    def poll(self, step: int, tunable: dict[str, float]) -> list[str]:
        """Take up what is there, from `step` on; sentences for the log. Cheap: looks every `POLL_SECONDS` only."""
        now = time.monotonic()
        if now - self._looked < POLL_SECONDS:
            return []
        self._looked = now
        said = []
        for path in self._paths():
            try:
                values = json.loads(path.read_text())
                new = [Change(step=step, knob=name, value=_checked(self._run, tunable, name, value))
                       for name, value in values.items()]
            except (InputError, ValueError, OSError, AttributeError) as error:  # whatever somebody put there
                said.append(f"A change was refused: {' '.join(str(error).split())}")
            else:
                self.made = [*self.made, *new]
                write_json(self._run.file("changes.json"), [change.model_dump() for change in self.made])
                said += [f"From step {step:,} on: {change.knob} = {change.value:g}." for change in new]
            path.unlink(missing_ok=True)  # last: after a kill in between it is made twice, and means the same
        return said

    def close(self) -> list[str]:
        """At the end of a run, drop what came too late."""
        late = self._paths()
        for path in late:
            path.unlink(missing_ok=True)
        return [f"{len(late)} changes came too late and were not made."] if late else []

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("[!.]*.json"))
