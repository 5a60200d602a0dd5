"""What a search came to so far, from its rows: the best trial, and how the trials ended."""

from collections.abc import Sequence

from core.runs.kinds import SearchConfig
from core.runs.reports.studies import Trial


def done(rows: Sequence[Trial]) -> list[Trial]:
    """Trials that ran to their end; of a pruned one the residual is that of its middle."""
    return [row for row in rows if row.state == "done" and row.residual is not None]


def best(rows: Sequence[Trial], objective: str) -> Trial | None:
    """The best finished trial by *residual* or, told the truth, by *ssim*."""
    if objective == "residual":
        return min(done(rows), key=lambda row: row.residual, default=None)
    scored = [row for row in done(rows) if row.mean_ssim is not None]
    return max(scored, key=lambda row: row.mean_ssim, default=None)


def counts(rows: Sequence[Trial]) -> dict[str, int]:
    """Trials by how they ended."""
    return {state: sum(row.state == state for row in rows) for state in ("done", "pruned", "failed")}


def summary(config: SearchConfig, rows: Sequence[Trial]) -> dict[str, float | None]:
    """Facts for lists and cards."""
    winner = best(rows, config.objective)
    return {"trials": len(rows), **counts(rows), "residual": winner.residual if winner else None,
            "mean_ssim": winner.mean_ssim if winner else None, "oracle": config.objective == "ssim"}
