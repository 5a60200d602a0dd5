"""Why did it fail? One panel for an attack: each known reason, its verdict and the number behind it."""

import streamlit as st

from core.assessment.failure_reasons import (
    CLEAR,
    FAILED,
    SUSPECT,
    UNKNOWN,
    Reason,
    headline,
    missed,
    reasons,
    sample_rows,
)
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.reports.attack import AttackReport
from core.runs.reports.training import FinetuneReport, PretrainReport
from core.runs.store import origin
from pages.components.layout import verdict_table
from pages.components.pictures import data_uri
from pages.components.reading import pictures

WORDS = {FAILED: ("✕", "stands in the way"), SUSPECT: ("!", "may stand in the way"), CLEAR: ("✓", "ruled out"),
         UNKNOWN: ("?", "not known")}
FORMATS = {"SSIM": "%.2f", "coefficient / largest": "%.2g", "feature cosine": "%.4f", "wrong gates": "percent"}


def why(run: Run, config: AttackConfig, report: AttackReport | None, victim: Run | None) -> None:
    """Nothing before the attack has ended."""
    if not report:
        return
    tuned, base = victim and victim.outcome(FinetuneReport), origin(run)
    lost = missed(report)
    complete = report.score is not None and not lost
    found = reasons(config, report, victim=tuned, base=base and base.outcome(PretrainReport))
    with st.expander("Why it worked" if complete else "Why did it fail?" if lost else "What may stand in the way",
                     icon=":material/troubleshoot:", expanded=bool(lost), key=f"why-{run.id}"):
        st.markdown(f"**{headline(report)}** Each known reason, checked on this run; the truth is used here, after the "
                    "attack, and never by it.")
        verdict_table(("Verdict", "Reason", "In this run", "Evidence"), map(_row, found))
        rows = sample_rows(report, tuned)
        if lost and rows:
            truth = pictures(run.file("truth.png"))
            for row, png in zip(rows, truth, strict=False):
                row["picture"] = data_uri(png)
            st.markdown("**Each target, and what could have kept it back**")
            names = ["target", "picture", *(name for name in rows[0] if name not in ("target", "picture"))]
            st.dataframe(rows, hide_index=True, alt="One row for each target with its score and diagnostics",
                         column_order=names, column_config={"picture": st.column_config.ImageColumn("truth"), **{
                             name: st.column_config.NumberColumn(format=shown) for name, shown in FORMATS.items()}})


def _row(reason: Reason) -> tuple[str, str, list[str]]:
    mark, words = WORDS[reason.verdict]
    return reason.verdict, mark, [words, reason.name, reason.text, reason.evidence]
