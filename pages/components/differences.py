"""The knobs in which runs of one kind differ, in words."""

from collections.abc import Sequence
from typing import Any

from core.plots.compare import config_difference
from core.plots.titles import title
from core.runs.directory import Run
from core.runs.store import referred
from pages.components.knobs import knobs, typed


def differences(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Label of each such knob, with what it is in each run."""
    configs = [run.config() for run in runs]
    labels = {knob.name: knob.label for knob in knobs(configs[0].kind)}
    return [(labels.get(field, field), [_shown(run, field, value) for run, value in zip(runs, values, strict=True)])
            for field, values in config_difference(configs).items()]


def _shown(run: Run, field: str, value: Any) -> str:
    found = referred(run, field) if field in ("base", "finetune") else None
    return f"{title(found.config())} ({found.id.rsplit('-', 1)[-1]})" if found else typed(value) or "–"
