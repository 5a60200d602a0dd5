import pytest
import torch

from core.diagnostics.features import feature_cosines, feature_products
from core.models.mlp import MLP, tangent_features


def explicit_features(network: MLP, x: torch.Tensor) -> torch.Tensor:
    """[N, P]: the gradient of each logit with respect to all parameters, by autograd, one by one."""
    network.requires_grad_(True)
    rows = [torch.cat([g.flatten() for g in torch.autograd.grad(network(x[i: i + 1]).sum(), network.parameters())])
            for i in range(len(x))]
    network.requires_grad_(False)
    return torch.stack(rows)


def features_after(moved):
    """At W0 + scaling * B A through the `weights` argument, as a fine-tuning run computes it."""
    weights = [layer.weight for layer in moved.network.layers]
    for index, factors in enumerate(moved.update.values()):
        weights[index] = weights[index] + factors.scaling * factors.B @ factors.A
    return tangent_features(moved.network, moved.x, weights)


def test_cosines_against_autograd(moved):
    before, after = explicit_features(moved.network, moved.x), explicit_features(moved.moved, moved.x)
    expected = torch.nn.functional.cosine_similarity(before, after, dim=1)
    found = feature_cosines(moved.network, tangent_features(moved.network, moved.x), features_after(moved))
    assert expected.max() < 0.999
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_products_against_autograd(moved):
    before, after = explicit_features(moved.network, moved.x), explicit_features(moved.moved, moved.x)
    found = feature_products(moved.network, tangent_features(moved.network, moved.x), features_after(moved))
    torch.testing.assert_close(found, (before * after).sum(1), rtol=1e-12, atol=1e-12)


def test_same_weights_have_cosine_one(moved):
    features = tangent_features(moved.network, moved.x)
    assert feature_cosines(moved.network, features, features).tolist() == pytest.approx([1.0] * 5, abs=1e-12)


def test_a_dead_sample_has_no_cosine():
    network = MLP([4, 3, 1], image_shape=(1, 2, 2), biases=[False, False]).double().requires_grad_(False)
    network.layers[0].weight.fill_(-1.0)  # every path to the logit is closed for a bright image
    features = tangent_features(network, torch.ones(1, 1, 2, 2, dtype=torch.float64))
    assert feature_cosines(network, features, features).isnan().all()
