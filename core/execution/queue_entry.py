"""job.json: a run's entry in the queue. It is there while a job for the run waits or runs, and says under which key.

The entries in the runs folder are the queue: if the cluster dies, `core.execution.queue.recover` places the waiting
ones again.
"""

import json
import secrets
import time
from pathlib import Path

from filelock import Timeout

from core.io.errors import InputError
from core.io.files import write_json
from core.runs.directory import LOCK_SECONDS, Run


def enter_queue(run: Run) -> str:
    """Write the entry of a *pending* run; returns its key."""
    key = f"{run.id}-{secrets.token_hex(4)}"  # new for each attempt: Dask takes equal keys for equal tasks
    try:
        with run.lock().acquire(timeout=LOCK_SECONDS):
            state = run.status().state
            if state != "pending":
                raise InputError(f"run: {run.id} is {state}, not pending; resume it instead.")
            write_json(run.file("job.json"), {"key": key, "submitted": time.time()})
    except Timeout:
        raise InputError(f"run: {run.id} is already running in another process.") from None
    return key


def entry_key(run: Run) -> str | None:
    """The key of the run's entry, None where it has none."""
    try:
        return str(json.loads(run.file("job.json").read_text())["key"])
    except FileNotFoundError:
        return None


def leave_queue(run: Run, key: str) -> None:
    """Remove the entry if it is still the one of `key`."""
    if entry_key(run) == key:
        run.file("job.json").unlink(missing_ok=True)


def waiting(root: Path) -> list[tuple[Run, str]]:
    """Runs that wait in the queue, longest first, with their keys. Entries of ended runs are cleared away."""
    found = []
    for path in root.glob("*/job.json"):
        run = Run(path.parent)
        try:
            run.config()
            state, key = run.status().state, entry_key(run)
        except (InputError, KeyError, ValueError):
            continue  # a broken run: the store names it
        if key is None:
            continue
        if state == "pending":
            found.append((path.stat().st_mtime, run, key))
        elif state not in ("running", "stopping"):
            leave_queue(run, key)
    return [(run, key) for _, run, key in sorted(found, key=lambda item: (item[0], item[1].id))]
