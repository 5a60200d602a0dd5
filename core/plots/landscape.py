"""All attacks at once: what came back, over the knobs of the attack and of its victim, one point a run."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from core.assessment.finding import controls_of, is_finding
from core.config.thresholds import RECOVERED
from core.plots.figures import HEIGHT, log_ticks, power, style
from core.plots.palette import colour
from core.plots.titles import title
from core.runs.directory import Run
from core.runs.notes import listed_notes
from core.runs.reports.attack import AttackReport
from core.runs.reports.score import ImageScore
from core.runs.reports.training import FinetuneReport
from core.runs.store import referred

AXES = {  # column: (what the axis says, whether its values lie on a log scale)
    "rank": ("rank r of the adapter", True), "samples": ("samples N", False), "steps": ("fine-tuning steps T", True),
    "restarts": ("restarts R", True), "residual": ("relative residual", True), "seconds": ("computing time (s)", True),
    "feature_cosine": ("lowest feature cosine of the victim", False),
    "weakest": ("weakest coefficient / largest", True),
}
SCORES = {"mean_ssim": "mean SSIM, all targets", "mean_psnr": "mean PSNR (dB), all targets",
          "recovered": f"share of targets above SSIM {RECOVERED}"}
FULL_RANK = "full"  # fine-tuning of the weights themselves


def landscape_row(run: Run) -> dict[str, Any] | None:
    """One finished and scored attack; None for any other run."""
    config, status, report = run.config(), run.status(), run.outcome(AttackReport)
    score = report.score if report else None
    if status.state != "done" or not isinstance(score, ImageScore):
        return None
    made, notes, controls = referred(run, "finetune"), listed_notes(run), controls_of(score)
    victim = made.report(FinetuneReport) if made else None
    return {"id": run.id, "run": title(config, status), "method": report.method, "threat": report.threat,
            "rank": (victim.rank or FULL_RANK) if victim else "–", "samples": score.targets,
            "steps": victim and victim.steps, "restarts": report.restarts,
            "residual": report.residual, "seconds": status.seconds,
            "feature_cosine": victim and victim.feature_cosine_min,
            "weakest": min(victim.visibility) if victim and victim.visibility else None,
            "optimizer": victim and victim.optimizer, "mean_ssim": score.mean_ssim, "mean_psnr": score.mean_psnr,
            "mean_image": controls.mean_image, "wrong_release": controls.wrong_release,
            "finding": is_finding(score.mean_ssim, controls),
            "recovered": sum(value > RECOVERED for value in score.ssim) / score.targets,
            "tags": ", ".join(notes.tags), "note": notes.text, "created": status.created}


def scatter(rows: Sequence[dict[str, Any]], *, over: str, score: str) -> go.Figure:
    """A score over one knob, coloured by method; each point carries its run's id as customdata."""
    words, log = AXES[over]
    figure = go.Figure()
    usable = [row for row in rows if isinstance(row[over], int | float) and (row[over] > 0 or not log)]
    for rank, method in enumerate(sorted({row["method"] for row in usable})):
        mine = [row for row in usable if row["method"] == method]
        figure.add_scatter(x=[row[over] for row in mine], y=[row[score] for row in mine], mode="markers", name=method,
                           marker={"size": 10, "color": colour(rank), "symbol": rank},
                           customdata=[[row["id"], row["run"]] for row in mine],
                           hovertemplate="%{customdata[1]}<br>%{x:.4g} → %{y:.3f}<extra></extra>")
    style(figure, revision=f"{over}-{score}", height=HEIGHT + 120, legend=True)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(title_text=words)
    if log and usable:
        low, high = (choose(row[over] for row in usable) for choose in (min, max))
        ticks = log_ticks(low, high)
        margin = 0.05 * math.log10(high / low) + 0.1
        figure.update_xaxes(type="log", tickvals=ticks, ticktext=[power(value) for value in ticks],
                            range=[math.log10(low) - margin, math.log10(high) + margin])
    figure.update_yaxes(title_text=SCORES[score], range=None if score == "mean_psnr" else [-0.03, 1.05])
    return figure


def parallel(rows: Sequence[dict[str, Any]], *, score: str) -> go.Figure | None:
    """One line a run through all its knobs, coloured by the score; only knobs in which the runs differ. None where
    there are none of these."""
    dimensions = []
    for name in ("method", "threat", "rank", "samples", "steps", "restarts"):
        values = [row[name] if row[name] is not None else "–" for row in rows]
        kinds = sorted(set(values), key=lambda value: (isinstance(value, str), value))
        if len(kinds) > 1:  # by place: 1, 8 and 1000 stand equally far apart, words have a place too
            dimensions.append({"label": name, "values": [kinds.index(value) for value in values],
                               "tickvals": list(range(len(kinds))), "ticktext": [str(kind) for kind in kinds]})
    if not dimensions:
        return None
    scores = [row[score] for row in rows]
    low, high = (min(scores), max(scores)) if score == "mean_psnr" else (min(0.0, *scores), 1.0)
    ends = [low, high] if high > low else [low - 1, high + 1]
    dimensions.append({"label": SCORES[score].partition(",")[0], "values": scores, "range": ends})
    figure = go.Figure(go.Parcoords(dimensions=dimensions, line={
        "color": scores, "colorscale": "Viridis", "showscale": True, "cmin": ends[0], "cmax": ends[1]}))
    figure.update_layout(height=HEIGHT + 120, margin={"l": 60, "r": 30, "t": 50, "b": 20}, uirevision=score,
                         paper_bgcolor="rgba(0,0,0,0)")
    return figure
