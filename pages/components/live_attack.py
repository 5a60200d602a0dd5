"""What an attack shows: the images as they form, beside the reasons, then the score."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from core.assessment.finding import controls_of, judged, wrong_release
from core.io.wording import counted, fixed, number
from core.plots.curves import Curves
from core.plots.distribution import Distribution, multipliers
from core.plots.panels import attack_panels, cosine_panel, flips_panel, marked
from core.reconstruction.calibration import EVENT
from core.reconstruction.registry import explains_weights
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.reports.attack import AttackReport
from core.runs.reports.score import ImageScore, PointScore, PublishedScore
from core.runs.status import Status
from core.runs.store import referred
from pages.components.anatomy import attack_anatomy, switching
from pages.components.charts import chart, grid
from pages.components.layout import limits
from pages.components.pictures import DIFFERENCE, NEAREST, final_pairs, pairs
from pages.components.plane import attacked_plane
from pages.components.reading import curves, pictures
from pages.components.restarts import every_restart
from pages.components.runs import plain
from pages.components.tuning import tuning
from pages.components.why import why


def attack_view(run: Run, config: AttackConfig, status: Status) -> None:
    """Score, pictures beside the victim's diagnostics, curves, limits."""
    drawn, report = curves(run), run.outcome(AttackReport)
    victim = referred(run, "finetune")
    _numbers(drawn.last, report, status)
    left, right = st.columns([3, 2], gap="large")
    with left:
        wanted = _images(run, config, status, report, victim)
    with right:
        _reasons(victim)
    with st.container():
        limits("What limits this reconstruction", report)
    with st.container():
        why(run, config, report, victim)
    with st.container():
        if status.active:
            switching(run)
        attack_anatomy(run, report, victim)
    with st.container():
        tuning(run, config, status)
    with st.container():
        every_restart(run, config, wanted, drawn)
    panels = marked(attack_panels(drawn, best=_best(drawn)), run.changes())
    if not status.active:  # a method leaves out what it does not have
        panels = [panel for panel in panels if not panel.empty]
    spread = _multipliers(config, drawn, wanted)
    grid([*panels, *([spread] if spread else [])], run.id, columns=3)


def _numbers(last: Mapping[str, Any], report: AttackReport | None, status: Status) -> None:
    score = report.score if report else None
    with st.container(horizontal=True):
        if isinstance(score, PointScore):
            _points(score)
        elif score:
            st.metric(f"Mean SSIM, all {counted(score.targets, 'target')}", fixed(score.mean_ssim), border=True,
                      help="Structural similarity to the truth after one-to-one matching, averaged over every "
                           f"target. 1 is identical. Chosen by {score.selected_by}, then scored once. {judged(score)}")
            _beaten(score)
            if score.as_published:
                _recovered(score, score.as_published)
            st.metric("Mean PSNR", f"{fixed(score.mean_psnr, 1)} dB", border=True,
                      help="Peak signal-to-noise ratio over all targets: 20 dB is an error of a tenth of the range, "
                           "and each 20 dB more a tenth of that.")
            ncc = [value for value in score.ncc if value is not None]
            st.metric("Mean NCC", fixed(sum(ncc) / len(ncc) if ncc else None), border=True,
                      help="Normalised cross-correlation; 1 is identical up to brightness and contrast.")
        residual = status.summary.get("residual") if report else last.get("residual")
        st.metric("Relative residual", number(residual), border=True,
                  help="What of the released update the reconstruction leaves unexplained. The attack sees this, and "
                       "never the scores.")
        if not score and "loss" in last:
            st.metric("Loss", number(last.get("loss")), border=True,
                      help="What the attack minimises: the residual and its penalties, of the leading restart.")
        confidence = [value for value in report.confidence if value is not None] if report else []
        if confidence:
            st.metric("Lowest confidence", fixed(min(confidence)), border=True,
                      help="The attack's own confidence in its weakest sample: the probability that " + EVENT + ". The "
                      "page Evidence shows how far that can be trusted.")


def _points(score: PointScore) -> None:
    """Points of the plane have no structure to compare: how far off they are counts."""
    controls = controls_of(score)
    st.metric(f"Mean distance, all {counted(score.targets, 'target')}", fixed(score.mean_distance), border=True,
              help=f"In the unit square, matched one to one. {judged(score)}")
    st.metric(f"Nearer than {score.recovered_below}", f"{score.recovered} of {score.targets}", border=True,
              help=f"Matched one to one. A wrong release: {fixed(controls.wrong_release_recovered, 1)}.")
    _beaten(score)


def _beaten(score: ImageScore | PointScore) -> None:
    """What the score has to beat, beside it."""
    controls = controls_of(score)
    if controls.mean_image is not None:
        st.metric("Mean image", fixed(controls.mean_image), border=True,
                  help="The score of the mean of public data, given as every reconstruction.")
    if controls.wrong_release is not None:
        st.metric("Wrong release", wrong_release(controls), border=True,
                  help="The score of somebody else's release against this truth, mean and spread. It is that of this "
                  "reconstruction against other samples drawn by the same rule"
                  + (f", {controls.draws} times." if controls.draws else "."))


def _recovered(score: ImageScore, published: PublishedScore) -> None:
    """Counts with their denominators, and the published score beside ours; each with its wrong release."""
    controls, theirs = controls_of(score), controls_of(published)
    st.metric(f"SSIM above {score.recovered_above}", f"{score.recovered} of {score.targets}", border=True,
              help="Matched one to one. A wrong release, matched to samples that the network never saw: "
                   f"{fixed(controls.wrong_release_recovered, 1)}.")
    st.metric("Mean SSIM, as published", fixed(published.mean_ssim), border=True,
              help="Haim et al. 2022: each training image with its nearest reconstruction by NCC at half size, "
                   f"stretched to [0, 1]. Above 0.4: {published.recovered} of {published.targets}, by "
                   f"{counted(published.used, 'reconstruction')} of {score.candidates}. A wrong "
                   f"release: {fixed(theirs.wrong_release)}, "
                   f"{fixed(theirs.wrong_release_recovered, 1)}.")


def _images(run: Run, config: AttackConfig, status: Status, report: AttackReport | None,
            victim: Run | None) -> int | None:
    """The final pairs, or any snapshot above its truth; the right end of the slider is the latest.

    Returns the step that is shown, None for the outcome.
    """
    taken = run.snapshots()
    final = report is not None and run.file("reconstruction.png").exists()
    last = max(status.total if status.active else 0, taken[-1][0] if taken else 0)
    st.markdown("**Images as they form**" if status.active else "**Reconstruction**")
    if not taken and not final:
        st.caption("The first images appear after a few steps.")
        return None
    wanted = last
    if len(taken) > 1:
        wanted = st.slider("Attack step to show (right end: the latest)", 0, last, last, key=f"scrub-{run.id}-{last}")
    if run.file("plane.json").exists():
        at = max((item for item in taken if item[0] <= wanted), default=None)
        if final and wanted == last:
            attacked_plane(run, run.file("reconstruction.safetensors"), report.labels, "reconstruction")
            st.caption(plain(f"{report.status_message} {report.samples_found_by}"))
        else:
            attacked_plane(run, at and at[1].with_suffix(".safetensors"), [], f"step {at[0]:,}" if at else "")
        return None if final and wanted == last else wanted
    if final and wanted == last:
        rows = {}
        if report.score and report.score.nearest:
            with st.container(horizontal=True):
                rows["neighbours"] = st.toggle("Nearest training image", key="attack-neighbours",
                                               persist_state="session", help=NEAREST)
                rows["differences"] = st.toggle("Difference images", key="attack-differences", persist_state="session",
                                                help=DIFFERENCE)
        known = final_pairs(run, report, **rows)
        words = [report.status_message, report.samples_found_by]
        if not known:
            words.append("There is no truth to score against: the victim was not made in this laboratory.")
        if report.confidence:
            words.append(f"Confidence is the probability that {EVENT}.")
        st.caption(plain(" ".join(word for word in words if word)))
        return None
    step, path = max((item for item in taken if item[0] <= wanted), default=taken[0])
    pairs(_truth(run, victim), pictures(path), matched=False, found_name=f"step {step:,}")
    return wanted


def _multipliers(config: AttackConfig, drawn: Curves, wanted: int | None) -> Distribution | None:
    """How λ is spread at the step that is shown."""
    rows = drawn.points("coefficients", listed=True)
    if wanted is not None:
        rows = rows[rows[:, 0] <= wanted]
    if not len(rows):
        return None
    values = rows[-1, 2:]
    floor = config.min_lambda / len(values) if explains_weights(config.method) and config.min_lambda else None
    return multipliers(values, floor=floor)


def _truth(run: Run, victim: Run | None) -> list[bytes]:
    """For the reader's eyes: the engine that attacks never opens these files."""
    own: Path = run.file("truth.png")
    return pictures(own) or (pictures(victim.file("truth.png")) if victim else [])


def _reasons(victim: Run | None) -> None:
    if victim is None:
        st.markdown("**Why it works or fails**")
        st.caption("No fine-tuning of this laboratory is attacked here, so how neurons flipped and how far features "
                   "moved is not known.")
        return
    drawn = curves(victim)
    st.markdown("**Why it works or fails**")
    st.caption("Measured while the victim was fine-tuned. The attack does not see it.")
    for panel in (flips_panel(drawn), cosine_panel(drawn)):
        chart(panel, f"{victim.id}-victim")


def _best(drawn: Curves) -> int | None:
    """The restart that leads now."""
    column = drawn.columns.get("best_restart")
    return int(column.block[-1, 2]) if column else None
