"""Reading and writing base checkpoints.

Ours are safetensors with the facts of the training as metadata. Foreign ones may be
safetensors or a ``.pth`` in the layout of the public Haim et al. code (a state_dict, bare or
under ``state_dict``); pickles are read with ``weights_only=True`` or refused.
"""

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import InputError
from core.files import write_tensors
from core.models.mlp import MLP
from core.models.tensor_files import read_tensors


@dataclass(frozen=True)
class Checkpoint:
    """A network and what its file says about it (problem, indices, data source, config; {} if foreign)."""

    network: MLP
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the weights: tells whether an adapter was trained on this base."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()


def save_checkpoint(path: Path, network: MLP, facts: dict[str, Any]) -> None:
    """Write safetensors: ``layers.i.weight``, ``layers.0.bias``, ``input_mean``; facts as JSON metadata."""
    write_tensors(path, network.state_dict(), {"facts": json.dumps(facts)})


def save_tuned(path: Path, network: MLP, *, dtype: str, base_fingerprint: str) -> None:
    """Write a fine-tuned network as it would be published: in the precision `dtype`, with its base's fingerprint."""
    tensors = {name: tensor.cpu().to(getattr(torch, dtype)) for name, tensor in network.state_dict().items()}
    write_tensors(path, tensors, {"facts": json.dumps({"base_fingerprint": base_fingerprint})})


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a base checkpoint, float32 or as stored; raises `InputError` with one sentence."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"checkpoint: there is no file {path}; name a .safetensors or .pth file.")
    tensors, metadata = read_tensors(path, field="checkpoint")
    return Checkpoint(_build(path, tensors), _facts(path, metadata.get("facts", "{}")))


def _facts(path: Path, text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"checkpoint: the metadata of {path} cannot be read ({error}); save it again.") from error
    return facts if isinstance(facts, dict) else {}


def _build(path: Path, tensors: dict[str, Tensor]) -> MLP:
    weights = {int(match[1]): tensor for name, tensor in tensors.items()
               if (match := re.fullmatch(r"layers\.(\d+)\.weight", name))}
    if len(weights) < 2 or sorted(weights) != list(range(len(weights))):
        found = ", ".join(list(tensors)[:6]) or "nothing"
        raise InputError(f"checkpoint: {path} needs tensors layers.0.weight, layers.1.weight, … of at least two "
                         f"layers; found {found}.")
    ordered = [weights[index] for index in range(len(weights))]
    biases = [tensors.get(f"layers.{index}.bias") for index in range(len(ordered))]
    if any(weight.ndim != 2 for weight in ordered):
        raise InputError(f"checkpoint: {path} has a weight that is not a matrix; convolutions are not supported.")
    widths = [ordered[0].shape[1], *(weight.shape[0] for weight in ordered)]
    for index, weight in enumerate(ordered):
        if weight.shape[1] != widths[index]:
            raise InputError(f"checkpoint: in {path}, layers.{index}.weight takes {weight.shape[1]} inputs, but the "
                             f"layer before gives {widths[index]}.")
        if biases[index] is not None and tuple(biases[index].shape) != (widths[index + 1],):
            raise InputError(f"checkpoint: in {path}, layers.{index}.bias has shape {list(biases[index].shape)}, but "
                             f"its layer gives {widths[index + 1]} outputs.")
    if widths[-1] != 1:
        raise InputError(f"checkpoint: {path} ends in {widths[-1]} outputs; only binary networks with one logit are "
                         "supported.")
    mean = tensors.get("input_mean")
    shape = tuple(mean.shape) if mean is not None and mean.ndim == 3 else _image_shape(widths[0])
    if math.prod(shape) != widths[0] or (mean is not None and mean.numel() != widths[0]):
        raise InputError(f"checkpoint: in {path}, input_mean has shape {list(mean.shape)}, but the first layer takes "
                         f"{widths[0]} inputs.")
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"checkpoint: {name} in {path} holds NaN or infinite values; the training diverged or "
                             "the file is damaged.")
    with torch.device("cpu"):
        network = MLP(widths, image_shape=shape, biases=[bias is not None for bias in biases])
    dtype = torch.float64 if ordered[0].dtype == torch.float64 else torch.float32
    network = network.to(dtype)
    state = {f"layers.{index}.weight": weight for index, weight in enumerate(ordered)}
    state |= {f"layers.{index}.bias": bias for index, bias in enumerate(biases) if bias is not None}
    state["input_mean"] = mean.reshape(shape) if mean is not None else torch.zeros(shape)
    network.load_state_dict({name: tensor.to(dtype) for name, tensor in state.items()})
    return network.requires_grad_(False)


def _image_shape(inputs: int) -> tuple[int, int, int]:
    """The picture that a flat input most likely is: CIFAR colour, a grey square, else one row."""
    side = math.isqrt(inputs)
    if inputs == 3072:
        return (3, 32, 32)
    return (1, side, side) if side * side == inputs else (1, 1, inputs)

