"""Plot data of what an attack recovered of each sample's coefficient, beside the true one where that is known."""

from dataclasses import dataclass
from typing import Any

from core.data.catalogue import label_name
from core.plots.compare import in_order_of_truth
from core.reconstruction.registry import explains_weights


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


def coefficient_chart(report: dict[str, Any] | None, *, rounding_floor: float | None = None) -> Coefficients | None:
    """From an attack's report; None where the method recovers none.

    `rounding_floor` is that of the victim's report. Of files made elsewhere the spectrum's noise stands in for it.
    """
    values = (report or {}).get("coefficients")
    if not values or not any(values):
        return None
    score = report.get("score") or {}
    series = [_series("recovered", in_order_of_truth(values, report))]
    if score.get("coefficients") and not explains_weights(report.get("method", "")):
        series.append(_series("true", score["coefficients"]))
    labels = score.get("labels") or in_order_of_truth(report.get("labels") or [], report)
    found = in_order_of_truth(report.get("labels") or [], report)
    names = []
    for index in range(len(series[0].values)):
        label = label_name(score, labels[index]) if index < len(labels) else ""
        wrong = "wrong label" if score.get("labels") and index < len(found) and found[index] not in (
            None, labels[index]) else ""
        names.append(" · ".join(part for part in (str(index + 1), label, wrong) if part))
    floor, floor_name = rounding_floor, "visibility floor"
    if floor is None and report.get("spectrum"):
        floor = min(fact["noise"] / fact["values"][0] for fact in report["spectrum"].values() if fact["values"][0])
        floor_name = "noise of the update"
    return Coefficients(
        "recovered_coefficients", "Coefficient of each sample", "|coefficient| / largest", names, series, floor,
        floor_name, "What multiplies each sample's feature in the update, as the attack recovered it, beside the true "
        "one where the victim is ours. Its sign gives the label away. Under the dashed line a sample drowns in the "
        "rounding of the released files.")


def _series(name: str, values: list[float | None]) -> CoefficientSeries:
    sizes = [abs(value) if value is not None else None for value in values]
    largest = max((size for size in sizes if size is not None), default=0.0) or 1.0
    return CoefficientSeries(name, [None if size is None else size / largest for size in sizes], list(values))
