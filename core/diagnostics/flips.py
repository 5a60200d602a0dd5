"""Neuron flips and the distance to the kink: how far the activation pattern has moved, or soon may.

A linearised attack assumes that the pattern at theta_0 still holds at theta_t. A flip is a
(sample, neuron) pair whose pre-activation has changed side; the kink distance says how much room
there is before pairs flip.
"""

from dataclasses import dataclass

from torch import Tensor

from core.models.mlp import TangentFeatures


def gates(features: TangentFeatures) -> dict[str, Tensor]:
    """Activation patterns by hidden layer, [N, n] bool.

    A gate is open where z > 0, as ReLU's derivative has it: z = 0 counts as closed.
    """
    return {f"layers.{index}": z > 0 for index, z in enumerate(features.preactivations)}


def flipped(before: TangentFeatures, after: TangentFeatures) -> dict[str, Tensor]:
    """Which (sample, neuron) pairs of each hidden layer have another gate than before, [N, n] bool."""
    old, new = gates(before), gates(after)
    return {name: old[name] != new[name] for name in old}


def flip_fractions(before: TangentFeatures, after: TangentFeatures) -> dict[str, float]:
    """Fraction in [0, 1] of (sample, neuron) pairs of each hidden layer whose gate differs."""
    return {name: int(pairs.sum()) / pairs.numel() for name, pairs in flipped(before, after).items()}


@dataclass(frozen=True)
class KinkDistance:
    """Of one hidden layer: |z| over (sample, neuron) pairs, in standard deviations of that layer's z."""

    median: float    # half of the pairs lie closer to the kink than this
    smallest: float  # the pair that flips first


def kink_distances(features: TangentFeatures) -> dict[str, KinkDistance]:
    """Distance of the pre-activations to the ReLU kink, by hidden layer; 0 is at the kink.

    Defined as |z| / std(z), the (population) standard deviation taken over all (sample, neuron)
    pairs of the layer, so that it does not change when a layer is rescaled. NaN or infinite where
    all z are equal.
    """
    distances = {}
    for index, z in enumerate(features.preactivations):
        relative = z.abs() / z.std(correction=0)
        distances[f"layers.{index}"] = KinkDistance(float(relative.median()), float(relative.min()))
    return distances
