"""Options of peft that choose the layers, or where the factors begin: what peft itself writes is used, or refused with
what it means for an attack."""

import json

import pytest
import torch
from peft import LoraConfig, LoraGAConfig, preprocess_loraga
from peft.tuners.lora.config import CordaConfig
from peft.tuners.lora.corda import preprocess_corda
from safetensors.torch import load_file, save_file
from torch import nn

from core.artifacts.lora_folder import read_adapter
from core.io.errors import InputError
from core.reconstruction.algebraic.attack import find_samples
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta
from core.threat.spectrum import count_samples
from tests.helpers.peft_victims import PeftVictim, peft_victim


@pytest.fixture(scope="module")
def victim(problem) -> PeftVictim:
    return peft_victim(problem, 2)


class Staged(nn.Module):
    """The network as one stage of several: peft finds the number of a stage before the dot that follows it."""

    def __init__(self, network: nn.Module, stages: int, under: str) -> None:
        super().__init__()
        self.add_module(under, nn.ModuleList([network, *(nn.Linear(3, 3) for _ in range(stages - 1))]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return next(iter(self.children()))[0](x)


class Inside(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.model = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


@pytest.mark.parametrize(("wrap", "options", "adapted"), [
    (None, {"target_modules": ["layers.0", "1", "2"], "layers_to_transform": [0]}, [0]),  # a full name goes before
    (None, {"target_modules": ["layers.0", "layers.1"], "layers_to_transform": 7, "layers_pattern": "stages"}, [0, 1]),
    (None, {"target_modules": r"layers\.[01]"}, [0, 1]),
    (lambda network: Staged(network, 2, "stages"),
     {"target_modules": ["0", "layers.1"], "layers_to_transform": [0], "layers_pattern": "stages"}, [0, 1]),
    (lambda network: Staged(network, 2, "stages"),
     {"target_modules": ["layers.0", "layers.1"], "layers_to_transform": 0, "layers_pattern": ["blocks", "stages"]},
     [0, 1]),
    (lambda network: Inside(Staged(network, 2, "stages")),
     {"target_modules": ["layers.0", "layers.1"], "layers_to_transform": [0, 3]}, [0, 1]),  # any name before a number
    # Without a pattern peft asks for two names before the number, so what has one is no numbered layer for it.
    (lambda network: Staged(network, 2, "stages"),
     {"target_modules": ["layers.0", "stages.0.layers.1"], "layers_to_transform": [0]}, [1]),
])
def test_the_layers_that_peft_adapts_are_those_that_are_read(victim, tmp_path, wrap, options, adapted):
    model = victim.save(tmp_path, wrap=wrap, **options)
    names = {name.split(".lora_A")[0].rpartition("layers.")[2] for name, _ in model.named_parameters()
             if ".lora_A" in name}
    assert names == {str(level) for level in adapted}   # what peft did
    assert list(read_adapter(tmp_path, victim.checkpoint).layers) == [f"layers.{level}" for level in adapted]


def test_layers_to_transform_that_do_not_fit_the_file_are_said_to(victim, tmp_path):
    victim.save(tmp_path, wrap=lambda network: Staged(network, 2, "stages"), target_modules=["layers.0", "layers.1"],
                layers_to_transform=[0], layers_pattern="stages")
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "layers_to_transform": [1]}))
    with pytest.raises(InputError, match=r"holds factors for layers\.0, but .* does not name it"):
        read_adapter(tmp_path, victim.checkpoint)


def corda(victim: PeftVictim) -> dict:
    """CorDA on the private samples, as its own examples do it: on data of the task."""
    def preprocess(base: nn.Module, config: LoraConfig) -> None:
        preprocess_corda(base, config, run_model=lambda: [base(victim.x) for _ in range(200)])

    return {"init_lora_weights": "corda", "corda_config": CordaConfig(corda_method="ipm"), "preprocess": preprocess}


def lora_ga(victim: PeftVictim) -> dict:
    """LoRA-GA on a batch that holds the private samples, as its authors do it."""
    others = torch.rand(30, *victim.x.shape[1:], generator=torch.Generator().manual_seed(5))
    x, labels = torch.cat([victim.x, others]), torch.cat([victim.labels, torch.arange(30) % 2]).float()

    def preprocess(base: nn.Module, config: LoraConfig) -> None:
        loss = nn.functional.binary_cross_entropy_with_logits
        preprocess_loraga(base, config, lambda: loss(base(x), labels).backward())

    return {"init_lora_weights": "lora_ga", "lora_ga_config": LoraGAConfig(), "preprocess": preprocess}


def iterated(_victim: PeftVictim) -> dict:
    return {"init_lora_weights": "pissa_niter_4"}


@pytest.mark.parametrize(("options", "says"), [
    (corda, "the base's response to data that are not released"),
    (lora_ga, "gradients on data that are not released"),
])
def test_beginnings_that_hang_on_data_are_refused_with_what_that_means(victim, tmp_path, options, says):
    victim.save(tmp_path, **options(victim))
    with pytest.raises(InputError, match=rf"{says}.*no attack on the adapter alone can take it"):
        read_adapter(tmp_path, victim.checkpoint)


def test_loftq_is_refused_with_what_it_means(victim, tmp_path):
    """peft makes LoftQ's factors with bitsandbytes on a graphics card: here they are computed as
    ``peft.utils.loftq_utils.loftq_init`` does, of a base rounded to 4 bits, and its config is peft's own."""
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["layers.0"], init_lora_weights="loftq",
                        loftq_config={"loftq_bits": 4, "loftq_iter": 1})
    weight = victim.network.layers[0].weight
    step = weight.abs().max() / 7
    U, S, Vh = torch.linalg.svd(weight - (weight / step).round() * step, full_matrices=False)
    config.save_pretrained(str(tmp_path))
    save_file({"base_model.model.layers.0.lora_A.weight": (S[:8].sqrt()[:, None] * Vh[:8]).contiguous(),
               "base_model.model.layers.0.lora_B.weight": (U[:, :8] * S[:8].sqrt()).contiguous()},
              tmp_path / "adapter_model.safetensors")
    with pytest.raises(InputError, match=r"rounding of a quantised base.*no attack on the adapter alone can take it"):
        read_adapter(tmp_path, victim.checkpoint)


@pytest.mark.parametrize("options", [corda, lora_ga, iterated])
def test_what_peft_converted_to_plain_lora_holds_its_beginning_and_is_used(victim, tmp_path, options):
    """[B_T, -B_0] [A_T; A_0] under a config that says nothing of it."""
    victim.save(tmp_path, converted=True, **options(victim))
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (written["init_lora_weights"], written["r"], written["lora_alpha"]) == (True, 16, 32)
    adapter = read_adapter(tmp_path, victim.checkpoint)
    assert "converted" in " ".join(adapter.notes)
    stored = load_file(tmp_path / "adapter_model.safetensors")["base_model.model.layers.0.lora_A.weight"]
    assert torch.equal(adapter.layers["layers.0"].A, stored[8:])
    observation = AdapterDelta(victim.network, adapter.layers, ThreatModel())
    assert count_samples(observation).samples == 2
    separation = find_samples(observation).separation
    for sample in range(2):
        on, certain = separation.layers[0].on[sample], separation.layers[0].certain[sample]
        assert max((on == row)[certain].double().mean().item() for row in victim.patterns(0)) == 1.0
        assert certain.double().mean() > 0.8
