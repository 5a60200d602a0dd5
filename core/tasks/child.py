"""The runs that an experiment or a search makes beside itself, found again by their ids."""

from dataclasses import replace

from core.config.knob import RunConfig
from core.io.errors import InputError
from core.runs.directory import Run
from core.runs.store import RunStore


def child_run(parent: Run, run_id: str, config: RunConfig) -> Run:
    """The run of that id, made where it is missing; raises `InputError` where it is another run's."""
    child = Run(parent.path.parent / run_id)
    if not child.path.exists():
        RunStore(parent.path.parent).create(config, run_id=run_id)
    elif child.config() != config:
        raise InputError(f"run: {run_id} exists already and is another run; rename or delete it.")
    status, kind = child.stored_status(), parent.config().kind
    if status.state == "pending" and kind not in status.summary:  # by this, lists know whose child it is
        child.write_status(replace(status, summary={kind: parent.id}))
    return child
