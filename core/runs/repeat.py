"""The command line that repeats a run."""

import shlex

from core.runs.directory import Run


def repeat_command(run: Run) -> str:
    """An attack needs a folder of its own to write to, and the changes that people made while it ran."""
    kind = run.config().kind
    out = " --out attack-again" if kind == "attack" else ""
    changes = f" --changes {','.join(map(str, run.changes()))}" if run.live_changes() else ""
    return f"python -m core {kind} --config {shlex.quote(str(run.file('config.json')))}{changes}{out}"
