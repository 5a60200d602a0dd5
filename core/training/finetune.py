"""Fine-tuning, with LoRA by peft itself or of the weights in full, observed at every step.

LoRA: the mean binary cross-entropy of N private samples is minimised over the factors of
W_l = W0_l + s * B_l A_l, with peft's own initialisation (B = 0, A Kaiming-uniform). One step of
plain SGD from there leaves A as it was and
    B = s * sum_i kappa_i e_i (A h_i)^T,    kappa_i = -lr * dL/df_i,
with e_i and h_i the factors of `core.models.mlp.TangentFeatures`: the identity that attacks use.
Full: the same loss over the weights and biases of the named layers; one step of plain SGD gives
    W_l - W0_l = sum_i kappa_i e_i h_i^T,    b_l - b0_l = sum_i kappa_i e_i.
"""

import copy
import math
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.artifacts.factors import Factors
from core.config.finetune import FinetuneConfig
from core.config.monitor import Monitor, Silent
from core.diagnostics.coefficients import loss_coefficients
from core.diagnostics.probe import Measurement, Probe
from core.host.compute import choose
from core.io.errors import InputError
from core.models.mlp import MLP, layer_names

if TYPE_CHECKING:
    from peft import PeftModel

RECORDED_STEPS = 200        # record every step up to here, then thin evenly
CHECKPOINT_SECONDS = 10.0   # lost at most by a kill
GATE_SECONDS = 1.0          # between two pictures of the neurons that flipped


@dataclass(frozen=True)
class Finetuning:
    """The outcome. `finished` is False after a stop: resume with the same config and monitor."""

    model: "PeftModel | MLP"   # at the last step, in the precision of the computation: base and adapter, or all
    finished: bool
    step: int
    kappa: Tensor          # [N] float64 on the CPU: sum over the steps so far of -lr * dL/df_i
    before: Measurement    # at theta_0
    after: Measurement     # at the last step
    flipped: dict[str, Tensor]  # [N, n] bool by hidden layer: gates that differ between theta_0 and the last step
    seconds: float         # over all attempts


def finetune(network: MLP, x: Tensor, labels: Tensor, config: FinetuneConfig, *,
             monitor: Monitor | None = None) -> Finetuning:
    """Fine-tune a copy of `network` on `x` [N, C, H, W] in [0, 1] with `labels` [N] in {0, 1}.

    `kappa` is exact for full-batch SGD without weight decay: it is what multiplies the features in
    the update. A sample outside a mini-batch adds nothing in that step. With AdamW the update is
    rescaled weight by weight, so no coefficients of the features exist; `kappa` is then the pull of
    each sample on the loss, not a factor of the update.
    """
    monitor = monitor or Silent()
    compute = choose(device=config.device, precision=config.precision)
    base = copy.deepcopy(network).to(compute.dtype).to(compute.device).requires_grad_(False)
    x, labels = compute.place(x), labels.to(compute.device)
    probe = Probe(base, x, labels)
    make_trainable = attach_adapter if config.adaptation == "lora" else unfreeze
    model = make_trainable(copy.deepcopy(base), config)
    optimizer = _optimizer(model, config)
    kappa, step, before_seconds = torch.zeros(len(x), dtype=torch.float64), 0, 0.0
    saved = monitor.load_checkpoint()
    if saved is not None:
        kappa, step, before_seconds = saved[0]["kappa"], saved[1]["step"], saved[1]["seconds"]
        _restore(model, optimizer, saved[0])

    started = last_saved = last_shown = time.monotonic()
    recorded = recorded_steps(config.steps)
    before = probe.measure({})
    if saved is None:
        monitor.record(0, **before.row())
    target = labels.to(compute.dtype)
    while step < config.steps:
        if monitor.should_stop():
            break
        batch = batch_indices(step, samples=len(x), batch_size=config.batch_size, seed=config.seed)
        logits = model(x[batch])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target[batch])
        if not math.isfinite(float(loss.detach())):
            raise InputError(f"learning_rate: the fine-tuning diverged at step {step} (the loss is not finite); lower "
                             "the learning rate or alpha.")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        kappa[batch] -= config.learning_rate * loss_coefficients(logits, labels[batch])
        step += 1
        if step in recorded:
            monitor.record(step, **probe.measure(_update(model)).row())
            if time.monotonic() - last_shown > GATE_SECONDS:
                monitor.gates(step, probe.flipped(_update(model)))
                last_shown = time.monotonic()
        monitor.progress(step, config.steps)
        if time.monotonic() - last_saved > CHECKPOINT_SECONDS:
            _save(monitor, model, optimizer, kappa, step, before_seconds + time.monotonic() - started)
            last_saved = time.monotonic()
    seconds = before_seconds + time.monotonic() - started
    if step < config.steps:
        _save(monitor, model, optimizer, kappa, step, seconds)
    after = probe.measure(_update(model))
    if not math.isfinite(after.weight_change):
        raise InputError("learning_rate: the fine-tuning diverged (the weights are not finite); lower the learning "
                         "rate or alpha.")
    return Finetuning(model, step == config.steps, step, kappa, before, after, probe.flipped(_update(model)),
                      seconds)


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


def unfreeze(network: MLP, config: FinetuneConfig) -> MLP:
    """`network` (changed in place) with the weights and biases of the named layers trainable."""
    _check_layers(network, config)
    for name in set(config.layers):
        network.get_submodule(name).requires_grad_(True)
    return network


def _check_layers(network: MLP, config: FinetuneConfig) -> None:
    names = layer_names(network)
    missing = [name for name in config.layers if name not in names]
    if missing:
        raise InputError(f"layers: {missing[0]} is not a layer of this base; choose from {', '.join(names)}.")


def adapter_factors(model: "PeftModel") -> dict[str, Factors]:
    """The live factors of a peft model by layer name, detached; they share memory with the model."""
    network = model.base_model.model
    return {name: Factors(layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach(),
                          layer.scaling["default"])
            for name, layer in zip(layer_names(network), network.layers, strict=True) if hasattr(layer, "lora_A")}


def batch_indices(step: int, *, samples: int, batch_size: int, seed: int) -> Tensor:
    """Which samples the step after `step` finished steps sees; depends on nothing else, so a resumed run agrees.

    Every epoch passes once over all samples in an order of its own; its last batch may be smaller.
    """
    if batch_size == 0 or batch_size >= samples:
        return torch.arange(samples)
    per_epoch = -(-samples // batch_size)
    epoch, position = divmod(step, per_epoch)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(samples, generator=generator)[position * batch_size: (position + 1) * batch_size]


def recorded_steps(steps: int) -> frozenset[int]:
    """Steps whose diagnostics are kept: all of up to `RECORDED_STEPS`, else that many spread evenly."""
    if steps <= RECORDED_STEPS:
        return frozenset(range(steps + 1))
    return frozenset(round(index * steps / RECORDED_STEPS) for index in range(RECORDED_STEPS + 1))


def _update(model: "PeftModel | MLP") -> dict[str, Factors] | MLP:
    """As `Probe.measure` takes it."""
    return model if isinstance(model, MLP) else adapter_factors(model)


def _trained(model: "PeftModel | MLP") -> dict[str, Tensor]:
    """What training changes, by the name it has in a checkpoint; shares memory with the model."""
    if isinstance(model, MLP):
        return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {f"{name}.{factor}": getattr(factors, factor) for name, factors in adapter_factors(model).items()
            for factor in ("A", "B")}


def _optimizer(model: "PeftModel | MLP", config: FinetuneConfig) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[config.optimizer]
    return kind(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)


def _save(monitor: Monitor, model: "PeftModel | MLP", optimizer: torch.optim.Optimizer, kappa: Tensor, step: int,
          seconds: float) -> None:
    tensors = {"kappa": kappa, **_trained(model)}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items() if value is not None}
    monitor.save_checkpoint(tensors, {"step": step, "seconds": seconds})


def _restore(model: "PeftModel | MLP", optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    for name, present in _trained(model).items():
        present.copy_(tensors[name])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
