"""All runs under one folder."""

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from core.config.knob import RunConfig
from core.io.errors import InputError
from core.runs.directory import Run, create


def default_root() -> Path:
    """Where runs live: ``$AFTERIMAGE_RUNS``, else ``runs`` beside ``core``."""
    return Path(os.environ.get("AFTERIMAGE_RUNS") or Path(__file__).parents[2] / "runs")


class RunStore:
    """Creates, lists and finds runs. Holds no state: the folder is the truth."""

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root) if root is not None else default_root()

    def create(self, config: RunConfig, *, run_id: str | None = None) -> Run:
        """A new *pending* run; its id sorts by time."""
        name = run_id or f"{config.kind}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        if not _is_id(name):
            raise InputError(f"run: {name!r} cannot name a run; use letters, digits, - and _.")
        return create(self.root / name, config)

    def list(self, *, kind: str | None = None) -> list[Run]:
        """Whole runs, newest first. A directory without its config is left out: see `broken`."""
        created = {}
        for run in self._folders():
            try:
                config = run.config()
                if kind in (None, config.kind):
                    created[run] = run.status().created
            except InputError:
                continue  # `broken` tells
        return sorted(created, key=created.__getitem__, reverse=True)

    def broken(self) -> dict[str, str]:
        """Directories that look like runs but cannot be read: name to the reason."""
        reasons = {}
        for run in self._folders():
            try:
                run.config(), run.status()
            except InputError as error:
                reasons[run.id] = str(error)
        return reasons

    def get(self, run_id: str) -> Run:
        """The run of that id; raises `InputError` where there is none."""
        path = self.root / run_id
        if not _is_id(run_id) or not path.is_dir():
            raise InputError(f"run: there is no run {run_id!r} in {self.root}; `python -m core list` shows the ids.")
        return Run(path)

    def _folders(self) -> Iterator[Run]:
        """Every folder that is or was a run; hidden ones are the cluster's, or a run that is being made."""
        if not self.root.is_dir():
            return
        for path in sorted(self.root.iterdir()):
            if not path.name.startswith(".") and path.is_dir() and any(path.iterdir()):
                yield Run(path)


def _is_id(name: str) -> bool:
    return bool(name) and Path(name).name == name and not name.startswith(".")


def referred(run: Run, field: str) -> Run | None:
    """The run that a config field names (``base``, ``finetune``) or in whose folder the file is that it names
    (``checkpoint``); None for any other file and for a deleted run."""
    value = getattr(run.config(), field, "") or ""
    try:
        found = Run(Path(value).parent) if Path(value).is_file() else RunStore(run.path.parent).get(value)
        found.config()
        return found
    except InputError:
        return None


def origin(attack: Run) -> Run | None:
    """The run that made the network which an attack starts from: the base of its victim, or its checkpoint."""
    victim = referred(attack, "finetune")
    return referred(victim, "base") if victim else referred(attack, "checkpoint")
