import pytest
import torch

from core.artifacts.factors import Factors
from core.artifacts.initialisations import numerical_rank
from core.artifacts.lora_folder import Adapter, read_adapter
from core.io.errors import InputError
from core.reconstruction.algebraic.attack import find_samples
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta
from core.threat.spectrum import count_samples
from tests.helpers.peft_victims import PeftVictim, peft_victim


@pytest.fixture(scope="module")
def victim(problem) -> PeftVictim:
    return peft_victim(problem, 2)


def observed(victim: PeftVictim, adapter: Adapter) -> AdapterDelta:
    return AdapterDelta(victim.network, adapter.layers, ThreatModel(), notes=adapter.notes)


@pytest.mark.parametrize(("options", "note"), [
    ({}, None),
    ({"init_lora_weights": "gaussian"}, None),
    ({"init_lora_weights": "pissa"}, "recomputed from the base"),
    ({"init_lora_weights": "olora"}, "recomputed from the base"),
    ({"init_lora_weights": "eva"}, "EVA begins"),
    ({"use_dora": True}, "made with DoRA"),
    ({"use_rslora": True, "alpha_pattern": {"layers.1": 5}, "rank_pattern": {"layers.0": 4}}, None),
    ({"bias": "all"}, "Biases were trained"),
    ({"modules_to_save": ["layers.2"]}, "layers.2 was trained whole"),
    ({"target_modules": "all-linear"}, None),
])
def test_every_adapter_that_is_used_gives_the_patterns_of_its_samples(victim, tmp_path, options, note):
    victim.save(tmp_path, **options)
    adapter = read_adapter(tmp_path, victim.checkpoint)
    observation = observed(victim, adapter)
    assert count_samples(observation).samples == 2
    separation = find_samples(observation).separation
    for level in (0, 1):
        found, truth = separation.layers[level], victim.patterns(level)
        for sample in range(2):
            agree = [(found.on[sample] == row)[found.certain[sample]].double().mean().item() for row in truth]
            assert max(agree) == 1.0
        assert found.certain.double().mean() > 0.8
    assert (note is None and not adapter.notes) or note in " ".join(adapter.notes)


def test_a_recomputed_beginning_leaves_exactly_the_step(victim, tmp_path):
    """s (B_T - B_0) A_0 is the step that the gradient of the whole weight gives, through A_0^T A_0."""
    victim.save(tmp_path, init_lora_weights="pissa", learning_rate=0.1)
    factors = read_adapter(tmp_path, victim.checkpoint).layers["layers.0"]
    network = victim.network
    weight = network.layers[0].weight.clone().requires_grad_()
    logits = torch.func.functional_call(network, {"layers.0.weight": weight}, (victim.x,))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, victim.labels.float())
    gradient, = torch.autograd.grad(loss, weight)
    expected = -0.1 * factors.scaling * gradient @ factors.A.T
    assert float((factors.B - expected).norm() / expected.norm()) < 1e-2
    assert factors.noise > 0


def mirrored(model) -> None:
    """A = 0 and B drawn."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_A" in name:
                parameter.zero_()
            elif "lora_B" in name:
                parameter.normal_(0, 0.1, generator=generator)


@pytest.mark.parametrize("options", [{"prepare": mirrored}, {"init_lora_weights": "mica"}])
def test_an_adapter_that_began_with_a_at_zero_is_recognised_and_its_samples_counted(victim, tmp_path, options):
    victim.save(tmp_path, **options)
    with pytest.raises(InputError, match=r"began with A = 0 .* span of 2 private samples"):
        read_adapter(tmp_path, victim.checkpoint)


@pytest.mark.parametrize("init", [False, "orthogonal", "pissa_niter_4"])
def test_unknown_beginnings_are_refused_with_what_they_mean(victim, tmp_path, init):
    victim.save(tmp_path, init_lora_weights=init)
    with pytest.raises(InputError, match="no attack on the adapter alone can take it"):
        read_adapter(tmp_path, victim.checkpoint)


def test_another_base_is_not_where_the_factors_began(victim, problem, tmp_path):
    victim.save(tmp_path, init_lora_weights="olora")
    network = peft_victim(problem, 2).network
    network.layers[0].weight.copy_(torch.randn(network.layers[0].weight.shape,
                                               generator=torch.Generator().manual_seed(9)))
    with pytest.raises(InputError, match="far from those: it is an adapter for another base"):
        read_adapter(tmp_path, type(victim.checkpoint)(network))


@pytest.mark.parametrize(("join", "rank"), [("cat", 16), ("linear", 8), ("svd", 8), ("expanded", 12)])
def test_joined_and_converted_adapters_stay_readable(victim, tmp_path, join, rank):
    """One adapter trained in two halves and joined, its product extracted by SVD, or padded to a larger rank."""
    victim.save(tmp_path)
    layers = {}
    for name, factors in read_adapter(tmp_path, victim.checkpoint).layers.items():
        A, B, scaling = factors.A, factors.B, factors.scaling
        if join == "cat":
            A, B = torch.cat([A, A]), torch.cat([B / 2, B / 2], dim=1)
        elif join == "linear":
            A, B = 2**0.5 * A, B / 2**0.5
        elif join == "svd":
            U, S, Vh = torch.linalg.svd(scaling * B @ A)
            A, B, scaling = S[:8].sqrt()[:, None] * Vh[:8], U[:, :8] * S[:8].sqrt(), 1.0
        else:
            A = torch.cat([A, torch.zeros(4, A.shape[1])])
            B = torch.cat([B, torch.zeros(len(B), 4)], dim=1)
        layers[name] = Factors(A, B, scaling)
        assert len(A) == rank
    separation = find_samples(AdapterDelta(victim.network, layers, ThreatModel())).separation
    assert separation.samples == 2
    assert numerical_rank(layers["layers.0"].B) == 2
