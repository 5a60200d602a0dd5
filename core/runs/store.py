"""All runs under one folder."""

import os
import secrets
import time
from pathlib import Path

from core.errors import InputError
from core.runs.config import RunConfig
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
        name = run_id or f"{config.kind}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        return create(self.root / name, config)

    def list(self, *, kind: str | None = None) -> list[Run]:
        """Whole runs, newest first. A directory without its config is left out: see `broken`."""
        runs = [Run(path.parent) for path in self.root.glob("*/config.json")]
        created = {run: run.file("config.json").stat().st_mtime for run in runs}
        chosen = [run for run in runs if kind is None or run.id.startswith(kind) or _kind(run) == kind]
        return sorted((run for run in chosen if self._readable(run)), key=created.__getitem__, reverse=True)

    def broken(self) -> dict[str, str]:
        """Directories that look like runs but cannot be read: name to the reason."""
        reasons = {}
        for path in sorted(self.root.glob("*/status.json")) + sorted(self.root.glob("*/config.json")):
            run = Run(path.parent)
            try:
                run.config(), run.status()
            except InputError as error:
                reasons[run.id] = str(error)
        return reasons

    def get(self, run_id: str) -> Run:
        """The run of that id; raises `InputError` where there is none."""
        path = self.root / run_id
        if not run_id or Path(run_id).name != run_id or not path.is_dir():
            raise InputError(f"run: there is no run {run_id!r} in {self.root}; `python -m core list` shows the ids.")
        return Run(path)

    def _readable(self, run: Run) -> bool:
        try:
            run.config(), run.status()
        except InputError:
            return False
        return True


def _kind(run: Run) -> str | None:
    try:
        return run.config().kind
    except InputError:
        return None
