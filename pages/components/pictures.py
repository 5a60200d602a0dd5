"""Rows of small pictures with what is to be said under each."""

import base64
from collections.abc import Sequence
from html import escape

import streamlit as st

from core.viz.text import fixed

TRUTH = "truth, never seen by the attack"


def tile_size(count: int) -> int:
    """Display width in pixels, a multiple of 28, so that `count` pictures fit a row or two."""
    return next((size for most, size in ((2, 168), (4, 140), (10, 112), (40, 84)) if count <= most), 56)


def img(png: bytes, alt: str, size: int) -> str:
    data = base64.b64encode(png).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" width="{size}" height="{size}">'


def strip(images: Sequence[bytes], *, noun: str, captions: Sequence[str] | None = None,
          size: int | None = None) -> None:
    """One row of pictures that wraps."""
    size = size or tile_size(len(images))
    figures = []
    for index, png in enumerate(images):
        caption = f"<figcaption>{escape(captions[index])}</figcaption>" if captions else ""
        figures.append(f"<figure>{img(png, f'{noun} {index + 1}', size)}{caption}</figure>")
    st.html(f'<div class="ai-strip">{"".join(figures)}</div>')


def pairs(truth: Sequence[bytes], found: Sequence[bytes], *, size: int | None = None,
          captions: Sequence[tuple[str, str]] | None = None, matched: bool, found_name: str = "reconstruction") -> None:
    """Columns of truth above reconstruction; `captions` are (headline, small print) under each column.

    Either row may be empty. The legend on the left says which row the attack never saw.
    """
    count = max(len(truth), len(found))
    size = size or tile_size(count)
    order = "" if matched else "<br><small>order may differ</small>"
    truth_name, _, unseen = TRUTH.partition(", ")
    legend = [f'<div style="height:{size}px"><b>{truth_name}</b><small>{unseen}{order}</small></div>'] if truth else []
    legend += [f'<div style="height:{size}px"><b>{escape(found_name)}</b></div>'] if found else []
    figures = [f'<figure class="ai-legend">{"".join(legend)}</figure>']
    for index in range(count):
        rows = []
        for images, name in ((truth, TRUTH), (found, found_name)):
            if index < len(images):
                rows.append(img(images[index], f"{name} {index + 1}", size))
        if captions and index < len(captions):
            headline, small = captions[index]
            rows.append(f"<figcaption>{escape(headline)}<br><small>{escape(small)}</small></figcaption>")
        figures.append(f"<figure>{''.join(rows)}</figure>")
    st.html(f'<div class="ai-strip">{"".join(figures)}</div>')


def score_captions(scores: Sequence[dict[str, float | None]],
                   confidence: Sequence[float] | None = None) -> list[tuple[str, str]]:
    """Under each pair: SSIM large, PSNR and the attack's own confidence small."""
    captions = []
    for index, score in enumerate(scores):
        small = f"{fixed(score['psnr'], 1)} dB"
        if confidence and index < len(confidence) and confidence[index] is not None:
            small += f" · confidence {fixed(confidence[index])}"
        captions.append((f"SSIM {fixed(score['ssim'])}", small))
    return captions
