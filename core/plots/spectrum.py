"""Plot data of an update's spectrum: where the samples end and the noise begins."""

from dataclasses import dataclass

from core.runs.reports import stored
from core.runs.reports.attack import AttackReport
from core.runs.reports.training import FinetuneReport

LEAST_SHOWN = 12     # values, so that the noise behind the gap is seen
BELOW_NOISE = 1e-3   # of the floor: smaller values stand there, since 1e-19 and 1e-30 are equally nothing


@dataclass(frozen=True)
class LayerSpectrum:
    """Singular values of one layer's update, largest first, and what was read off them."""

    name: str              # "layer 1"
    values: list[float]    # relative to the largest
    sizes: list[float]     # as they are
    noise: float           # relative: below it, a value may be rounding
    samples: int           # N as this layer alone tells it
    gap: float | None      # factor between the last sample and the next value, or the noise where that is larger


@dataclass(frozen=True)
class Spectrum:
    """One chart: the spectra of all layers and the N of the run."""

    key: str
    title: str
    x_title: str
    y_title: str
    layers: list[LayerSpectrum]
    samples: int
    help: str


def spectrum_chart(report: AttackReport | FinetuneReport | None) -> Spectrum | None:
    """From a report's ``spectrum``; None where the method gives none."""
    found = sorted(report.spectrum.items()) if report else []
    layers = [_layer(name, layer) for name, layer in found if layer.values and layer.values[0]]
    if not layers:
        return None
    samples = report.samples or 0
    shown = max(LEAST_SHOWN, 3 * max(samples, *(layer.samples for layer in layers)))
    layers = [LayerSpectrum(layer.name, layer.values[:shown], layer.sizes[:shown], layer.noise, layer.samples,
                            layer.gap) for layer in layers]
    return Spectrum("spectrum", "Spectrum of the update", "singular value, by size", "relative to the largest", layers,
                    samples, "Singular values of each trained layer's update. A step moves the weights along one "
                    "direction a sample, so N values stand above the noise; the gap behind them gives N away. Dashed: "
                    "the noise that the stored precision makes. The upright line stands behind the N of this run.")


def _layer(name: str, read: stored.LayerSpectrum) -> LayerSpectrum:
    values, samples = read.values, read.samples
    largest, noise = values[0], read.noise / values[0]
    relative = [max(value / largest, noise * BELOW_NOISE) for value in values]
    after = max(relative[samples] if samples < len(relative) else 0.0, noise)
    gap = relative[samples - 1] / after if 0 < samples <= len(relative) and after > 0 else None
    return LayerSpectrum(layer_name(name), relative, list(values), noise, samples, gap)


def layer_name(name: str) -> str:
    """``layers.0`` as people count: ``layer 1``."""
    return f"layer {int(name.rsplit('.', 1)[1]) + 1}"
