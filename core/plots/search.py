"""Plot data of a search, from its rows. `core.plots.search_figures` draws it.

Three charts: every trial across its knobs (parallel coordinates), the share of each knob in what came out
(importance), and residual against score, where the truth is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.config.knob import facts
from core.runs.kinds import AttackConfig, SearchConfig
from core.runs.reports.studies import Trial
from core.studies.search.trials import best

SCORE, ORACLE_SCORE = "mean SSIM (truth)", "mean SSIM (oracle)"


@dataclass(frozen=True)
class Axis:
    """One vertical axis: a knob or an outcome, with a value for each trial."""

    title: str
    values: list[float]
    log: bool


@dataclass(frozen=True)
class Parallel:
    """Trials across their knobs; the last axes are outcomes. `shade` is the axis that colours the lines."""

    axes: list[Axis]
    shade: Axis
    low_is_good: bool


@dataclass(frozen=True)
class Importance:
    """Shares in [0, 1] of each knob, most important first: one list of shares for each target."""

    knobs: list[str]
    shares: dict[str, list[float]]


@dataclass(frozen=True)
class Mark:
    """One trial: residual, score, how it ended, what it is in words, and its run."""

    residual: float
    score: float
    kind: str  # done, pruned, first, best
    name: str
    attack: str


def score_title(config: SearchConfig) -> str:
    """The score, and in which role the truth is there."""
    return ORACLE_SCORE if config.objective == "ssim" else SCORE


def parallel(config: SearchConfig, rows: Sequence[Trial], labels: Mapping[str, str]) -> Parallel | None:
    """None before the second trial with a residual. A score axis is there where every such trial has one."""
    rows = [row for row in rows if row.residual]
    if len(rows) < 2:
        return None
    found = [Axis(labels[name], [row.params[name] for row in rows],
                  facts(AttackConfig.model_fields[name])["scale"] == "log")
             for name in rows[0].params]
    residual = Axis("residual", [row.residual for row in rows], True)
    scored = all(row.mean_ssim is not None for row in rows)
    score = [Axis(score_title(config), [row.mean_ssim for row in rows], False)] if scored else []
    oracle = config.objective == "ssim" and scored
    return Parallel([*found, residual, *score], score[0] if oracle else residual, not oracle)


def importance(config: SearchConfig, rows: Sequence[Trial], labels: Mapping[str, str]) -> Importance | None:
    """The latest that the search computed; None for too few trials."""
    latest = next((row.importance for row in reversed(rows) if row.importance), None)
    if not latest:
        return None
    lead = "mean_ssim" if config.objective == "ssim" and "mean_ssim" in latest else next(iter(latest))
    order = sorted(latest[lead], key=latest[lead].__getitem__, reverse=True)
    names = {"residual": "for the residual", "mean_ssim": f"for the {score_title(config)}"}
    return Importance([labels[name] for name in order],
                      {names[target]: [shares[name] for name in order] for target, shares in latest.items()})


def marks(config: SearchConfig, rows: Sequence[Trial]) -> list[Mark]:
    """Residual against score of every trial that has both; the best one last, on top of the others."""
    winner = best(rows, config.objective)
    found = []
    for row in rows:
        if row.residual and row.mean_ssim is not None:
            kind = "best" if winner and row.trial == winner.trial else "first" if row.trial == 1 else row.state
            found.append(Mark(row.residual, row.mean_ssim, kind, f"trial {row.trial}", row.attack))
    return sorted(found, key=lambda mark: ("pruned", "failed", "done", "first", "best").index(mark.kind))
