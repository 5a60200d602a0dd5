"""What a search came to so far, from its rows: the best trial, and how the trials ended."""

from collections.abc import Sequence
from typing import Any

from core.runs.kinds import SearchConfig

Row = dict[str, Any]


def done(rows: Sequence[Row]) -> list[Row]:
    """Trials that ran to their end; of a pruned one the residual is that of its middle."""
    return [row for row in rows if row["state"] == "done" and row["residual"] is not None]


def best(rows: Sequence[Row], objective: str) -> Row | None:
    """The best finished trial by *residual* or, told the truth, by *ssim*."""
    if objective == "residual":
        return min(done(rows), key=lambda row: row["residual"], default=None)
    scored = [row for row in done(rows) if row["mean_ssim"] is not None]
    return max(scored, key=lambda row: row["mean_ssim"], default=None)


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """Trials by how they ended."""
    return {state: sum(row["state"] == state for row in rows) for state in ("done", "pruned", "failed")}


def summary(config: SearchConfig, rows: Sequence[Row]) -> dict[str, Any]:
    """Facts for lists and cards."""
    winner = best(rows, config.objective)
    return {"trials": len(rows), **counts(rows), "residual": winner and winner["residual"],
            "mean_ssim": winner and winner["mean_ssim"], "oracle": config.objective == "ssim"}
