"""All diagnostics of a fine-tuning step against theta_0, from one pass over the samples."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.artifacts.factors import Factors
from core.diagnostics.coefficients import coefficient_drift, loss_coefficients
from core.diagnostics.features import feature_cosines
from core.diagnostics.flips import KinkDistance, flip_fractions, flipped, kink_distances
from core.models.mlp import MLP, TangentFeatures, layer_names, tangent_features


@dataclass(frozen=True)
class Measurement:
    """The diagnostics at one step. Lists run over the N private samples."""

    loss: float                           # mean binary cross-entropy
    flips: dict[str, float]               # by hidden layer, fraction of (sample, neuron) pairs
    feature_cosine: list[float]           # of the full tangent features at theta_0 and theta_t
    coefficients: list[float]             # g_i = dL/df_i of the mean loss over all N
    coefficient_drift: list[float]        # |g_t - g_0| / |g_0|
    weight_change: float                  # ||theta_t - theta_0|| / ||theta_0||, over all layers
    kink_distance: dict[str, KinkDistance]

    def row(self) -> dict[str, float | list[float]]:
        """Flat names for the metrics of a run."""
        return {
            "loss": self.loss,
            **{f"flips.{name}": value for name, value in self.flips.items()},
            "feature_cosine": self.feature_cosine,
            "feature_cosine_mean": sum(self.feature_cosine) / len(self.feature_cosine),
            "coefficients": self.coefficients,
            "coefficient_drift": self.coefficient_drift,
            "weight_change": self.weight_change,
            **{f"kink_distance.{name}": value.median for name, value in self.kink_distance.items()},
            **{f"kink_distance_smallest.{name}": value.smallest for name, value in self.kink_distance.items()},
        }


@dataclass(frozen=True)
class Moved:
    """The samples at a later theta."""

    features: TangentFeatures
    change: Tensor   # ||theta - theta_0||, a scalar


class Probe:
    """Remembers the samples and their features at theta_0; `measure` compares a later theta with it."""

    def __init__(self, network: MLP, x: Tensor, labels: Tensor) -> None:
        """`x` [N, C, H, W] in [0, 1] and `labels` [N] in {0, 1}, on the network's device."""
        self._network = network
        self._x = x
        self._labels = labels
        self._before = tangent_features(network, x)
        self._coefficients = loss_coefficients(self._before.logits, labels)
        self._norm = torch.cat([p.detach().flatten() for p in network.parameters()]).norm()

    def with_factors(self, layers: dict[str, Factors]) -> Moved:
        """theta_0 + scaling * B A, layer by layer; layers not in `layers` are unchanged."""
        with torch.no_grad():
            weights, changes = [layer.weight for layer in self._network.layers], [torch.zeros_like(self._norm)]
            for index, name in enumerate(layer_names(self._network)):
                if name in layers:
                    delta = layers[name].scaling * (layers[name].B @ layers[name].A)
                    weights[index] = weights[index] + delta
                    changes.append(torch.linalg.vector_norm(delta))
            return Moved(tangent_features(self._network, self._x, weights), torch.stack(changes).norm())

    def with_weights(self, network: MLP) -> Moved:
        """The weights and biases of a whole network on the same device."""
        with torch.no_grad():
            pairs = zip(network.parameters(), self._network.parameters(), strict=True)
            change = torch.stack([torch.linalg.vector_norm(new - old) for new, old in pairs]).norm()
            return Moved(tangent_features(network, self._x), change)

    def measure(self, moved: Moved) -> Measurement:
        """Diagnostics at a later theta."""
        return self._compare(moved.features, float(moved.change / self._norm))

    def flipped(self, moved: Moved) -> dict[str, Tensor]:
        """Which (sample, neuron) gates have changed, by hidden layer: [N, n] bool on the CPU."""
        return {name: pairs.cpu() for name, pairs in flipped(self._before, moved.features).items()}

    def _compare(self, after: TangentFeatures, weight_change: float) -> Measurement:
        coefficients = loss_coefficients(after.logits, self._labels)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            after.logits.cpu().double(), self._labels.cpu().double())
        return Measurement(
            loss=float(loss),
            flips=flip_fractions(self._before, after),
            feature_cosine=feature_cosines(self._network, self._before, after).tolist(),
            coefficients=coefficients.tolist(),
            coefficient_drift=coefficient_drift(self._coefficients, coefficients).tolist(),
            weight_change=weight_change,
            kink_distance=kink_distances(after))
