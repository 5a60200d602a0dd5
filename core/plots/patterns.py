"""Plot data of neurons by samples: separated patterns, gates that flipped, gates that differ from the truth.

A row is a sample, a column a neuron. Columns are sorted by word (the neuron's states over the samples), so that
neurons which tell the same samples apart stand together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from core.io.errors import InputError
from core.io.wording import counted
from core.plots.palette import ACCENT, QUIET, STRONG
from core.plots.spectrum import layer_name

MOST_ROWS = 40
MOST_NEURONS = 2_000  # columns of a layer
MISSING = 255         # of a target without a reconstruction, in ``truth_patterns.safetensors``
FAINT = "rgba(139, 143, 163, 0.18)"  # a state that is the ground of the picture, in both themes

Rows = Mapping[str, NDArray[np.uint8]]  # by layer, [N, n]


@dataclass(frozen=True)
class State:
    """What a cell may say, and its colour."""

    name: str
    colour: str


@dataclass(frozen=True)
class LayerGates:
    """One layer: the state of each neuron for each sample, as an index into the picture's states."""

    name: str
    neurons: NDArray[np.int64]  # [n], which neuron a column is, counted from 1
    cells: NDArray[np.uint8]    # [N, n]
    apart: int                  # so many columns at the right end stand apart
    note: str


@dataclass(frozen=True)
class GatePicture:
    """One chart, a strip for each layer."""

    key: str
    title: str
    rows: list[str]
    states: tuple[State, ...]
    layers: list[LayerGates]
    help: str


def read_rows(path: Path, prefix: str) -> dict[str, NDArray[np.uint8]]:
    """Tensors named ``PREFIX.layers.l`` of a safetensors file, by layer; empty where there are none (yet)."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            names = [name for name in file.keys() if name.startswith(f"{prefix}.layers.")]
            return {name.removeprefix(f"{prefix}."): file.get_tensor(name) for name in sorted(names)}
    except FileNotFoundError:
        return {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"patterns: {path} cannot be read ({error}); run the run again.") from error


def separated_patterns(patterns: Rows, certain: Rows, *, order: Sequence[int | None] | None = None,
                       names: Sequence[str] = ()) -> GatePicture | None:
    """What the attack read off the update: on, off, or not certain. None where it read no patterns.

    `order` puts the samples into the order of the truth; neurons that are uncertain for any sample stand apart.
    """
    layers, count = [], max((len(on) for on in patterns.values()), default=0)
    targets = [(target, own) for target, own in enumerate(range(count) if order is None else order) if own is not None]
    chosen = [own for _, own in targets[:MOST_ROWS]]
    for name, on in (patterns if chosen else {}).items():
        sure = certain.get(name, np.ones_like(on)).astype(bool)
        on, sure = on[chosen], sure[chosen]
        doubtful: np.ndarray = ~np.asarray(sure.all(axis=0))
        cells = np.where(sure, on, 2).astype(np.uint8)
        columns = np.concatenate([_by_word(on, ~doubtful), _by_word(on, doubtful)])[:MOST_NEURONS]
        words = len(np.unique(on[:, ~doubtful], axis=1).T)
        apart = max(0, int(doubtful.sum()) - max(0, on.shape[1] - MOST_NEURONS))
        doubt = f", {counted(int(doubtful.sum()), 'neuron')} uncertain" if doubtful.any() else ""
        layers.append(LayerGates(layer_name(name), columns + 1, cells[:, columns], apart,
                                 f"{counted(on.shape[1], 'neuron')} in {counted(words, 'word')}{doubt}"))
    if not layers:
        return None
    named = _names(names, 1 + max((target for target, _ in targets), default=0))
    return GatePicture(
        "patterns", "Separated patterns", [named[target] for target, _ in targets[:MOST_ROWS]],
        (State("off", FAINT), State("on", STRONG), State("uncertain", ACCENT)), layers,
        "Which neurons are on for which sample, read off the update alone. Neurons of the same word (on for the same "
        "samples) stand together. Those whose reading is too close to the noise for some sample stand apart at the "
        "right: they do not vote on the images.")


def flipped_neurons(flipped: Rows, *, names: Sequence[str] = ()) -> GatePicture | None:
    """Gates that changed during a fine-tuning. None where none did: neurons that kept their gate are not drawn."""
    return _changes(flipped, names, "flipped", GatePicture(
        "flipped", "Which neurons flipped", [], (State("as at the base", FAINT), State("flipped", ACCENT)), [],
        "Neurons whose ReLU switched for some sample between the base and the last step; all others are not drawn. "
        "An attack that works with the base's patterns is wrong about exactly these."))


def switching_neurons(switched: Rows) -> GatePicture | None:
    """Gates that changed between the last two snapshots of an attack. None where none did."""
    return _changes(switched, (), "switched", GatePicture(
        "switching", "Which neurons still switch", [], (State("as before", FAINT), State("switched", ACCENT)), [],
        "Neurons whose ReLU switched for some candidate of the leading restart between the last two pictures; all "
        "others are not drawn. While many switch the images still change in kind; when none does, only their values "
        "are being refined."))


def _changes(rows_by_layer: Rows, names: Sequence[str], verb: str, picture: GatePicture) -> GatePicture | None:
    layers = []
    for name, rows in rows_by_layer.items():
        cells, columns = _marked(rows[:MOST_ROWS])
        if len(columns):
            shown = "" if len(columns) == np.count_nonzero(rows[:MOST_ROWS].any(axis=0)) else ", the most frequent here"
            layers.append(LayerGates(layer_name(name), columns + 1, cells, 0,
                                     f"{_of(np.asarray(rows.any(axis=0)))} {verb} for some sample{shown}"))
    return replace(picture, rows=_names(names, len(layers[0].cells)), layers=layers) if layers else None


def differing_gates(truth: Rows, found: Rows, *, names: Sequence[str] = ()) -> GatePicture | None:
    """Gates of reconstructions against those of the truth, at the base. None where all agree."""
    layers = []
    for name, own in truth.items():
        other, own = found[name][:MOST_ROWS], own[:MOST_ROWS]
        missing = other == MISSING
        differ = (other != own) & ~missing
        _, columns = _marked(differ.astype(np.uint8))
        if len(columns):
            cells = np.select([missing, differ & (own == 1), differ], [3, 1, 2], 0).astype(np.uint8)
            layers.append(LayerGates(layer_name(name), columns + 1, cells[:, columns], 0,
                                     f"{_of(differ.any(axis=0))} differ for some target"))
    if not layers:
        return None
    used = max(int(layer.cells.max()) for layer in layers)
    states = (State("agrees", FAINT), State("on in the truth alone", STRONG),
              State("on in the reconstruction alone", ACCENT), State("target not found", QUIET))
    return GatePicture(
        "differing", "Where reconstruction and truth differ", _names(names, len(layers[0].cells)),
        states[:max(3, used + 1)], layers,
        "Neurons of the base whose ReLU is on for a private sample and off for its reconstruction, or the other way "
        "round; neurons that agree for all are not drawn. Measured after the attack, with the truth.")


def _by_word(on: NDArray, keep: NDArray) -> NDArray[np.int64]:
    """Indices of the columns to keep, by falling word; the first row is its first letter."""
    columns = np.flatnonzero(keep)
    return columns[np.lexsort(1 - on[::-1, columns].astype(np.int8))] if len(columns) else columns


def _marked(rows: NDArray) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Columns with any mark, sorted by word; where there are too many, those with the most marks."""
    marks = (rows > 0).sum(axis=0)
    keep = marks > 0
    if keep.sum() > MOST_NEURONS:
        keep = np.zeros_like(keep)
        keep[np.argsort(-marks, kind="stable")[:MOST_NEURONS]] = True
    columns = _by_word(rows, keep)
    return rows[:, columns].astype(np.uint8), columns


def _names(names: Sequence[str], count: int) -> list[str]:
    return list(names[:count]) if names else [f"sample {index + 1}" for index in range(count)]


def _of(marks: NDArray) -> str:
    return f"{int(marks.sum()):,} of {counted(len(marks), 'neuron')}"
