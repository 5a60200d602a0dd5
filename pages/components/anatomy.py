"""What an update gives away, drawn: its spectrum, coefficients, patterns, and the neurons that mislead."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.data.catalogue import label_name
from core.io.wording import counted, percent
from core.plots.coefficients import coefficient_chart
from core.plots.patterns import differing_gates, flipped_neurons, separated_patterns, switching_neurons
from core.plots.spectrum import spectrum_chart
from core.reconstruction.registry import searches, title
from core.runs.directory import Run
from core.runs.reports.attack import AttackReport
from core.runs.reports.score import Score
from core.runs.reports.training import FinetuneReport
from pages.components.charts import chart
from pages.components.layout import chips
from pages.components.reading import gate_rows


def attack_anatomy(run: Run, report: AttackReport | None, victim: Run | None) -> None:
    """After an attack: what its method read off the update, and where that differs from the truth."""
    if not report:
        return
    method, score = title(report.method), report.score or Score()
    st.subheader("What the update gives away", anchor=False)
    _measurements(report, score)
    left, right = st.columns(2, gap="medium")
    with left:
        _drawn(spectrum_chart(report), run, "Spectrum of the update", f"The {method} attack does not read the number "
               "of samples off singular values of the update.")
    with right:
        tuned = victim and victim.outcome(FinetuneReport)
        drawn = coefficient_chart(report, rounding_floor=tuned and tuned.rounding_floor)
        _drawn(drawn, run, "Coefficient of each sample", "No coefficients were recovered.")
    names = _names(score.problem, score.labels or report.labels)
    stored = run.file("result.safetensors")
    _drawn(separated_patterns(gate_rows(stored, "patterns"), gate_rows(stored, "certain"),
                              order=score.assignment or None, names=names), run, "Separated patterns",
           "No samples could be separated; what limits this reconstruction says why."
           if not searches(report.method) else
           f"The {method} attack searches whole images and reads no activation patterns; the algebraic attack does.")
    truth = run.file("truth_patterns.safetensors")
    if report.score is None:
        return
    if score.of:  # training digits of a base: gates are compared for the samples of a fine-tuning alone
        return
    known = gate_rows(truth, "truth")
    _drawn(differing_gates(known, gate_rows(truth, "found"), names=names), run,
           "Where reconstruction and truth differ", _why_equal(known, score))


def _why_equal(known: Mapping[str, Any], score: Score) -> str:
    if not known:
        return "This attack was scored before patterns were compared; run it again."
    if not any(index is not None for index in score.assignment):
        return "No reconstruction was matched to any target."
    return "Every neuron of the base is on for the reconstruction where it is on for the truth."


def flipped_anatomy(run: Run, report: FinetuneReport | None) -> None:
    """Of a fine-tuning: the neurons that switched, and at its end the spectrum of what is released."""
    if not report:
        _drawn(flipped_neurons(gate_rows(run.file("gates.safetensors"), "switched")), run, "Which neurons flipped",
               "None so far, at the last look.")
        return
    if drawn := spectrum_chart(report):
        left, right = st.columns([2, 3], gap="medium")
        with left:
            chart(drawn, run.id)
    else:
        right = st.container()
    flipped = gate_rows(run.file("result.safetensors"), "flipped")
    with right:
        _drawn(flipped_neurons(flipped, names=_names(report.problem, report.labels)), run, "Which neurons flipped",
               "No neuron switched for any sample: the base's activation patterns hold throughout." if flipped else
               "This run was made before flipped neurons were stored; fine-tune again to see them.")


def switching(run: Run) -> None:
    """While an attack searches images: the neurons that are not settled."""
    if (path := run.file("gates.safetensors")).exists():
        _drawn(switching_neurons(gate_rows(path, "switched")), run, "Which neurons still switch",
               "None between the last two pictures.")


def _measurements(report: AttackReport, score: Score) -> None:
    """Facts of a method that measures: equations, signs, and how many of them are wrong."""
    shares = [share for rows in score.pattern_mismatch.values() for share in rows if share is not None]
    differ = [share for rows in score.gate_mismatch.values() for share in rows if share is not None]
    labels, found = score.labels, report.labels
    right = sum(own is not None and own < len(found) and found[own] == label
                for label, own in zip(labels, score.assignment, strict=False))
    chips({"Equations a sample": f"{report.equations:,} for {report.unknowns:,} pixels"
           if report.equations and report.unknowns else "",
           "signs a sample": f"{report.signs:,}" if report.signs else "",
           "separated gates that are wrong": percent(sum(shares) / len(shares)) if shares else "",
           "gates of the images that are wrong": percent(sum(differ) / len(differ)) if differ else "",
           "labels right": f"{right} of {counted(len(labels), 'target')}" if labels else ""})


def _drawn(data: Any, run: Run, title: str, otherwise: str) -> None:
    """The chart, or under its title the sentence that says why there is none."""
    if data is not None:
        chart(data, run.id)
    else:
        st.markdown(f"**{title}**")
        st.caption(otherwise)


def _names(problem: str, labels: Sequence[int]) -> list[str]:
    return [f"{index + 1} · {label_name(problem, label)}" for index, label in enumerate(labels)]
