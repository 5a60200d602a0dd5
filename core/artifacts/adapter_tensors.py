"""The tensors of an adapter file, sorted by layer and by what they are.

    base_model.model.layers.0.lora_A.weight          the factors; live state dicts put the adapter's name before .weight
    layers.0.lora_B.bias, layers.0.bias              biases (lora_bias, bias)
    layers.0.lora_magnitude_vector                   DoRA
    layers.2.weight, …modules_to_save.default.weight a layer that was trained whole (modules_to_save)

with anything before ``layers.i``: ``base_model.model.``, ``module.`` (parallel), ``_orig_mod.`` (compiled), or nothing.
Of a transformer the layers have longer names, ``vit.layers.0.attention.q_proj``; the network says which are its own.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from core.io.errors import InputError

_KEY = re.compile(r"(.+?)\.((?:lora_[AB]|lora_magnitude_vector|modules_to_save|original_module|base_layer)\..+|"
                  r"lora_magnitude_vector|weight|bias)")
_FACTOR = re.compile(r"lora_([AB])(?:\.(\w+))?\.weight")
_WHOLE = re.compile(r"(?:modules_to_save\.\w+\.)?weight")
_LEFT_ASIDE = re.compile(r"lora_B(\.\w+)?\.bias|(base_layer\.|modules_to_save\.\w+\.)?bias|base_layer\.weight|"
                         r"original_module\.\w+|lora_magnitude_vector(\.\w+)?(\.weight)?")
_WRAPPERS = re.compile(r"base_model\.model\.|module\.|_orig_mod\.")


@dataclass
class AdapterTensors:
    """By the network's own names of its layers."""

    pairs: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)   # A, B
    paths: dict[str, str] = field(default_factory=dict)     # of a pair: the module path that peft's patterns match
    modules: dict[str, Tensor] = field(default_factory=dict)


def sort_tensors(folder: Path, tensors: dict[str, Tensor],
                 layer_at: Callable[[str], str | None]) -> AdapterTensors:
    """`layer_at` says which layer of the network a module path names. Raises `InputError` for what is none of these,
    for half a pair, and for several adapters in one file."""
    found, adapters = AdapterTensors(), set()
    factors: dict[str, Any] = {}
    for key, tensor in tensors.items():
        split = _KEY.fullmatch(key)
        path, rest = (_WRAPPERS.sub("", split[1]), split[2]) if split else ("", "")
        name = layer_at(path)
        if name is None:
            rest = ""
        if match := _FACTOR.fullmatch(rest):
            adapters.add(match[2] or "default")
            _check_one(folder, adapters)
            if match[1] in factors.setdefault(name, {}):
                raise InputError(f"adapter: {folder} holds more than one lora_{match[1]} for {name}; save one adapter "
                                 "alone.")
            factors[name][match[1]] = tensor
            found.paths[name] = path
        elif _WHOLE.fullmatch(rest):
            found.modules[name] = tensor
        elif not _LEFT_ASIDE.fullmatch(rest):
            raise InputError(f"adapter: {folder} holds {key}, which is no LoRA factor of a layer of this base; "
                             "only plain LoRA on the network's linear layers is supported.")
    incomplete = [name for name, pair in sorted(factors.items()) if len(pair) < 2]
    if incomplete or not factors:
        missing = f"only one of lora_A and lora_B for {incomplete[0]}" if incomplete else "no LoRA factors"
        raise InputError(f"adapter: {folder} holds {missing}; save the adapter again.")
    found.pairs = {name: (pair["A"], pair["B"]) for name, pair in factors.items()}
    return found


def _check_one(folder: Path, adapters: set[str]) -> None:
    if len(adapters) > 1:
        raise InputError(f"adapter: {folder} holds the adapters {' and '.join(sorted(adapters))} in one file, and "
                         "which of them was trained on what is not said; save one adapter alone.")
