"""All scored attacks at once: filters, a score over any knob, parallel coordinates, and a table to choose from."""

from typing import Any

import streamlit as st

from core.io.wording import counted
from core.plots.landscape import AXES, SCORES, landscape_row, parallel, scatter
from core.runs.directory import Run
from core.runs.store import RunStore
from pages.components.layout import NAVIGATION, linked
from pages.components.plot import plot
from pages.components.runs import IMAGES_HIGH, IMAGES_WIDE, thumbnail_uri

FILTERS = {"method": "Method", "threat": "Threat", "optimizer": "Fine-tuned with"}
SHOWN = ["run", "images", "mean_ssim", "mean_image", "wrong_release", "finding", "recovered", "method", "threat",
         "rank", "samples", "steps", "restarts", "residual", "seconds", "tags", "note", "open"]
COLUMNS = {"images": "truth and found", "mean_ssim": "mean SSIM", "mean_image": "mean image",
           "wrong_release": "wrong release", "recovered": "above 0.4", "samples": "N",
           "steps": "T", "restarts": "R", "residual": "relative residual"}
FORMATS = {"mean_ssim": "%.2f", "mean_image": "%.2f", "wrong_release": "%.2f", "recovered": "percent",
           "residual": "%.2g", "seconds": "%.0f"}


def landscape() -> None:
    rows = [row for run in RunStore().list(kind="attack") if (row := _row(run))]
    if not rows:
        st.info("No attack has been scored yet. A finished attack on a fine-tuning of this laboratory appears here.",
                icon=":material/lightbulb:")
        st.page_link(NAVIGATION["attack"].script, label="Go to Attack", icon=NAVIGATION["attack"].icon)
        return
    rows = _filtered(rows)
    left, right = st.columns(2)
    score = linked(left.selectbox, "Score", list(SCORES), key="score", format_func=SCORES.__getitem__)
    over = linked(right.selectbox, "Over", list(AXES), key="over", format_func=lambda name: AXES[name][0])
    usable = sum(isinstance(row[over], int | float) for row in rows)
    heading = f"{SCORES[score]}, over {AXES[over][0]}"
    st.markdown(f"**{heading[0].upper()}{heading[1:]}**")
    st.caption((f"{counted(usable, 'attack')} of {len(rows)}: the others have no such number. " if usable < len(rows)
                else "") + "Click a point to open its run.")
    picked = plot(scatter(rows, over=over, score=score), key=f"landscape-{over}-{score}", selectable=True,
                  alt=f"{SCORES[score]} over {AXES[over][0]}, one point for each attack; the table below has the same "
                  "numbers")
    if picked:
        st.switch_page(NAVIGATION["attack"].script, query_params={"run": picked[0][0]})
    if lines := parallel(rows, score=score):
        st.markdown("**Every knob at once**", help="One line for each attack. Drag along an axis to keep only the "
                    "lines that pass there.")
        plot(lines, key=f"parallel-{score}", alt="Parallel coordinates of all knobs, coloured by the score")
    st.markdown("**All of them**")
    _table(rows)


def _row(run: Run) -> dict[str, Any] | None:
    """Read once for each state of the run's files."""
    stamps = []
    for name in ("report.json", "notes.json"):
        path = run.file(name)
        stamps.append(path.stat().st_mtime_ns if path.exists() else 0)
    return _read(str(run.path), tuple(stamps)) if stamps[0] else None


@st.cache_data(max_entries=4096, show_spinner=False)
def _read(path: str, stamps: tuple[int, ...]) -> dict[str, Any] | None:
    run = Run(path)
    row = landscape_row(run)
    return row and row | {"images": thumbnail_uri(run), "open": f"/attack?run={run.id}"}


def _filtered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    tags = sorted({tag for row in rows for tag in row["tags"].split(", ") if tag})
    wanted: dict[str, list[str]] = {}
    with st.container(horizontal=True):
        for name, label in FILTERS.items():
            options = sorted({row[name] for row in rows if row[name]})
            if len(options) > 1:
                wanted[name] = st.multiselect(label, options, key=f"landscape-{name}", placeholder="all",
                                              persist_state="session")
        chosen = st.multiselect("Tags", tags, key="landscape-tags", placeholder="all", persist_state="session") if \
            tags else []
    kept = [row for row in rows if all(not values or row[name] in values for name, values in wanted.items())
            and (not chosen or set(chosen) & set(row["tags"].split(", ")))]
    if not kept:
        st.info("No attack passes these filters; clear one of them. All are shown.", icon=":material/filter_alt_off:")
    return kept or rows


def _table(rows: list[dict[str, Any]]) -> None:
    shown = [{name: str(row[name]) if name == "rank" else row[name] for name in SHOWN} for row in rows]
    config = {name: st.column_config.NumberColumn(COLUMNS.get(name, name), format=FORMATS[name])
              if name in FORMATS else st.column_config.Column(COLUMNS.get(name, name)) for name in SHOWN}
    config |= {"images": st.column_config.ImageColumn(COLUMNS["images"], width=IMAGES_WIDE),
               "open": st.column_config.LinkColumn(display_text="open", width="small")}
    event = st.dataframe(shown, hide_index=True, row_height=IMAGES_HIGH, placeholder="–", on_select="rerun",
                         selection_mode="multi-row", key="landscape-table", column_config=config,
                         alt="One row for each scored attack; tick rows to compare them")
    chosen = [rows[index]["id"] for index in event.selection.rows]
    if st.button(f"Compare {counted(len(chosen), 'run')} side by side" if chosen else "Compare side by side",
                 icon=":material/compare:", disabled=len(chosen) < 2, help="Tick two or more rows first."):
        st.switch_page(NAVIGATION["compare"].script, query_params={"runs": ",".join(chosen)})
