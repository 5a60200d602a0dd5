"""Reading tensor files of strangers: safetensors, or pickles that may hold tensors and nothing else."""

import pickle
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from core.io.errors import InputError

PICKLES = (".pth", ".pt", ".bin")
STATE_DICTS = ("state_dict", "model_state_dict", "model")  # under which training scripts keep the weights


@dataclass(frozen=True)
class TensorFile:
    """Tensors by name, the metadata of a safetensors file, and what a pickle holds beside its state_dict."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)
    beside: dict[str, Any] = field(default_factory=dict)   # of inner dictionaries as "outer.inner"


def read_file(path: Path, *, field: str) -> TensorFile:
    """Raises `InputError`, which names `field`.

    ``.pth``, ``.pt`` and ``.bin`` are pickles: a state_dict, bare or under ``state_dict``, read with
    ``weights_only=True`` or refused. What is no tensor in it is left out.
    """
    if path.suffix in PICKLES:
        return _read_pickle(path, field)
    try:
        with safe_open(path, framework="pt") as file:
            return TensorFile({name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{field}: {path} is not a whole safetensors file ({error}); save it again.") from error


def read_tensors(path: Path, *, field: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name and the metadata of `read_file`."""
    file = read_file(path, field=field)
    return file.tensors, file.metadata


def read_tensor(path: Path, *, field: str, name: str) -> Tensor:
    """The one tensor of a file, bare (``torch.save(x)``) or under `name`; raises `InputError`."""
    if path.suffix in PICKLES and isinstance(content := _unpickle(path, field), Tensor):
        return content.detach()
    tensors, _ = read_tensors(path, field=field)
    if name not in tensors and len(tensors) != 1:
        raise InputError(f"{field}: {path} holds {len(tensors)} tensors and none of them is called {name}; save one "
                         "tensor.")
    return tensors.get(name, next(iter(tensors.values()))).detach()


def _read_pickle(path: Path, field: str) -> TensorFile:
    content = _unpickle(path, field)
    if not isinstance(content, dict):
        raise InputError(f"{field}: {path} holds a {type(content).__name__}, not a state_dict; save "
                         "model.state_dict().")
    name = next((name for name in STATE_DICTS if isinstance(content.get(name), dict)), None)
    weights = content if name is None else content[name]
    tensors = {key: tensor for key, tensor in weights.items() if isinstance(tensor, Tensor)}
    outside = {} if name is None else {key: value for key, value in content.items() if key != name}
    inner = {f"{key}.{part}": value for key, entry in {**content, **outside}.items()
             if isinstance(entry, dict) and key != name for part, value in entry.items()}
    rest = {key: value for key, value in weights.items() if not isinstance(value, (Tensor, dict))}
    return TensorFile(tensors, beside={**rest, **outside, **inner})


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
