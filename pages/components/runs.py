"""How runs look in lists, select boxes and cards."""

import base64
from html import escape
from typing import Any

import streamlit as st

from core.config.knob import RunConfig
from core.data.catalogue import KINDS
from core.io.errors import InputError
from core.io.wording import ago, clock, counted, duration, fixed, number, percent, size
from core.plots.compare import in_order_of_truth
from core.plots.series import Series, scalar
from core.plots.sparkline import sparkline_svg
from core.plots.titles import title
from core.runs.directory import Run
from core.runs.reports.attack import AttackReport
from core.runs.reports.studies import ExperimentRow, Trial
from core.runs.status import Status
from pages.components.glossary import term
from pages.components.layout import NAVIGATION, open_run
from pages.components.pictures import data_uri, img, missing
from pages.components.reading import curves, pictures, table_rows, thumbnail_of

STATES = {  # state: (icon, colour)
    "pending": (":material/hourglass_empty:", "gray"), "running": (":material/play_circle:", "blue"),
    "stopping": (":material/pending:", "orange"), "stopped": (":material/stop_circle:", "orange"),
    "failed": (":material/error:", "red"), "interrupted": (":material/power_off:", "orange"),
    "done": (":material/check_circle:", "green"),
}
IMAGES_WIDE, IMAGES_HIGH = 150, 42  # pixels of a table's cell that holds a thumbnail
MOST_THUMBNAILS = {"finetune": 4, "attack": 2}  # an attack shows pairs


def badge(status: Status) -> None:
    icon, colour = STATES[status.state]
    st.badge(status.state, icon=icon, color=colour)


def own(runs: list[Run]) -> list[Run]:
    """The runs that somebody launched: an experiment or a search makes hundreds, which are listed with it."""
    return [run for run in runs if parent(run) is None]


def parent(run: Run) -> str | None:
    """The id of the experiment or the search that made this run."""
    summary = run.status().summary
    return summary.get("experiment") or summary.get("search")


def caption(run: Run) -> str:
    """One line for select boxes: name, time, end of the id.

    Streamlit sends this text back as the choice, so it must differ between runs and never change: no age, no state.
    """
    return f"{title(run.config())} · {clock(run.status().created)} · {run.id.rsplit('-', 1)[-1]}"


def facts(config: RunConfig, status: Status) -> list[tuple[str, str]]:
    """The few numbers that a card shows: name and value."""
    summary: dict[str, Any] = status.summary
    if config.kind == "pretrain":
        right = None if summary.get("train_error") is None else 1 - summary["train_error"]
        items = [(KINDS[config.problem].title, KINDS[config.problem].counted(summary.get("samples") or 0)
                  if summary.get("samples") else None),
                 ("KKT residual", number(summary.get("kkt_residual"))), ("ln loss", number(summary.get("log_loss"))),
                 ("accuracy: training", percent(right)), ("hold-out", percent(summary.get("holdout_accuracy")))]
    elif config.kind == "finetune":
        visible = summary.get("visible")
        items = [("samples", number(summary.get("samples"))),
                 ("rank", number(config.rank)) if config.adaptation == "lora" else ("fine-tuning", "full"),
                 ("steps", number(config.steps)), ("above the floor", None if visible is None else number(visible))]
    elif config.kind == "experiment":
        best = summary.get("best_ssim")
        items = [("points", number(summary.get("points"))), ("failed", number(summary.get("failed") or None)),
                 ("best mean SSIM", None if best is None else fixed(best))]
    elif config.kind == "search":
        score = summary.get("mean_ssim")
        items = [("trials", number(summary.get("trials"))), ("best residual", number(summary.get("residual"))),
                 ("its mean SSIM" + (" (oracle)" if summary.get("oracle") else ""),
                  None if score is None else fixed(score))]
    else:
        items = [("mean SSIM", fixed(summary["mean_ssim"]) if summary.get("mean_ssim") is not None else None),
                 ("finding", {True: "yes", False: "no"}.get(summary.get("finding"))),
                 ("residual", number(summary.get("residual"))), ("samples", number(summary.get("samples"))),
                 ("threat", summary.get("threat"))]
    return [(name, value) for name, value in items if value not in (None, "–")]


def facts_html(config: RunConfig, status: Status, *, otherwise: str = "") -> str:
    """In one line, each name with its meaning at the pointer; `otherwise` where there are none yet."""
    line = " · ".join(f"{term(name)} {escape(value)}" for name, value in facts(config, status)) or escape(otherwise)
    return f'<div class="ai-facts">{line}</div>'


def band(run: Run, config: RunConfig) -> str:
    """The strip of a card: pictures of the run, or its loss as a small curve."""
    if config.kind == "pretrain":
        curve = scalar(curves(run), "loss", "log_loss", limit=200)
        return _curve(sparkline_svg(curve[0]) if curve else "", "Loss over the epochs") or "<span>no curve yet</span>"
    if config.kind == "experiment":
        scores = [row.mean_ssim for row in table_rows(run, ExperimentRow) if row.mean_ssim is not None]
        drawn = sparkline_svg(Series("mean SSIM", list(range(len(scores))), sorted(scores, reverse=True)))
        return _curve(drawn, "Scores of all points, sorted") or "<span>no scores yet</span>"
    if config.kind == "search":
        found = [row.residual for row in table_rows(run, Trial) if row.residual is not None]
        drawn = sparkline_svg(Series("residual", list(range(len(found))), sorted(found, reverse=True)))
        return _curve(drawn, "Residuals of all trials, sorted") or "<span>no trials yet</span>"
    if config.kind == "finetune":
        cells = [img(picture, f"private sample {index}", 56)
                 for index, picture in enumerate(pictures(run.file("truth.png")), 1)]
    else:
        cells = _pairs(run)
    shown = MOST_THUMBNAILS[config.kind]
    more = f"<span>+{len(cells) - shown}</span>" if len(cells) > shown else ""
    return "".join(cells[:shown]) + more or "<span>no pictures yet</span>"


def _curve(svg: str, alt: str) -> str:
    drawn = base64.b64encode(svg.encode()).decode()
    return f'<img class="ai-curve" src="data:image/svg+xml;base64,{drawn}" alt="{alt}">' if drawn else ""


def _pairs(run: Run) -> list[str]:
    """Truth beside reconstruction, target by target; of an unfinished attack its latest images."""
    truth = pictures(run.file("truth.png"))
    found = in_order_of_truth(pictures(run.file("reconstruction.png")), run.report(AttackReport))
    if not found and (taken := run.snapshots()):
        truth, found = [], pictures(taken[-1][1])
    cells = []
    for index, picture in enumerate(found):
        original = img(truth[index], f"truth {index + 1}", 56) if index < len(truth) else ""
        seen = img(picture, f"reconstruction {index + 1}", 56) if picture else missing(56)
        cells.append(f'<div class="ai-pair">{original}{seen}</div>')
    return cells


def thumbnail_uri(run: Run) -> str | None:
    """For an image column of a table."""
    png = thumbnail_of(run)
    return data_uri(png) if png else None


def card(run: Run) -> None:
    """A finished or stopped run on the overview. A damaged file harms its own card only."""
    with st.container(border=True, height="stretch", gap="xsmall"):
        try:
            _card(run)
        except InputError as error:
            st.markdown(f"**{run.id}**")
            st.caption(plain(str(error)))


def _card(run: Run) -> None:
    config, status, strip = run.config(), run.status(), band(run, run.config())
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center",
                      wrap=False, gap="xsmall"):
        st.markdown(f"{NAVIGATION[config.kind].icon} **{plain(title(config, status))}**")
        badge(status)
    st.html(f'<div class="ai-band">{strip}</div>')
    st.html(facts_html(config, status, otherwise=status.message or "no results yet"))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(f"{ago(status.created)} · {duration(status.seconds)}")
        open_run(config.kind, run.id)


def row(run: Run) -> None:
    """A run in the narrow list beside a form."""
    config, status = run.config(), run.status()
    with st.container(gap=None):
        open_run(config.kind, run.id, label=plain(title(config, status)), icon=STATES[status.state][0])
        known = [f"{name} {value}" for name, value in facts(config, status)[:2]]
        st.caption(progress_text(status) if status.active else " · ".join([ago(status.created), *known]))


def progress_text(status: Status) -> str:
    """``Step 750 of 1,500 · 12 s left``"""
    if status.state == "pending":
        return "Waiting for a free place"
    done = f"Step {status.step:,} of {status.total:,}" if status.total else "Starting"
    left = f" · {duration(status.seconds_left)} left" if status.seconds_left is not None else ""
    return done + left + (" · stopping at the next step" if status.state == "stopping" else "")


def load_facts(status: Status) -> dict[str, str]:
    """What the run's process uses of its machine, by meter."""
    load = status.load
    if not load:
        return {}
    found = {"CPU": f"{fixed(load['cpu'], 1)} of {counted(int(load['cores']), 'core')}",
             "memory": f"{size(load['memory'])} of {size(load['memory_total'])}"}
    if "gpu" in load:
        found |= {"GPU": percent(load["gpu"]),
                  "GPU memory": f"{size(load['gpu_memory'])} of {size(load['gpu_memory_total'])}"}
    return found


def fraction(status: Status) -> float:
    return min(1.0, status.step / status.total) if status.total else 0.0


def ended_text(status: Status) -> str:
    return f"{counted(status.step, 'step')} in {duration(status.seconds)}"


def plain(text: str) -> str:
    """Text that a person typed, safe inside Markdown."""
    return "".join("\\" + letter if letter in "\\`*_{}[]()<>#+-!|$~:" else letter for letter in text)
