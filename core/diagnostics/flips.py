"""Neuron flips and the distance to the kink: how far the activation pattern has moved, or soon may.

A linearised attack assumes that the pattern at theta_0 still holds at theta_t. A flip is a
(sample, neuron) pair whose pre-activation has changed side; the kink distance says how much room
there is before pairs flip.
"""

from dataclasses import dataclass

from core.models.mlp import TangentFeatures


def flip_fractions(before: TangentFeatures, after: TangentFeatures) -> dict[str, float]:
    """Fraction in [0, 1] of (sample, neuron) pairs of each hidden layer whose gate differs.

    A gate is open where z > 0, as ReLU's derivative has it: z = 0 counts as closed.
    """
    pairs = enumerate(zip(before.preactivations, after.preactivations, strict=True))
    return {f"layers.{index}": int(((old > 0) != (new > 0)).sum()) / old.numel() for index, (old, new) in pairs}


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
