"""Pieces of a self-contained HTML page: every text escaped, every picture and script inside the file."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from core.plots.figures import AT_HOME

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #1d1e2c; background: #fff; max-width: 1080px; margin: 0 auto;
  padding: 32px 24px 64px; }
h1 { font-size: 1.7rem; margin: 0 0 4px; } h2 { font-size: 1.25rem; margin: 36px 0 8px; } h3 { font-size: 1.02rem; }
p { margin: 6px 0; max-width: 68rem; } .quiet { color: #565a6e; font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; margin: 8px 0; }
th, td { text-align: left; vertical-align: top; padding: 6px 14px 6px 0; border-bottom: 1px solid #d9dae3; }
thead th { color: #565a6e; font-weight: 500; } tbody th { font-weight: 600; }
.strip { display: flex; flex-wrap: wrap; gap: 12px; } figure { margin: 0; font-size: .82rem; text-align: center; }
figure img { display: block; image-rendering: pixelated; width: 84px; height: 84px; border-radius: 4px;
  background: #000; margin: 0 auto 4px; }
.none { width: 84px; height: 84px; border: 1px dashed #8a8ea3; border-radius: 4px; box-sizing: border-box;
  display: flex; align-items: center; justify-content: center; margin: 0 auto 4px; color: #565a6e; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(460px, 1fr)); gap: 12px; }
.charts > div { min-width: 0; }
pre { background: #f3f3f8; padding: 12px; border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print { .charts { grid-template-columns: 1fr 1fr; } h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; } }
"""


def document(title: str, body: Sequence[str], *, charts: bool) -> str:
    """The whole file. `charts`: plotly's script is put in, some 4 MB."""
    script = f"<script>{get_plotlyjs()}</script>" if charts else ""
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
            f"<style>{STYLE}</style>{script}</head><body><main>{''.join(body)}</main></body></html>")


def heading(text: str, level: int = 2) -> str:
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, *, quiet: bool = False) -> str:
    return f'<p{" class=quiet" if quiet else ""}>{escape(text)}</p>' if text else ""


def bullets(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def code(text: str) -> str:
    return f"<pre><code>{escape(text)}</code></pre>"


def folded(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The first column names the row; a cell that a row lacks is a dash."""
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = ""
    for row in rows:
        cells = [escape(str(row.get(name, "–"))) for name in names]
        body += f'<tr><th scope="row">{cells[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in cells[1:]) + "</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def image(png: bytes | None, alt: str) -> str:
    if png is None:
        return '<div class="none">not found</div>'
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{escape(alt)}">'


def strip(figures: Sequence[tuple[Sequence[tuple[bytes | None, str]], str]]) -> str:
    """A row of columns: pictures with their alternative texts above one caption."""
    columns = ""
    for pictures, caption in figures:
        shown = "".join(image(png, alt) for png, alt in pictures)
        columns += f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"
    return f'<div class="strip">{columns}</div>'


def charts(figures: Sequence[tuple[str, go.Figure]]) -> str:
    """Plotly charts under their titles; `document` must be told to bring the script."""
    parts = []
    for title, figure in figures:
        figure.update_layout(template="plotly_white")
        drawn = figure.to_html(full_html=False, include_plotlyjs=False, config={**AT_HOME, "responsive": True})
        parts.append(f"<div>{heading(title, 3)}{drawn}</div>")
    return f'<div class="charts">{"".join(parts)}</div>' if parts else ""
