import math

import pytest
import torch
from torch import nn

from core.diagnostics.flips import flip_fractions, kink_distances
from core.models.mlp import MLP, TangentFeatures, tangent_features


def hidden_preactivations(network: MLP, x: torch.Tensor) -> list[torch.Tensor]:
    """What each hidden nn.Linear really puts out, caught by hooks."""
    caught: list[torch.Tensor] = []
    hooks = [layer.register_forward_hook(lambda _module, _args, out: caught.append(out))
             for layer in network.layers[:-1]]
    network(x)
    for hook in hooks:
        hook.remove()
    return caught


def with_preactivations(z: list[list[float]]) -> TangentFeatures:
    return TangentFeatures(torch.zeros(len(z)), [], [], [torch.tensor(z)])


def test_flips_count_changed_gates_of_the_real_networks(moved):
    before, after = (hidden_preactivations(network, moved.x) for network in (moved.network, moved.moved))
    fractions = flip_fractions(tangent_features(moved.network, moved.x), tangent_features(moved.moved, moved.x))
    assert list(fractions) == [f"layers.{index}" for index in range(len(before))]
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        flipped = sum((old[i, j] > 0).item() != (new[i, j] > 0).item()
                      for i in range(old.shape[0]) for j in range(old.shape[1]))
        assert flipped > 0
        assert fractions[f"layers.{index}"] == flipped / old.numel()


def test_zero_counts_as_closed():
    before = with_preactivations([[-1.0, 0.0, 2.0, 0.0]])
    after = with_preactivations([[0.0, 1.0, 0.0, -3.0]])
    assert flip_fractions(before, after) == {"layers.0": 0.5}  # the second and the third


def test_unchanged_weights_flip_nothing(moved):
    features = tangent_features(moved.network, moved.x)
    assert set(flip_fractions(features, features).values()) == {0.0}


def test_kink_distance_against_the_definition(moved):
    distances = kink_distances(tangent_features(moved.network, moved.x))
    for index, z in enumerate(hidden_preactivations(moved.network, moved.x)):
        relative = sorted((z.abs() / math.sqrt(float(((z - z.mean()) ** 2).mean()))).flatten().tolist())
        assert distances[f"layers.{index}"].smallest == pytest.approx(relative[0], rel=1e-12)
        assert distances[f"layers.{index}"].median == pytest.approx(relative[(len(relative) - 1) // 2], rel=1e-12)


def test_kink_distance_ignores_the_scale_of_a_layer(moved):
    features = tangent_features(moved.network, moved.x)
    with torch.no_grad():
        first: nn.Linear = moved.network.layers[0]
        first.weight *= 1e-4
        if first.bias is not None:
            first.bias *= 1e-4
    shrunk = kink_distances(tangent_features(moved.network, moved.x))["layers.0"]
    assert shrunk.median == pytest.approx(kink_distances(features)["layers.0"].median, rel=1e-9)
