"""Reading tensor files of strangers: safetensors, or pickles that may hold tensors and nothing else."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from core.io.errors import InputError

PICKLES = (".pth", ".pt", ".bin")


def read_tensors(path: Path, *, field: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name and the metadata ({} for a pickle); raises `InputError`, which names `field`.

    ``.pth``, ``.pt`` and ``.bin`` are pickles: a state_dict, bare or under ``state_dict``, read with
    ``weights_only=True`` or refused. What is no tensor in it is left out.
    """
    if path.suffix in PICKLES:
        return _read_pickle(path, field), {}
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{field}: {path} is not a whole safetensors file ({error}); save it again.") from error


def read_tensor(path: Path, *, field: str, name: str) -> Tensor:
    """The one tensor of a file, bare (``torch.save(x)``) or under `name`; raises `InputError`."""
    if path.suffix in PICKLES and isinstance(content := _unpickle(path, field), Tensor):
        return content.detach()
    tensors, _ = read_tensors(path, field=field)
    if name not in tensors and len(tensors) != 1:
        raise InputError(f"{field}: {path} holds {len(tensors)} tensors and none of them is called {name}; save one "
                         "tensor.")
    return tensors.get(name, next(iter(tensors.values()))).detach()


def _read_pickle(path: Path, field: str) -> dict[str, Tensor]:
    content = _unpickle(path, field)
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise InputError(f"{field}: {path} holds a {type(content).__name__}, not a state_dict; save "
                         "model.state_dict().")
    return {name: tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def _unpickle(path: Path, field: str) -> Any:
    try:
        with warnings.catch_warnings():  # torch warns of odd pickles; what matters is the answer below
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{field}: {path} holds more than tensors (or is damaged) and was not opened, since a pickle "
                         "can run code; save its state_dict alone, best as safetensors.") from error
    except Exception as error:  # damaged bytes raise nearly anything: IndexError, struct.error, AssertionError, …
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{field}: {path} is truncated or not a torch file ({reason}); save it again.") from error
