"""The spectra of an update as facts of a report: what N is read from, layer by layer."""

from dataclasses import replace
from typing import Any

from core.threat.observation import AdapterDelta, WeightDelta
from core.threat.spectrum import count_samples, signal

MOST_VALUES = 64  # of a layer; what lies beyond is rounding


def spectra(observation: AdapterDelta | WeightDelta) -> dict[str, dict[str, Any]]:
    """By hidden layer: singular values, largest first, the size below which they may be rounding, and N read there."""
    found = {}
    for name, values, floor in signal(observation):
        alone = replace(observation, layers={name: observation.layers[name]})
        found[name] = {"values": values[:MOST_VALUES].tolist(), "noise": floor,
                       "samples": count_samples(alone, most=MOST_VALUES).samples}
    return found
