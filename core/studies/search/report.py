"""The report of a search, in numbers and words: the best trial beside the first, and what to make of it."""

from collections.abc import Sequence

from scipy.stats import spearmanr

from core.io.wording import fixed
from core.runs.kinds import SearchConfig
from core.runs.reports.studies import SearchReport, Trial, TrialBrief
from core.studies.search.trials import best, counts, done

FEWEST_FOR_CORRELATION = 4


def report(config: SearchConfig, rows: Sequence[Trial]) -> SearchReport:
    """The outcome in numbers and words."""
    importance = next((row.importance for row in reversed(rows) if row.importance), {})
    return SearchReport(method=config.method, objective=config.objective, oracle=config.objective == "ssim",
                        trials=len(rows), **counts(rows), first=_brief(rows[0]),
                        best=_brief(best(rows, config.objective)), best_by_truth_oracle=_brief(best(rows, "ssim")),
                        importance=importance, rank_correlation=rank_correlation(rows), table=list(rows),
                        limits=_limits(config, rows))


def _brief(row: Trial | None) -> TrialBrief | None:
    return row and TrialBrief(trial=row.trial, attack=row.attack, params=row.params, residual=row.residual,
                              mean_ssim=row.mean_ssim)


def _limits(config: SearchConfig, rows: Sequence[Trial]) -> list[str]:
    lines, ended = [], counts(rows)
    if config.objective == "ssim":
        lines.append("Oracle: trials were judged by the truth, which no adversary has. A ceiling, no attack claim.")
    if (correlation := rank_correlation(rows)) is not None:
        lines.append(f"A low residual is not the same as good images: over the {ended['done']} finished trials the "
                     f"rank correlation of residual and mean SSIM is {fixed(correlation)} (−1: the lower residual "
                     "always has the better images; 0: it says nothing).")
    elif all(row.mean_ssim is None for row in rows):
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


def rank_correlation(rows: Sequence[Trial]) -> float | None:
    """Spearman's, of residual and mean SSIM over finished trials: -1 where the lowest residual has the best images."""
    pairs = [(row.residual, row.mean_ssim) for row in done(rows) if row.mean_ssim is not None]
    if len(pairs) < FEWEST_FOR_CORRELATION or any(len(set(values)) == 1 for values in zip(*pairs, strict=True)):
        return None
    return float(spearmanr(*zip(*pairs, strict=True)).statistic)
