import time

import pytest
import torch

from core.artifacts.factors import Factors
from core.artifacts.initialisations import numerical_rank
from core.artifacts.lora_folder import Adapter, read_adapter
from core.assessment.matching import match
from core.config.monitor import Silent
from core.io.errors import InputError
from core.reconstruction.algebraic.attack import find_samples
from core.reconstruction.algebraic.knobs import AlgebraicKnobs
from core.reconstruction.auto import choose
from core.reconstruction.ntk.knobs import NTKKnobs
from core.reconstruction.registry import named
from core.reconstruction.solvers.protocol import Status
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


A_AT_ZERO = [{"prepare": mirrored}, {"init_lora_weights": "mica"}]


@pytest.mark.parametrize("options", A_AT_ZERO)
def test_an_adapter_that_began_with_a_at_zero_is_recognised_and_its_samples_counted(victim, tmp_path, options):
    victim.save(tmp_path, **options)
    adapter = read_adapter(tmp_path, victim.checkpoint)
    assert all(factors.a_began_at_zero for factors in adapter.layers.values())
    assert "blends of 2 private images" in " ".join(adapter.notes)
    assert count_samples(observed(victim, adapter)).samples == 2


@pytest.mark.parametrize("options", [A_AT_ZERO[1], A_AT_ZERO[0]])
def test_of_more_samples_than_the_rank_nothing_is_said_to_confine_them(problem, tmp_path, options):
    several = peft_victim(problem, 4)
    several.save(tmp_path, r=2, **options)
    adapter = read_adapter(tmp_path, several.checkpoint)
    assert "2 blends of the private images, of which there may be more" in " ".join(adapter.notes)
    count = count_samples(observed(several, adapter))
    assert (count.samples, count.capped) == (2, True)


@pytest.mark.parametrize("options", [{}, {"init_lora_weights": "gaussian"}, {"init_lora_weights": "olora"},
                                     {"init_lora_weights": "pissa"}, {"init_lora_weights": "eva"}, {"steps": 20}])
def test_of_peft_s_own_beginnings_none_is_taken_for_it(problem, tmp_path, options):
    """With as many samples as the rank and more, where the ranks do not tell."""
    several = peft_victim(problem, 4)
    several.save(tmp_path, r=2, **options)
    assert not any(factors.a_began_at_zero for factors in read_adapter(tmp_path, several.checkpoint).layers.values())


def test_the_one_image_of_an_adapter_that_began_with_a_at_zero_is_a_row_of_a(problem, tmp_path):
    one = peft_victim(problem, 1)
    one.save(tmp_path, prepare=mirrored, steps=5)
    adapter = read_adapter(tmp_path, one.checkpoint)
    assert "the private image itself, up to its scale" in " ".join(adapter.notes)
    h = one.network.centre(one.x).flatten()
    for row in adapter.layers["layers.0"].A:
        assert abs(float(row @ h / (row.norm() * h.norm()))) > 1 - 1e-5


@pytest.mark.parametrize(("samples", "options"), [
    (1, A_AT_ZERO[0]), (1, {**A_AT_ZERO[0], "target_modules": ["layers.0"]}), (1, A_AT_ZERO[1]), (2, A_AT_ZERO[0])])
def test_its_images_are_found_in_the_span_of_a(problem, tmp_path, samples, options):
    """One image up to its scale, which the features decide; of two every blend, which they take apart."""
    victim = peft_victim(problem, samples)
    victim.save(tmp_path, **options)
    observation = observed(victim, read_adapter(tmp_path, victim.checkpoint))
    choice = choose(observation)
    assert choice.method.name == "ntk"
    assert "began with A = 0" in choice.reason
    result = choice.method.attack(observation, NTKKnobs(device="cpu", restarts=8, iterations=600), Silent(),
                                  began=time.monotonic())
    assert match(result.x, victim.x).values["ssim"] == pytest.approx([1.0] * samples, abs=0.05)
    assert torch.equal(result.labels[match(result.x, victim.x).assignment], victim.labels)


def test_the_algebraic_attack_refuses_it_in_a_sentence(victim, tmp_path):
    victim.save(tmp_path, prepare=mirrored)
    observation = observed(victim, read_adapter(tmp_path, victim.checkpoint))
    result = named("algebraic").attack(observation, AlgebraicKnobs(device="cpu"), Silent(), began=time.monotonic())
    assert result.status is Status.NOT_SEPARABLE
    assert "blends of inputs and no activation patterns" in result.limits[0]


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


def test_the_rank_of_one_row():
    row = torch.rand(1, 8, generator=torch.Generator().manual_seed(0))
    assert numerical_rank(row) == 1
    assert numerical_rank(torch.zeros(1, 8)) == 0
