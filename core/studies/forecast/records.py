"""Results that were stored: the shipped table of benchmarks, and finished attacks of the run store."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from core.data.catalogue import DEFAULT, KINDS
from core.io.errors import InputError
from core.models.modality import unknowns
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.reports.attack import AttackReport
from core.runs.reports.score import ImageScore
from core.runs.reports.training import FinetuneReport
from core.runs.store import default_root

MEASURED = Path(__file__).parents[3] / "assets" / "measured.json"  # python -m benchmarks.algebraic_quality --json FILE
FULL_RANK = unknowns(KINDS[DEFAULT].shape)  # at or above the number of pixels a higher rank says nothing more
CUT_SHORT = ("stopped", "diverged")  # a refusal to separate counts: leaving failures out would flatter


@dataclass(frozen=True)
class Record:
    """Mean SSIMs over all targets, one a seed, of attacks in one setting."""

    method: str
    samples: int
    rank: int | None     # None: full fine-tuning
    steps: int
    optimizer: str
    dtype: str           # as stored
    threat: str
    ssim: tuple[float, ...]
    learning_rate: float | None = None
    run: bool = False    # an attack of the run store instead of a row of the shipped table


@dataclass(frozen=True)
class Victim:
    """The fine-tuning of a record."""

    samples: int
    rank: int | None
    steps: int
    optimizer: str
    dtype: str
    learning_rate: float | None


def shipped(path: Path = MEASURED) -> list[Record]:
    """The rows of the table; [] where it is missing. Raises `InputError` where it is no such table."""
    try:
        return list(_shipped(str(path), path.stat().st_mtime_ns))
    except FileNotFoundError:
        return []


@lru_cache(maxsize=4)
def _shipped(path: str, stamp: int) -> tuple[Record, ...]:
    try:
        return tuple(Record(row["method"], int(row["samples"]), capped(row["rank"]), int(row["steps"]),
                            row["optimizer"], row["dtype"], row["threat"], tuple(map(float, row["ssim"])),
                            row.get("learning_rate"))
                     for row in json.loads(Path(path).read_text()) if row["ssim"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"measured: {path} is no table of benchmark results ({error!r}); write it again with `python "
                         "-m benchmarks.algebraic_quality --json FILE`.") from error


def from_runs(root: Path | None = None) -> list[Record]:
    """Finished, scored attacks on fine-tunings of the same store whose samples were all above the rounding floor."""
    root = root or default_root()
    return [record for folder in _folders(root) if (record := _of_run(root, folder)) is not None]


def _folders(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from (path for path in root.iterdir() if not path.name.startswith(".") and path.is_dir())


def _of_run(root: Path, folder: Path) -> Record | None:
    try:
        stamps = tuple((folder / name).stat().st_mtime_ns for name in ("report.json", "status.json"))
    except OSError:
        return None
    found = _attack(str(folder), stamps)
    return None if found is None else _record(str(root / found[0]), found)


@lru_cache(maxsize=4096)
def _attack(folder: str, stamps: tuple[int, ...]) -> tuple[str, str, str, float] | None:
    """Victim, method, threat and mean SSIM of a scored attack; None for any other run."""
    run = Run(folder)
    try:
        config, report, status = run.config(), run.report(AttackReport), run.stored_status()
    except InputError:  # one damaged file costs one result, not the page
        return None
    if report is None or not isinstance(report.score, ImageScore) or status.state != "done":
        return None
    if report.status in CUT_SHORT or not isinstance(config, AttackConfig) or not config.finetune:
        return None
    return config.finetune, report.method, report.threat, report.score.mean_ssim


def _record(folder: str, found: tuple[str, str, str, float]) -> Record | None:
    victim = _victim(folder)
    if victim is None:
        return None
    _, method, threat, ssim = found
    return Record(method=method, threat=threat, ssim=(ssim,), run=True, **asdict(victim))


def _victim(folder: str) -> Victim | None:
    try:
        return _read_victim(folder, (Path(folder) / "report.json").stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _read_victim(folder: str, stamp: int) -> Victim | None:
    run = Run(folder)
    try:
        config, report = run.config(), run.report(FinetuneReport)
    except InputError:
        return None
    if report is None or "hidden" in report.verdicts or report.samples is None or report.steps is None:
        return None
    stored = report.adapter_dtype
    dtype = "float32" if (stored, config.precision) == ("float64", "float32") else stored
    return Victim(report.samples, None if report.adaptation == "full" else capped(report.rank), report.steps,
                  report.optimizer, dtype, report.learning_rate)


def capped(rank: int | None) -> int | None:
    return None if rank is None else min(int(rank), FULL_RANK)
