"""LoRA adapters as folders of peft: writing ours, reading anyone's.

Reading does not instantiate peft, whose import takes seconds: an attack needs the factors only. What the config says
is judged in `core.artifacts.adapter_config`, what the tensors are called in `core.artifacts.adapter_tensors`.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.artifacts.adapter_config import RECOMPUTED, read_config, read_json
from core.artifacts.adapter_tensors import sort_tensors
from core.artifacts.checkpoint import Checkpoint
from core.artifacts.factors import Factors
from core.artifacts.initialisations import a_began_at_zero, blends_of, converted_part, trained_part
from core.artifacts.tensor_files import read_tensors
from core.host.compute import DTYPES
from core.io.errors import InputError
from core.io.files import write_json

if TYPE_CHECKING:
    from peft import PeftModel

SIDE_FILE = "afterimage.json"
STORED_DTYPES = {**DTYPES, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Adapter:
    """The factors by layer name (``layers.i``), and sentences on what else was trained and what that costs."""

    layers: dict[str, Factors]
    notes: tuple[str, ...] = ()


def save_adapter(folder: Path, model: "PeftModel", *, dtype: str, base_fingerprint: str) -> None:
    """Write the adapter with peft's own ``save_pretrained``, in the precision `dtype`, and our side file.

    The folder appears at once and whole: it is written beside and renamed. No network is asked:
    ``save_embedding_layers=False`` keeps peft from looking the base up on the Hugging Face hub.
    """
    stored = {name: tensor.detach().cpu().to(STORED_DTYPES[dtype]) if tensor.is_floating_point() else tensor
              for name, tensor in model.state_dict().items() if ".lora_" in name}
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(str(temporary), state_dict=stored, save_embedding_layers=False)
    (temporary / "adapter_model.safetensors").chmod(0o644)  # safetensors makes 0600; others may read a shared folder
    write_json(temporary / SIDE_FILE, {"base_fingerprint": base_fingerprint, "stored_dtype": dtype})
    if folder.exists():
        shutil.rmtree(folder)
    temporary.rename(folder)


def load_adapter(folder: str | Path, checkpoint: Checkpoint) -> dict[str, Factors]:
    """The factors of `read_adapter`."""
    return read_adapter(folder, checkpoint).layers


def read_adapter(folder: str | Path, checkpoint: Checkpoint) -> Adapter:
    """A peft LoRA folder, checked against its base, as the update that the training made: one factor began at zero.

    Layers that were trained whole (``modules_to_save``) are factors as well, with A the identity. Tensors are on the
    CPU in the precision of the file, which is part of the threat (see `stored_dtype`); cast them before computing.
    Raises `InputError` with one sentence.
    """
    config = read_config(Path(folder))
    folder, network = config.folder, checkpoint.network
    _check_base(folder, checkpoint)
    found = sort_tensors(folder, _read_tensors(folder), network.layer_at)
    layers, notes = {}, config.notes()
    for name, (A, B) in sorted(found.pairs.items()):
        _check_factors(folder, name, A, B, checkpoint)
        layers[name] = Factors(A, B, config.scaling(name, found.paths[name], A.shape[0]))
    config.check_targets(network.linear_layers(), found.paths)
    for side, zero in (("B", [not bool(factors.B.any()) for factors in layers.values()]),
                       ("A", [not bool(factors.A.any()) for factors in layers.values()])):
        if all(zero):
            raise InputError(f"adapter: every {side} in {folder} is zero, so nothing was trained and nothing can be "
                             "read from it; name an adapter saved after training.")
    ends = {name: converted_part(factors) for name, factors in layers.items()}
    if all(part is not None for part in ends.values()):
        layers = {name: part for name, part in ends.items() if part is not None}
        notes.append("The adapter was converted to plain LoRA by peft, so that the file holds where it began beside "
                     "where it ended; the beginning was subtracted.")
    if a_began_at_zero(layers, initialisation=config.initialisation):
        layers = {name: replace(factors, a_began_at_zero=True) for name, factors in layers.items()}
        notes.append(blends_of(layers))
    if config.initialisation in RECOMPUTED:
        layers = {name: trained_part(f"{name} in {folder}", factors, network.linear_layers()[name].weight,
                                     initialisation=config.initialisation) for name, factors in layers.items()}
    for name, weight in sorted(found.modules.items()):
        layers[name] = _whole(folder, name, weight, checkpoint)
        notes.append(f"{name} was trained whole beside the adapter (modules_to_save); its change is used.")
    return Adapter(dict(sorted(layers.items())), tuple(notes))


def _whole(folder: Path, name: str, weight: Tensor, checkpoint: Checkpoint) -> Factors:
    """The change of a layer that was trained whole."""
    layer = checkpoint.network.linear_layers().get(name)
    base = None if layer is None else layer.weight
    if base is None or base.shape != weight.shape or not torch.isfinite(weight).all():
        raise InputError(f"adapter: {folder} holds a whole weight {list(weight.shape)} for {name} that does not fit "
                         "this base: it is an adapter for another base, or the file is damaged.")
    rounding = torch.finfo(weight.dtype).eps * float(base.square().mean().sqrt()) * sum(n**0.5 for n in base.shape)
    return Factors(torch.eye(base.shape[1]), weight.float() - base.float(), 1.0, noise=rounding)


def stored_dtype(layers: dict[str, Factors]) -> torch.dtype:
    """The coarsest precision among the stored factors."""
    return max((tensor.dtype for factors in layers.values() for tensor in (factors.A, factors.B)),
               key=lambda dtype: torch.finfo(dtype).eps)


def _check_base(folder: Path, checkpoint: Checkpoint) -> None:
    if not (folder / SIDE_FILE).is_file():
        return  # made elsewhere: the shapes are all there is to compare
    recorded = read_json(folder / SIDE_FILE).get("base_fingerprint")
    if recorded != checkpoint.fingerprint:
        raise InputError(f"adapter: {folder} was trained on another base (fingerprint {str(recorded)[:12]}…, this base "
                         f"has {checkpoint.fingerprint[:12]}…); name the checkpoint it was trained on.")


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    files = [folder / "adapter_model.safetensors", folder / "adapter_model.bin"]
    path = next((path for path in files if path.is_file()), None)
    if path is None:
        raise InputError(f"adapter: {folder} has no adapter_model.safetensors; save the adapter with peft's "
                         "save_pretrained.")
    return read_tensors(path, field="adapter")[0]


def _check_factors(folder: Path, name: str, A: Tensor, B: Tensor, checkpoint: Checkpoint) -> None:
    layers = checkpoint.network.linear_layers()
    if name not in layers:
        raise InputError(f"adapter: {folder} trains {name}, but this base has {len(layers)} layers: it is an adapter "
                         "for another base.")
    if A.ndim != 2 or B.ndim != 2 or A.shape[0] != B.shape[1]:
        raise InputError(f"adapter: in {folder}, lora_A {list(A.shape)} and lora_B {list(B.shape)} of {name} do not "
                         "fit each other; save the adapter again.")
    if A.shape[0] == 0:
        raise InputError(f"adapter: {name} in {folder} has rank 0; the rank must be at least 1.")
    expected = (layers[name].out_features, layers[name].in_features)
    if (B.shape[0], A.shape[1]) != expected:
        raise InputError(f"adapter: in {folder}, {name} updates a {B.shape[0]}x{A.shape[1]} weight, but this base has "
                         f"{expected[0]}x{expected[1]}: it is an adapter for another base.")
    for tensor in (A, B):
        if tensor.dtype not in STORED_DTYPES.values():
            raise InputError(f"adapter: {name} in {folder} is stored as {str(tensor.dtype).removeprefix('torch.')}; "
                             f"only {', '.join(STORED_DTYPES)} are supported.")
        if not torch.isfinite(tensor).all():
            raise InputError(f"adapter: {name} in {folder} holds NaN or infinite values; the fine-tuning diverged or "
                             "the file is damaged.")
