"""Pieces of a self-contained HTML page, from the templates beside this module: every text escaped, every picture and
script inside the file."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from core.plots.figures import AT_HOME

TEMPLATES = Environment(loader=PackageLoader("core.report"), autoescape=True, undefined=StrictUndefined,
                        trim_blocks=True, lstrip_blocks=True)
_PIECES = TEMPLATES.get_template("pieces.html").module
NOTHING = Markup("")


def document(title: str, body: Sequence[Markup], *, charts: bool) -> str:
    """The whole file. `charts`: plotly's script is put in, some 4 MB."""
    script = Markup(get_plotlyjs()) if charts else None
    return TEMPLATES.get_template("document.html").render(title=title, body=body, script=script)


def heading(text: str, level: int = 2) -> Markup:
    return _PIECES.heading(text, level)


def paragraph(text: str, *, quiet: bool = False) -> Markup:
    return _PIECES.paragraph(text, quiet) if text else NOTHING


def bullets(lines: Sequence[str]) -> Markup:
    return _PIECES.bullets(lines) if lines else NOTHING


def code(text: str) -> Markup:
    return _PIECES.code(text)


def folded(title: str, content: Markup) -> Markup:
    return _PIECES.folded(title, content)


def table(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """The first column names the row; a cell that a row lacks is a dash."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _PIECES.table(names, [[row.get(name, "–") for name in names] for row in rows]) if rows else NOTHING


def strip(figures: Sequence[tuple[Sequence[tuple[bytes | None, str]], str]]) -> Markup:
    """A row of columns: pictures (PNG; None was not found) with their alternative texts above one caption."""
    return _PIECES.strip([([(png and base64.b64encode(png).decode(), alt) for png, alt in pictures], caption)
                          for pictures, caption in figures])


def charts(figures: Sequence[tuple[str, go.Figure]]) -> Markup:
    """Plotly charts under their titles; `document` must be told to bring the script."""
    drawn = []
    for title, figure in figures:
        figure.update_layout(template="plotly_white")
        drawn.append((title, Markup(figure.to_html(full_html=False, include_plotlyjs=False,
                                                   config={**AT_HOME, "responsive": True}))))
    return _PIECES.charts(drawn) if drawn else NOTHING
