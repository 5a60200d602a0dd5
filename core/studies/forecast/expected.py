"""The score to expect, from stored results near a setting: never a guess.

Near means the same method, threat, optimiser and kind of fine-tuning; then the distance in log N, log T, log rank
and, after more than one step, log learning rate. At the nearest N and T the score is interpolated in log rank
between the stored neighbours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from core.studies.forecast.records import Record, capped
from core.studies.forecast.setting import Setting

NEAR = math.log(4.0) + 1e-9  # further than a factor of four in N, T and rank together is not near
OTHER_FLOAT = 0.4            # distance between float32 and float64; bfloat16 is a world of its own


@dataclass(frozen=True)
class Expected:
    """Mean SSIM over all targets: mean and range of the seeds near a setting."""

    method: str
    threat: str
    mean: float
    low: float
    high: float
    rows: int          # seeds of the shipped table
    runs: int          # attacks of the run store
    place: str         # where they were measured, in words
    distance: float    # 0 where it is this very setting

    @property
    def source(self) -> str:
        parts = [f"{self.rows} benchmark result{'s' if self.rows > 1 else ''}"] if self.rows else []
        parts += [f"{self.runs} attack{'s' if self.runs > 1 else ''} of this laboratory"] if self.runs else []
        return f"from {' and '.join(parts)} at {self.place}"


def expect(setting: Setting, records: Sequence[Record], *, method: str, threat: str) -> Expected | None:
    """None where no stored result is near, or N or T is not known."""
    seen = len(setting.verdicts) - setting.verdicts.count("hidden") if setting.verdicts else setting.samples
    if not seen or not setting.steps:
        return None
    same = [record for record in records if (record.method, record.threat, record.optimizer) == (
        method, threat, setting.optimizer) and (record.rank is None) == (setting.rank is None)]
    groups: dict[tuple[int, int, str, float | None], list[Record]] = {}
    for record in same:
        # One step only scales with the learning rate; over many it decides how far the features move.
        rate = record.learning_rate if record.steps > 1 else None
        groups.setdefault((record.samples, record.steps, record.dtype, rate), []).append(record)
    found = [_at(setting, seen, key, group) for key, group in groups.items()]
    near = [item for item in found if item.distance <= NEAR]
    # Of two that are equally near, the one that leaks more: a forecast for an audit errs to that side.
    best = min(near, key=lambda item: (round(item.distance, 9), -item.mean), default=None)
    if best is None or seen == setting.samples:
        return best
    share = seen / (setting.samples or seen)  # who is hidden counts as 0 among all targets
    return Expected(best.method, best.threat, best.mean * share, best.low * share, best.high * share, best.rows,
                    best.runs, f"{best.place}, the hidden samples counted as 0", best.distance)


def _at(setting: Setting, samples: int, key: tuple[int, int, str, float | None], group: Sequence[Record]) -> Expected:
    """What the results of one N, T and precision say for the setting's rank."""
    N, T, dtype, rate = key
    distance = abs(math.log(N / samples)) + abs(math.log(T / setting.steps)) + _apart(dtype, setting.dtype)
    if rate and setting.learning_rate and setting.steps > 1:
        distance += abs(math.log(rate / setting.learning_rate))
    used, weight, off, where = list(group), 0.0, 0.0, "full fine-tuning"
    if setting.rank is not None:
        below, above, weight = _neighbours(sorted({record.rank for record in group}), capped(setting.rank))
        off = 0.0 if 0 < weight < 1 else abs(math.log(below / capped(setting.rank)))
        used = [record for record in group if record.rank in (below, above)]
        where = f"rank {below}" if below == above else f"between ranks {below} and {above}"
        ends = [[value for record in used if record.rank == rank for value in record.ssim] for rank in (below, above)]
    else:
        ends = [[value for record in used for value in record.ssim]] * 2
    mean, low, high = (_between(function(ends[0]), function(ends[1]), weight) for function in (fmean, min, max))
    rows = sum(len(record.ssim) for record in used if not record.run)
    runs = sum(len(record.ssim) for record in used if record.run)
    other = "" if not rate or rate == setting.learning_rate else f", learning rate {rate:g}"
    precision = other + ("" if dtype == setting.dtype else f", {dtype}")
    return Expected(group[0].method, group[0].threat, mean, low, high, rows, runs, f"N = {N}, T = {T:,}, {where}"
                    f"{precision}", distance + off)


def _neighbours(ranks: Sequence[int], rank: int) -> tuple[int, int, float]:
    """The stored ranks around `rank`, and its place between them in log rank; twice the nearest where it is outside."""
    below = max((item for item in ranks if item <= rank), default=ranks[0])
    above = min((item for item in ranks if item >= rank), default=ranks[-1])
    below, above = (above, above) if below > rank else (below, below) if above < rank else (below, above)
    return below, above, 0.0 if below == above else math.log(rank / below) / math.log(above / below)


def _between(low: float, high: float, weight: float) -> float:
    return low + weight * (high - low)


def _apart(first: str, second: str) -> float:
    if first == second:
        return 0.0
    return OTHER_FLOAT if {first, second} == {"float32", "float64"} else math.inf
