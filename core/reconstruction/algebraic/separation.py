"""From a layered update to single samples: patterns of all layers and exact linear measurements.

Top down, since a layer's signal before the gate, W_{l+1}^T e_{l+1}, follows from the patterns above it. In the
last hidden layer all samples share it (the output weights), so each row of B divided by its weight is a
subset sum of N vectors; below, every sample has its own, which also says which sample is which.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.models.mlp import MLP
from core.reconstruction.algebraic.patterns import MOST_SAMPLES, Coordinates, coordinates, independent, search_words
from core.threat.layer_update import LayerUpdate

# Of a reading: float32 arithmetic of the fine-tuning alone blurs it beyond rounding; later steps more so.
# The second try looks for directions of most rows: inputs above the first layer move, and switched neurons with them.
TRIED = ((0.03, False), (0.03, True), (0.15, False), (0.15, True))
CLEAN = 0.005         # of the votes: a separation that misreads fewer needs no other try
FEW = 8               # samples up to which several tries are compared: each costs 2^N words
MISFIT = 0.2          # of the votes: above it, the words found are no patterns
CERTAIN = 0.25        # a reading further than this from its decision threshold, noise included, has a vote


@dataclass(frozen=True)
class LayerReading:
    """What one layer says of each of N samples."""

    on: Tensor            # [N, n] bool, the activation pattern
    certain: Tensor       # [N, n] bool: neurons whose reading is well away from the threshold
    signal: Tensor        # e [N, n]: the gate times the signal before it
    measured: Tensor      # k_i A h_i, [N, r]
    noise: Tensor         # [N], standard deviation of an entry of `measured`
    misfit: Tensor        # [N], share of the neurons that read neither 0 nor 1


@dataclass(frozen=True)
class Separation:
    """All samples, separated; `layers` by the number of the layer."""

    layers: dict[int, LayerReading]

    @property
    def samples(self) -> int:
        return len(next(iter(self.layers.values())).on)

    @property
    def misfit(self) -> Tensor:
        """[N], the worst over the layers."""
        return torch.stack([layer.misfit for layer in self.layers.values()]).max(0).values

    @property
    def unread(self) -> float:
        """Neurons that read neither 0 nor 1 or have no vote, as a mean share over layers and samples."""
        return sum(float((layer.misfit + 1 - layer.certain.double().mean(1)).mean())
                   for layer in self.layers.values()) / len(self.layers)


def first_alone(network: MLP, updates: dict[int, LayerUpdate]) -> bool:
    """Only the first of several hidden layers has an update: null directions are left."""
    return len(network.layers) > 2 and not any(level in updates for level in range(1, len(network.layers) - 1))


def separable(network: MLP, updates: dict[int, LayerUpdate]) -> str | None:
    """None where a separation applies, else why not, in one sentence."""
    last = len(network.layers) - 2
    if any(update.left is not None for update in updates.values()):
        return "The adapter began with A = 0, so that it shows blends of inputs and no activation patterns of neurons."
    if 0 not in updates:
        return "layers.0 has no update, so nothing linear in the pixels was released."
    if first_alone(network, updates):
        return None
    if last not in updates:
        return (f"layers.{last} has no update: without it the signals behind the gates of lower layers are unknown, so "
                "their patterns cannot be read.")
    missing = [level for level in range(last) if level not in updates]
    if missing:
        return f"layers.{missing[0]} has no update, so the patterns below it cannot be read."
    return None


def separate(network: MLP, updates: dict[int, LayerUpdate], *, samples: int) -> Separation | None:
    """Patterns and measurements of N samples; None where no N binary patterns explain the update."""
    if samples > MOST_SAMPLES or any(min(update.B.shape) < samples for level, update in updates.items()
                                     if level < len(network.layers) - 1):
        return None
    best: Separation | None = None
    for tolerance, robust in TRIED:
        found = _separate(network, updates, samples, tolerance, robust=robust)
        if found is not None and (best is None or found.unread < best.unread):
            best = found
        if best is not None and (float(best.misfit.max()) <= CLEAN or samples > FEW):
            break
    return best


def _separate(network: MLP, updates: dict[int, LayerUpdate], samples: int, tolerance: float, *,
              robust: bool) -> Separation | None:
    weights = [layer.weight.detach().cpu().double() for layer in network.layers]
    signal = torch.ones(samples, 1, dtype=torch.float64)
    found: dict[int, LayerReading] = {}
    for level in range(len(weights) - 2, -1, -1):
        before = signal @ weights[level + 1]                            # [N, n]
        update = updates[level]
        space = coordinates(update.B, samples=samples, precision=update.precision, floor=update.floor,
                            robust=robust and level > 0)
        shared = level == len(weights) - 2
        q = _shared(space, before[0], tolerance) if shared else _own(space, before, tolerance)
        if q is None:
            return None
        reading = _read(update, space, before, q)
        for _ in range(2):  # least squares over all neurons instead of the pivots, then once more
            reading = _read(update, space, before, _refit(space, reading))
        if not bool(reading.measured.norm(dim=1).all()):
            return None  # patterns that depend on each other are not those of N samples
        found[level] = reading
        signal = reading.signal
    return Separation(dict(sorted(found.items())))


def _shared(space: Coordinates, g: Tensor, tolerance: float) -> Tensor | None:
    """q [N, N] of a layer whose signal before the gate is the same for all samples."""
    N = space.M.shape[1]
    usable = g.abs() > 1e-12 * g.abs().max()
    safe = torch.where(usable, g, torch.inf)
    words = search_words(space, safe, weight=usable.double(), keep=8 * N, enough=N, tolerance=tolerance, most=MISFIT)
    chosen = independent(space, safe, words, N, most=MISFIT)
    return words.q[chosen] if len(chosen) == N else None


def _own(space: Coordinates, before: Tensor, tolerance: float) -> Tensor | None:
    """q [N, N] of a layer where each sample has its own signal before the gate."""
    size = before.abs()
    weight = (size / size.median(dim=1, keepdim=True).values.clamp(min=1e-300)).min(0).values.clamp(max=1)
    chosen = []
    for g in before:
        safe = torch.where(g.abs() > 1e-12 * g.abs().max(), g, torch.inf)
        words = search_words(space, safe, weight=weight, keep=1, enough=1, tolerance=tolerance, most=MISFIT)
        if not len(words.q) or words.misfit[0] > MISFIT:
            return None
        chosen.append(words.q[0])
    q = torch.stack(chosen)
    return q if float(torch.linalg.cond(q / q.norm(dim=1, keepdim=True))) < 1e10 else None


def _read(update: LayerUpdate, space: Coordinates, before: Tensor, q: Tensor) -> LayerReading:
    """Decide every gate from its reading, then fit the measurements to all neurons."""
    safe = torch.where(before.abs() > 1e-12 * before.abs().amax(1, keepdim=True), before, torch.inf)
    readings = (q @ space.M.T) / safe
    on = readings > 0.5
    signal = on * before
    scatter = q.norm(dim=1, keepdim=True) * space.noise / safe.abs()    # of a reading, by rounding
    distance = torch.minimum(readings.abs(), (readings - 1).abs())
    settled = (scatter < 0.05) & safe.isfinite()
    wrong = torch.stack([(row[keep] > 0.25).double().mean() if keep.any() else torch.ones((), dtype=row.dtype)
                         for row, keep in zip(distance, settled, strict=True)])
    certain = (0.5 - distance > CERTAIN) & (scatter < 0.1) & safe.isfinite()
    row_weight = (certain.all(0).double() / space.noise.clamp(min=1e-300))
    row_weight = row_weight / row_weight.max().clamp(min=1e-300)
    fit = torch.linalg.lstsq((signal * row_weight).T, update.B * row_weight[:, None], driver="gelsd").solution
    rest = (update.B - signal.T @ fit) * row_weight[:, None]
    degrees = max(1, int((row_weight > 0).sum()) - len(q))
    variance = rest.square().sum() / (degrees * update.B.shape[1])
    inverse = torch.linalg.pinv((signal * row_weight) @ (signal * row_weight).T)
    return LayerReading(on, certain, signal, fit, (variance * inverse.diagonal().clamp(min=0)).sqrt(), wrong)


def _refit(space: Coordinates, reading: LayerReading) -> Tensor:
    """q from the decided gates: M = signal^T C, so q is the inverse of C by rows."""
    keep = reading.certain.all(0).double() / space.noise.clamp(min=1e-300)
    C = torch.linalg.lstsq((reading.signal * keep).T, space.M * keep[:, None], driver="gelsd").solution
    return torch.linalg.pinv(C).T


def strongest_first(separation: Separation) -> Separation:
    """Samples ordered by the size of what the first layer measured, the strongest first."""
    order = separation.layers[0].measured.norm(dim=1).argsort(descending=True)
    return Separation({level: replace(layer, **{name: getattr(layer, name)[order] for name in vars(layer)})
                       for level, layer in separation.layers.items()})
