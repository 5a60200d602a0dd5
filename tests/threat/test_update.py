import copy

import pytest
import torch

from core.io.errors import InputError
from core.models.mlp import MLP, tangent_features
from core.threat.model import ThreatModel
from core.threat.observe import Victim, observe
from core.threat.spectrum import count_samples
from core.threat.update import stored_as, weight_delta


def small(dtype=torch.float32) -> MLP:
    generator = torch.Generator().manual_seed(0)
    network = MLP([40, 60, 50, 1], image_shape=(1, 5, 8)).to(dtype).requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.2, generator=generator)
    return network


def step(network: MLP, *, samples: int, size: float, output: bool = False) -> MLP:
    """One step along the samples' features with coefficients 1, 1/2, 1/3, …, in float64, then stored."""
    x = torch.rand(samples, 1, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    fine, tuned = copy.deepcopy(network).double(), copy.deepcopy(network)
    features = tangent_features(fine, x)
    k = size / torch.arange(1, samples + 1).double()
    for index, layer in enumerate(tuned.layers[:None if output else -1]):
        e = k[:, None] * features.signals[index]
        layer.weight.copy_(fine.layers[index].weight + e.T @ features.inputs[index])
        if layer.bias is not None:
            layer.bias.copy_(fine.layers[index].bias + e.sum(0))
    return tuned


def test_it_is_the_difference_and_only_of_what_changed():
    network = small(torch.float64)
    tuned = step(network, samples=2, size=0.1)
    delta = weight_delta(network, tuned, ThreatModel())
    assert list(delta.layers) == ["layers.0", "layers.1"]
    assert list(delta.biases) == ["layers.0"]
    assert torch.equal(delta.layers["layers.1"], tuned.layers[1].weight - network.layers[1].weight)
    assert delta.matrix("layers.0").shape == (60, 41)
    assert torch.equal(delta.matrix("layers.0")[:, -1], tuned.layers[0].bias - network.layers[0].bias)
    assert list(weight_delta(network, step(network, samples=2, size=0.1, output=True), ThreatModel()).layers)[-1] == \
        "layers.2"


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 1e-3), (torch.float64, 1e-9)])
@pytest.mark.parametrize("samples", [1, 3, 6])
def test_samples_are_counted_above_the_rounding_of_the_weights(dtype, size, samples):
    """The noise is that of the weights, however small the update: relative to the update it is large."""
    network = small(dtype)
    found = count_samples(weight_delta(network, step(network, samples=samples, size=size), ThreatModel()))
    assert (found.samples, found.capped) == (samples, False)


def test_noise_bounds_what_rounding_does():
    network = small()
    fine = copy.deepcopy(network).double()
    for layer in fine.layers:
        layer.weight += 0.01 * torch.randn(layer.weight.shape, dtype=torch.float64,
                                           generator=torch.Generator().manual_seed(2))
    tuned = copy.deepcopy(network)
    tuned.load_state_dict(fine.state_dict())
    delta = weight_delta(network, tuned, ThreatModel())
    for index, (exact, base) in enumerate(zip(fine.layers, network.layers, strict=True)):
        rounding = delta.layers[f"layers.{index}"] - (exact.weight - base.weight.double())
        assert 0 < torch.linalg.matrix_norm(rounding, 2) < delta.noise[f"layers.{index}"]


def test_rounding_alone_is_no_update():
    network = small()
    with pytest.raises(InputError, match=r"^tuned: its weights are those of the base"):
        weight_delta(network, copy.deepcopy(network), ThreatModel())
    rounded = copy.deepcopy(network).bfloat16().float()
    assert stored_as(rounded) == torch.bfloat16
    with pytest.raises(InputError, match="those of the base"):
        weight_delta(network, rounded, ThreatModel())
    assert stored_as(network) == torch.float32
    assert stored_as(small(torch.float64)) == torch.float64


def test_a_checkpoint_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"^tuned: .*\[40, 30, 1\]"):
        weight_delta(small(), MLP([40, 30, 1], image_shape=(1, 5, 8)), ThreatModel())


def test_a_fully_tuned_victim_is_observed_by_its_weights_alone():
    network = small()
    x, labels = torch.rand(2, 1, 5, 8), torch.tensor([1, 0])
    victim = Victim(network, {}, x, labels, torch.tensor([0.1, -0.2]), 0.01, 1, step(network, samples=2, size=0.1))
    seen = observe(victim, "released-only")
    assert set(seen.layers) == {"layers.0", "layers.1"}
    assert seen.threat == ThreatModel()
    assert observe(victim, "oracle").threat.level == "oracle"
