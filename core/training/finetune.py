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
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from core.config.finetune import FinetuneConfig
from core.config.monitor import Monitor, Silent
from core.diagnostics.coefficients import loss_coefficients
from core.diagnostics.probe import Measurement, Probe
from core.host.compute import choose
from core.io.errors import InputError
from core.models.mlp import MLP
from core.training.adaptation import Adaptation, adapt, trainable

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
    adaptation = adapt(copy.deepcopy(base), config)
    model = adaptation.model
    optimizer = _optimizer(model, config)
    kappa, step, before_seconds = torch.zeros(len(x), dtype=torch.float64), 0, 0.0
    saved = monitor.load_checkpoint()
    if saved is not None:
        kappa, step, before_seconds = saved[0]["kappa"], saved[1]["step"], saved[1]["seconds"]
        _restore(adaptation, optimizer, saved[0])

    started = last_saved = last_shown = time.monotonic()
    recorded = recorded_steps(config.steps)
    before = probe.measure(probe.with_factors({}))
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
            moved = adaptation.moved(probe)
            monitor.record(step, **probe.measure(moved).row())
            if time.monotonic() - last_shown > GATE_SECONDS:
                monitor.gates(step, probe.flipped(moved))
                last_shown = time.monotonic()
        monitor.progress(step, config.steps)
        if time.monotonic() - last_saved > CHECKPOINT_SECONDS:
            _save(monitor, adaptation, optimizer, kappa, step, before_seconds + time.monotonic() - started)
            last_saved = time.monotonic()
    seconds = before_seconds + time.monotonic() - started
    if step < config.steps:
        _save(monitor, adaptation, optimizer, kappa, step, seconds)
    moved = adaptation.moved(probe)
    after = probe.measure(moved)
    if not math.isfinite(after.weight_change):
        raise InputError("learning_rate: the fine-tuning diverged (the weights are not finite); lower the learning "
                         "rate or alpha.")
    return Finetuning(model, step == config.steps, step, kappa, before, after, probe.flipped(moved), seconds)


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


def _optimizer(model: nn.Module, config: FinetuneConfig) -> torch.optim.Optimizer:
    kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[config.optimizer]
    return kind(trainable(model), lr=config.learning_rate, weight_decay=config.weight_decay)


def _save(monitor: Monitor, adaptation: Adaptation, optimizer: torch.optim.Optimizer, kappa: Tensor, step: int,
          seconds: float) -> None:
    tensors = {"kappa": kappa, **adaptation.tensors()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items() if value is not None}
    monitor.save_checkpoint(tensors, {"step": step, "seconds": seconds})


def _restore(adaptation: Adaptation, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    for name, present in adaptation.tensors().items():
        present.copy_(tensors[name])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
