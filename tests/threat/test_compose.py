import torch

from core.artifacts.factors import Factors
from core.models.mlp import MLP
from core.threat.compose import compose
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta, TrainedWeights, WeightDelta


def small(seed: int = 0) -> MLP:
    generator = torch.Generator().manual_seed(seed)
    network = MLP([16, 8, 6, 1], image_shape=(1, 4, 4)).requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.5, generator=generator)
    return network


def adapter() -> dict[str, Factors]:
    generator = torch.Generator().manual_seed(1)
    return {"layers.0": Factors(torch.randn(3, 16, generator=generator), torch.randn(8, 3, generator=generator), 0.5),
            "layers.1": Factors(torch.randn(3, 8, generator=generator), torch.randn(6, 3, generator=generator), 2.0)}


def test_a_composed_adapter_computes_what_peft_computes():
    """x W^T + scaling * (x A^T) B^T in each adapted layer; the base itself is not changed."""
    base, layers = small(), adapter()
    x = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    before = [parameter.clone() for parameter in base.parameters()]
    h = base.centre(x)
    for index, layer in enumerate(base.layers):
        z = layer(h)
        if (factors := layers.get(f"layers.{index}")) is not None:
            z = z + factors.scaling * (h @ factors.A.T) @ factors.B.T
        h = torch.relu(z)
    assert torch.allclose(compose(base, layers)(x), z.squeeze(-1), atol=1e-5)
    assert all(torch.equal(one, other) for one, other in zip(before, base.parameters(), strict=True))


def test_every_observation_gives_the_same_trained_weights():
    base, layers = small(), adapter()
    from_adapter = AdapterDelta(base, layers, ThreatModel(samples=2)).composed()
    deltas = {name: factors.scaling * factors.B.double() @ factors.A.double() for name, factors in layers.items()}
    shift = torch.arange(8) / 100
    from_delta = WeightDelta(base, deltas, {"layers.0": shift}, ThreatModel(samples=2)).composed()
    assert from_adapter.base is from_delta.base is base
    assert from_adapter.threat.samples == 2
    for one, other in zip(from_adapter.network.layers, from_delta.network.layers, strict=True):
        assert torch.allclose(one.weight, other.weight, atol=1e-6)
    assert torch.allclose(from_delta.network.layers[0].bias, base.layers[0].bias + shift)
    alone = TrainedWeights(base, ThreatModel())
    assert alone.composed() is alone


def test_small_updates_are_not_lost_in_half_precision():
    """Factors stored in bfloat16 are multiplied in float64: no rounding beyond that of the file."""
    layers = {"layers.0": Factors(torch.full((1, 16), 2**-6, dtype=torch.bfloat16),
                                  torch.full((8, 1), 2**-7, dtype=torch.bfloat16), 0.5)}
    base = small()
    base.layers[0].weight.zero_()
    assert torch.equal(compose(base, layers).layers[0].weight, torch.full((8, 16), 2.0**-14))
