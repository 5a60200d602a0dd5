"""From report.json to the model of the run's kind, and from metrics.jsonl to the rows of a table."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from core.io.errors import InputError
from core.runs.reports.attack import AttackReport
from core.runs.reports.stored import Report, Stored
from core.runs.reports.studies import ExperimentReport, SearchReport
from core.runs.reports.training import FinetuneReport, PretrainReport

MODELS: dict[str, type[Report]] = {"pretrain": PretrainReport, "finetune": FinetuneReport, "attack": AttackReport,
                                   "experiment": ExperimentReport, "search": SearchReport}
Kind = TypeVar("Kind", bound=Report)
Row = TypeVar("Row", bound=Stored)


def read_report(model: type[Kind], content: str, path: Path) -> Kind:
    """Raises `InputError` where `content`, of the file at `path`, is damaged."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise _damaged(path, error) from error


def as_rows(model: type[Row], rows: Iterable[Mapping[str, Any]], path: Path) -> list[Row]:
    """The rows of a table, of the file at `path`."""
    try:
        return [model.model_validate(row) for row in rows]
    except ValidationError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: ValidationError) -> InputError:
    last = error.errors(include_url=False)[-1]  # of a union that fits nothing, the likelier side
    field = ".".join(str(part) for part in last["loc"])
    return InputError(f"run: {path} cannot be read ({field and field + ': '}{last['msg']}); restore the file or delete "
                      "the run.")
