"""Plot data of what an attack recovered of each sample's coefficient, beside the true one where that is known."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.data.catalogue import label_name
from core.plots.compare import in_order_of_truth
from core.reconstruction.registry import explains_weights
from core.runs.reports.attack import AttackReport
from core.runs.reports.score import Score


@dataclass(frozen=True)
class CoefficientSeries:
    """One bar a sample: recovered, or true."""

    name: str
    values: list[float | None]  # |coefficient| / the largest of this series; None where a target was not found
    sizes: list[float | None]   # as they are, signed


@dataclass(frozen=True)
class Coefficients:
    """One chart of bars on a log axis, with the floor under which no attack can see."""

    key: str
    title: str
    y_title: str
    names: list[str]
    series: list[CoefficientSeries]
    floor: float | None
    floor_name: str
    help: str


def coefficient_chart(report: AttackReport | None, *, rounding_floor: float | None = None) -> Coefficients | None:
    """From an attack's report; None where the method recovers none.

    `rounding_floor` is that of the victim's report. Of files made elsewhere the spectrum's noise stands in for it.
    """
    if not report or not any(report.coefficients):
        return None
    score = report.score or Score()
    series = [_series("recovered", in_order_of_truth(report.coefficients, report))]
    if score.coefficients and not explains_weights(report.method):
        series.append(_series("true", score.coefficients))
    found = in_order_of_truth(report.labels, report)
    labels = score.labels or found
    names = []
    for index in range(len(series[0].values)):
        label = label_name(score.problem, labels[index]) if index < len(labels) else ""
        wrong = "wrong label" if score.labels and index < len(found) and found[index] not in (
            None, labels[index]) else ""
        names.append(" · ".join(part for part in (str(index + 1), label, wrong) if part))
    floor, floor_name = rounding_floor, "visibility floor"
    if floor is None and report.spectrum:
        floor = min(layer.noise / layer.values[0] for layer in report.spectrum.values() if layer.values[0])
        floor_name = "noise of the update"
    return Coefficients(
        "recovered_coefficients", "Coefficient of each sample", "|coefficient| / largest", names, series, floor,
        floor_name, "What multiplies each sample's feature in the update, as the attack recovered it, beside the true "
        "one where the victim is ours. Its sign gives the label away. Under the dashed line a sample drowns in the "
        "rounding of the released files.")


def _series(name: str, values: Sequence[float | None]) -> CoefficientSeries:
    sizes = [abs(value) if value is not None else None for value in values]
    largest = max((size for size in sizes if size is not None), default=0.0) or 1.0
    return CoefficientSeries(name, [None if size is None else size / largest for size in sizes], list(values))
