"""What a fine-tuning may change: the factors of a LoRA adapter, or weights and biases themselves."""

import warnings
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from core.artifacts.factors import Factors
from core.config.finetune import FinetuneConfig
from core.diagnostics.probe import Moved, Probe
from core.io.errors import InputError
from core.models.mlp import MLP, layer_names

if TYPE_CHECKING:
    from peft import PeftModel


class Adaptation(Protocol):
    """A network that is being fine-tuned."""

    model: Any   # the module itself, a `PeftModel` or an `MLP`

    def moved(self, probe: Probe) -> Moved:
        """Where the training has brought it."""

    def tensors(self) -> dict[str, Tensor]:
        """What training changes, by the name it has in a checkpoint; shares memory with the model."""


class Adapter:
    """LoRA by peft."""

    def __init__(self, network: MLP, config: FinetuneConfig) -> None:
        self.model = attach_adapter(network, config)

    def moved(self, probe: Probe) -> Moved:
        return probe.with_factors(adapter_factors(self.model))

    def tensors(self) -> dict[str, Tensor]:
        return {f"{name}.{factor}": getattr(factors, factor) for name, factors in adapter_factors(self.model).items()
                for factor in ("A", "B")}


class Unfrozen:
    """The weights and biases of the named layers."""

    def __init__(self, network: MLP, config: FinetuneConfig) -> None:
        _check_layers(network, config)
        for name in set(config.layers):
            network.get_submodule(name).requires_grad_(True)
        self.model = network

    def moved(self, probe: Probe) -> Moved:
        return probe.with_weights(self.model)

    def tensors(self) -> dict[str, Tensor]:
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()
                if parameter.requires_grad}


def adapt(network: MLP, config: FinetuneConfig) -> Adaptation:
    """`network` (changed in place) made trainable as the config says."""
    return Adapter(network, config) if config.adaptation == "lora" else Unfrozen(network, config)


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that an optimiser takes."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def attach_adapter(network: MLP, config: FinetuneConfig) -> "PeftModel":
    """`network` (changed in place) with a fresh LoRA adapter, its A drawn from the run's seed."""
    from peft import LoraConfig, get_peft_model  # takes seconds to import: only when a fine-tuning runs

    _check_layers(network, config)
    lora = LoraConfig(r=config.rank, lora_alpha=config.lora_alpha, target_modules=sorted(set(config.layers)),
                      bias="none", lora_dropout=0.0)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="peft")
        torch.manual_seed(config.seed)  # peft draws A from the global generator, on the CPU
        return get_peft_model(network, lora)


def adapter_factors(model: "PeftModel") -> dict[str, Factors]:
    """The live factors of a peft model by layer name, detached; they share memory with the model."""
    network = model.base_model.model
    return {name: Factors(layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach(),
                          layer.scaling["default"])
            for name, layer in zip(layer_names(network), network.layers, strict=True) if hasattr(layer, "lora_A")}


def _check_layers(network: MLP, config: FinetuneConfig) -> None:
    names = layer_names(network)
    missing = [name for name in config.layers if name not in names]
    if missing:
        raise InputError(f"layers: {missing[0]} is not a layer of this base; choose from {', '.join(names)}.")
