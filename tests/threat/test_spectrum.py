from dataclasses import replace

import pytest
import torch

from core.artifacts.factors import Factors
from core.models.mlp import MLP
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta
from core.threat.observe import Victim, observe
from core.threat.spectrum import count_samples


def observation(samples: int, *, rank: int = 16, spread: float = 30.0, dtype=torch.float32, seed: int = 0):
    """Adapters whose B is a sum of `samples` random outer products with sizes from 1 to 1/spread."""
    generator = torch.Generator().manual_seed(seed)
    network = MLP([20, 40, 30, 1])
    layers = {}
    for index, (n_in, n_out) in enumerate([(20, 40), (40, 30)]):
        left = torch.randn(n_out, samples, generator=generator, dtype=torch.float64)
        right = torch.randn(samples, rank, generator=generator, dtype=torch.float64)
        sizes = torch.logspace(0, -torch.log10(torch.tensor(spread)).item(), samples, dtype=torch.float64)
        layers[f"layers.{index}"] = Factors(torch.randn(rank, n_in, generator=generator),
                                            ((left * sizes) @ right * 1e-4).to(dtype), 1.0)
    return AdapterDelta(network, layers, ThreatModel())


@pytest.mark.parametrize("samples", range(1, 9))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_counts_up_to_eight(samples, dtype):
    found = count_samples(observation(samples, dtype=dtype))
    assert found.samples == samples
    assert not found.capped
    assert f"N = {samples}" in found.explanation


def test_says_when_the_rank_caps_the_count():
    found = count_samples(observation(6, rank=4))
    assert found.samples == 4
    assert found.capped
    assert "may be more" in found.explanation


def test_later_steps_blur_upper_layers_but_not_the_first():
    clean = observation(2)
    B = clean.layers["layers.1"].B
    tail = 1e-3 * B.norm() * torch.randn(B.shape, generator=torch.Generator().manual_seed(1)) / B.numel() ** 0.5
    tail[:, 3:] = 0  # three directions that no sample has alone
    blurred = AdapterDelta(clean.network, {**clean.layers, "layers.1": replace(clean.layers["layers.1"], B=B + tail)},
                           ThreatModel())
    assert count_samples(AdapterDelta(clean.network, {"layers.1": blurred.layers["layers.1"]},
                                      ThreatModel())).samples > 2
    assert count_samples(blurred).samples == 2
    assert "numerical rank of layers.0" in count_samples(blurred).explanation


def test_levels_release_what_they_name_and_never_the_images():
    network = MLP([20, 40, 30, 1])
    labels, x = torch.tensor([1, 0]), torch.rand(2, 1, 4, 5)
    victim = Victim(network, observation(2).layers, x, labels, torch.tensor([0.1, -0.2]), 0.01, 3)
    released, informed, oracle = (observe(victim, level) for level in ("released-only", "informed", "oracle"))
    assert [item.threat.level for item in (released, informed, oracle)] == ["released-only", "informed", "oracle"]
    assert released.threat == ThreatModel()
    assert informed.threat.coefficients is None
    assert informed.threat.steps == 3
    assert oracle.threat.coefficients.tolist() == pytest.approx([0.1, -0.2])
    for item in (released, informed, oracle):
        held = [*vars(item).values(), *vars(item.threat).values()]
        assert not any(isinstance(value, torch.Tensor) and value.numel() >= x.numel() for value in held)


def test_partial_knowledge_is_called_partial():
    assert ThreatModel(samples=2).level == "partial"
