"""What a search came to, from its rows: the best trial, the first to compare with, and the report."""

from collections.abc import Sequence
from typing import Any

from scipy.stats import spearmanr

from core.runs.config import SearchConfig
from core.viz.text import fixed

Row = dict[str, Any]
FEWEST_FOR_CORRELATION = 4


def done(rows: Sequence[Row]) -> list[Row]:
    """Trials that ran to their end; of a pruned one the residual is that of its middle."""
    return [row for row in rows if row["state"] == "done" and row["residual"] is not None]


def best(rows: Sequence[Row], objective: str) -> Row | None:
    """The best finished trial by *residual* or, told the truth, by *ssim*."""
    if objective == "residual":
        return min(done(rows), key=lambda row: row["residual"], default=None)
    scored = [row for row in done(rows) if row["mean_ssim"] is not None]
    return max(scored, key=lambda row: row["mean_ssim"], default=None)


def rank_correlation(rows: Sequence[Row]) -> float | None:
    """Spearman's, of residual and mean SSIM over finished trials: -1 where the lowest residual has the best images."""
    pairs = [(row["residual"], row["mean_ssim"]) for row in done(rows) if row["mean_ssim"] is not None]
    if len(pairs) < FEWEST_FOR_CORRELATION or any(len(set(values)) == 1 for values in zip(*pairs, strict=True)):
        return None
    return float(spearmanr(*zip(*pairs, strict=True)).statistic)


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """Trials by how they ended."""
    return {state: sum(row["state"] == state for row in rows) for state in ("done", "pruned", "failed")}


def summary(config: SearchConfig, rows: Sequence[Row]) -> dict[str, Any]:
    """Facts for lists and cards."""
    winner = best(rows, config.objective)
    return {"trials": len(rows), **counts(rows), "residual": winner and winner["residual"],
            "mean_ssim": winner and winner["mean_ssim"], "oracle": config.objective == "ssim"}


def report(config: SearchConfig, rows: Sequence[Row]) -> dict[str, Any]:
    """The outcome in numbers and words."""
    importance = next((row["importance"] for row in reversed(rows) if row["importance"]), {})
    return {"method": config.method, "objective": config.objective, "oracle": config.objective == "ssim",
            "trials": len(rows), **counts(rows), "first": _short(rows[0]),
            "best": _short(best(rows, config.objective)), "best_by_truth_oracle": _short(best(rows, "ssim")),
            "importance": importance, "rank_correlation": rank_correlation(rows), "table": list(rows),
            "limits": _limits(config, rows)}


def _short(row: Row | None) -> Row | None:
    names = ("trial", "attack", "params", "residual", "mean_ssim")
    return row and {name: row[name] for name in names}


def _limits(config: SearchConfig, rows: Sequence[Row]) -> list[str]:
    lines, ended = [], counts(rows)
    if config.objective == "ssim":
        lines.append("Oracle: trials were judged by the truth, which no adversary has. A ceiling, no attack claim.")
    if (correlation := rank_correlation(rows)) is not None:
        lines.append(f"A low residual is not the same as good images: over the {ended['done']} finished trials the "
                     f"rank correlation of residual and mean SSIM is {fixed(correlation)} (−1: the lower residual "
                     "always has the better images; 0: it says nothing).")
    elif all(row["mean_ssim"] is None for row in rows):
        lines.append("The truth is not known here, so that only the residual is: a low one is not the same as good "
                     "images.")
    if ended["pruned"]:
        lines.append(f"{ended['pruned']} of {len(rows)} trials were pruned in the middle: importance counts the "
                     "finished ones only, and so speaks of the better part of each range.")
    if ended["failed"]:
        lines.append(f"{ended['failed']} of {len(rows)} trials failed; the table says why.")
    lines.append(f"Trials are short: what is best after {config.iterations:,} steps of {config.restarts} restarts need "
                 "not be best after more.")
    return lines
