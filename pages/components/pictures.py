"""Rows of small pictures with what is to be said under each."""

import base64
from collections.abc import Sequence
from html import escape

import streamlit as st

from core.io.images import difference
from core.io.wording import fixed
from core.plots.compare import in_order_of_truth, scored_images
from core.runs.directory import Run
from core.runs.reports.attack import AttackReport
from pages.components.reading import pictures

MANY = 40           # figures
LEAST_CAPTION = 84  # pixels of width that two short numbers need
TRUTH = "truth, never seen by the attack"
DIFFERENCE = "|truth - reconstruction|: black where they agree."
NEAREST = ("Of the private samples and all that the base was trained on, the image most like each reconstruction "
           "(SSIM): does it show a private sample, or something that the base had seen before?")


def tile_size(count: int) -> int:
    """Display width in pixels, a multiple of 28, so that `count` pictures fit a row or two."""
    return next((size for most, size in ((2, 168), (3, 140), (10, 112), (40, 84)) if count <= most), 56)


def data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def img(png: bytes, alt: str, size: int) -> str:
    return f'<img src="{data_uri(png)}" alt="{escape(alt)}" width="{size}" height="{size}">'


def missing(size: int) -> str:
    """The place of a target that no reconstruction was matched to."""
    return f'<div class="ai-missing" style="width:{size}px;height:{size}px">not found</div>'


def strip(images: Sequence[bytes], *, noun: str, captions: Sequence[str] | None = None,
          size: int | None = None) -> None:
    """One row of pictures that wraps."""
    size = size or tile_size(len(images))
    figures = []
    for index, png in enumerate(images):
        caption = f"<figcaption>{escape(captions[index])}</figcaption>" if captions else ""
        figures.append(f"<figure>{img(png, f'{noun} {index + 1}', size)}{caption}</figure>")
    st.html(_row(figures, noun))


def _row(figures: Sequence[str], noun: str) -> str:
    """Many of them scroll in a box of their own, which the keyboard reaches."""
    many = f' ai-many" tabindex="0" role="group" aria-label="{escape(noun)}, all' if len(figures) > MANY else ""
    return f'<div class="ai-strip{many}">{"".join(figures)}</div>'


def pairs(truth: Sequence[bytes], found: Sequence[bytes | None], *, size: int | None = None,
          captions: Sequence[tuple[str, str]] | None = None, matched: bool, found_name: str = "reconstruction",
          more: dict[str, Sequence[bytes | None]] | None = None) -> None:
    """Columns of truth above reconstruction; `captions` are (headline, small print) under each column, `more` are
    further rows by name.

    Either row may be empty, and a reconstruction may be missing. The legend says which row the attack never saw.
    """
    count = max(len(truth), len(found))
    size = size or tile_size(count)
    order = "" if matched else "<br><small>order may differ</small>"
    truth_name, _, unseen = TRUTH.partition(", ")
    legend = [f'<div style="height:{size}px"><b>{truth_name}</b><small>{unseen}{order}</small></div>'] if truth else []
    legend += [f'<div style="height:{size}px"><b>{escape(found_name)}</b></div>'] if found else []
    legend += [f'<div style="height:{size}px"><b>{escape(name)}</b></div>' for name in more or {}]
    figures = [f'<figure class="ai-legend">{"".join(legend)}</figure>']
    for index in range(count):
        rows = []
        for name, images in ((TRUTH, truth), (found_name, found), *(more or {}).items()):
            if index < len(images):
                png = images[index]
                rows.append(img(png, f"{name} {index + 1}", size) if png else missing(size))
        if captions and index < len(captions):
            headline, small = captions[index]
            rows.append(f"<figcaption>{escape(headline)}<br><small>{escape(small)}</small></figcaption>")
        figures.append(f'<figure style="width:{max(size, LEAST_CAPTION)}px">{"".join(rows)}</figure>')
    st.html(_row(figures, found_name))


def final_pairs(run: Run, report: AttackReport, *, size: int | None = None, sort: str = "",
                differences: bool = False, neighbours: bool = False) -> bool:
    """A finished attack's targets above what was found of each, with the scores; says whether there is a truth.

    `sort` is a score by which the columns are ordered, the best first; `differences` adds |truth - reconstruction|,
    `neighbours` the training image that is nearest to each reconstruction.
    """
    truth = pictures(run.file("truth.png"))
    confidence = in_order_of_truth(report.confidence, report)
    captions, words = [], report.score.words() if report.score else []
    for index, score in enumerate(scored_images(report)):
        sure = confidence[index] if index < len(confidence) else None
        belief = [f"confidence {fixed(sure)}"] if sure is not None else []
        decibels = [f"{fixed(score['psnr'], 1)} dB"] if "psnr" in score else []
        captions.append((words[index], " · ".join([*decibels, *belief])))
    found = in_order_of_truth(pictures(run.file("reconstruction.png")), report)
    captions = captions or [(f"confidence {fixed(sure)}", "") for sure in confidence]
    scores = scored_images(report)
    near, near_words = _neighbours(run, report) if neighbours else ([], [])
    if scores and sort in scores[0]:
        order = sorted(range(len(scores)), key=lambda index: -(scores[index][sort] or 0.0))
        truth, found, captions, near, near_words = ([row[index] for index in order if index < len(row)]
                                                    for row in (truth, found, captions, near, near_words))
    more: dict[str, Sequence[bytes | None]] = {}
    if near:
        more["nearest training image"] = near
        captions = [(head, f"{small} · {words}" if words else small)
                    for (head, small), words in zip(captions, near_words, strict=True)]
    if differences and truth:
        more["difference"] = [difference(one, other) if other else None
                              for one, other in zip(truth, found, strict=False)]
    pairs(truth, found, matched=bool(scores), captions=captions, size=size, more=more)
    return bool(truth)


def _neighbours(run: Run, report: AttackReport) -> tuple[list[bytes | None], list[str]]:
    """By target, the picture nearest to its reconstruction and where that is from; empty where none was looked for."""
    near = report.score.nearest if report.score else []
    images = pictures(run.file("nearest.png"))
    if not near or not images:
        return [], []
    words = [f"nearest: {one.set}, SSIM {fixed(one.ssim)}" for one in near]
    return in_order_of_truth(images, report), [one or "" for one in in_order_of_truth(words, report)]
