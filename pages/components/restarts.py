"""Every restart of a search as a small multiple, at the step that is shown."""

import numpy as np
import streamlit as st

from core.io.wording import number
from core.plots.curves import Curves
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from pages.components.pictures import img, strip
from pages.components.reading import picture_rows, pictures

MOST_RESTART_IMAGES = 120
FEW = 6  # images of a restart that stand in one small multiple


def every_restart(run: Run, config: AttackConfig, step: int | None, drawn: Curves) -> None:
    """At `step`, or as they ended where that is None."""
    taken = sorted(run.file("snapshots").glob("restarts/*.png"))
    ended = pictures(run.file("restarts.png"))
    if not taken and not ended:
        return
    with st.expander(f"Every one of the {config.restarts} restarts", icon=":material/grid_view:",
                     key=f"restarts-{run.id}"):
        if step is None and ended:
            if len(ended) > MOST_RESTART_IMAGES:
                st.caption(f"The {MOST_RESTART_IMAGES} images of the smallest residuals, of {len(ended)}.")
            strip(ended[:MOST_RESTART_IMAGES], noun="restart image", size=56)
            return
        path = max((path for path in taken if step is None or int(path.stem) <= step), default=None)
        if path is None:
            st.caption("Nothing is kept of the restarts at this step.")
            return
        _multiples(picture_rows(path), residuals(drawn, int(path.stem)), int(path.stem))


def residuals(drawn: Curves, step: int) -> dict[int, float]:
    """Restart (from 0) to its residual at `step`, as far as it was searched then."""
    rows = drawn.points("restart_losses", listed=True)
    rows = rows[rows[:, 0] <= step]
    if not len(rows):
        return {}
    return {index: value for index, value in enumerate(rows[-1, 2:].tolist()) if np.isfinite(value)}


def _multiples(rows: dict[str, list[bytes]], losses: dict[int, float], step: int) -> None:
    order = sorted(rows, key=lambda name: losses.get(int(name), np.inf))
    st.caption(f"At step {step:,}, the smallest residual first; the truth plays no part in the order. Restarts that "
               "were dropped are gone.")
    cells = []
    for rank, name in enumerate(order):
        shown = "".join(img(png, f"restart {int(name) + 1}, image {index}", 56)
                        for index, png in enumerate(rows[name][:FEW], 1))
        words = f"restart {int(name) + 1} · {number(losses.get(int(name)))}"
        cells.append(f'<figure class="ai-multiple{" ai-leads" if not rank else ""}"><div>{shown}</div>'
                     f"<figcaption>{words}{' · leads' if not rank else ''}</figcaption></figure>")
    st.html(f'<div class="ai-strip">{"".join(cells)}</div>')
