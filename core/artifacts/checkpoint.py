"""Reading and writing base checkpoints.

Ours are safetensors with the facts of the training as metadata. Foreign ones may be
safetensors or a ``.pth`` in the layout of the public Haim et al. code (a state_dict, bare or
under ``state_dict``), or a folder of transformers; pickles are read with ``weights_only=True`` or refused.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from core.artifacts.input_statistics import find_statistics, set_statistics
from core.artifacts.network_layout import build_network
from core.artifacts.tensor_files import TensorFile, read_file
from core.artifacts.transformer_folder import WEIGHTS, load_transformer
from core.io.errors import InputError
from core.io.files import write_tensors
from core.models.conv import Network
from core.models.mlp import MLP
from core.models.vision_transformer import VisionTransformer


@dataclass(frozen=True)
class Checkpoint:
    """A network and what its file says about it (problem, indices, data source, config; {} if foreign)."""

    network: Network | VisionTransformer
    facts: dict[str, Any] = field(default_factory=dict)
    inputs_said: str = ""   # where the file says what was done to the pixels, and how that was read; empty: nowhere

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the weights: tells whether an adapter was trained on this base."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()


def save_checkpoint(path: Path, network: Network, facts: dict[str, Any]) -> None:
    """Write safetensors: ``layers.i.weight``, ``layers.0.bias``, ``input_mean``; facts as JSON metadata."""
    write_tensors(path, network.state_dict(), {"facts": json.dumps(facts), **network.file_metadata()})


def save_tuned(path: Path, network: MLP, *, dtype: str, base_fingerprint: str) -> None:
    """Write a fine-tuned network as it would be published: in the precision `dtype`, with its base's fingerprint."""
    tensors = {name: tensor.cpu().to(getattr(torch, dtype)) for name, tensor in network.state_dict().items()}
    write_tensors(path, tensors, {"facts": json.dumps({"base_fingerprint": base_fingerprint})})


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a base checkpoint, float32 or as stored; raises `InputError` with one sentence."""
    path = Path(path)
    if path.is_dir():
        statistics = find_statistics(path / WEIGHTS, TensorFile({}))
        transformer = load_transformer(path)
        set_statistics(transformer, statistics, what=f"checkpoint: in {path}")
        return Checkpoint(transformer, inputs_said=statistics.said)
    if not path.is_file():
        raise InputError(f"checkpoint: there is no file {path}; name a .safetensors or .pth file, or a folder of "
                         "transformers.")
    file = read_file(path, field="checkpoint")
    statistics = find_statistics(path, file)
    return Checkpoint(build_network(path, file.tensors, file.metadata, statistics),
                      _facts(path, file.metadata.get("facts", "{}")), statistics.said)


def _facts(path: Path, text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"checkpoint: the metadata of {path} cannot be read ({error}); save it again.") from error
    return facts if isinstance(facts, dict) else {}
