"""LoRA adapters as folders of peft: writing ours, reading anyone's.

Reading does not instantiate peft, whose import takes seconds: an attack needs the factors only.
What peft can express beyond W0 + scaling * B A (DoRA, trained biases, initialisations that change
the base, …) is refused by name, since an attack on the plain update would then be wrong.
"""

import json
import math
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from core.artifacts.checkpoint import Checkpoint
from core.artifacts.factors import Factors
from core.artifacts.tensor_files import read_tensors
from core.host.compute import DTYPES
from core.io.errors import InputError
from core.io.files import write_json

if TYPE_CHECKING:
    from peft import PeftModel

SIDE_FILE = "afterimage.json"
STORED_DTYPES = {**DTYPES, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Options of peft's LoraConfig that make the update something else than scaling * B A on a plain Linear.
_UNSUPPORTED = ("use_dora", "lora_bias", "modules_to_save", "fan_in_fan_out", "target_parameters", "layer_replication",
                "use_qalora", "use_bdlora", "velora_config", "monteclora_config", "kasa_config", "arrow_config",
                "alora_invocation_tokens", "trainable_token_indices", "megatron_config")
# Initialisations that subtract from the base weights: base + B A is then not the network that was trained.
_CHANGES_BASE = ("pissa", "corda", "olora", "loftq", "lora_ga")


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
    """The factors of a peft LoRA folder by layer name (``layers.i``), checked against its base.

    Tensors are on the CPU in the precision of the file, which is part of the threat (see
    `stored_dtype`); cast them before computing. Raises `InputError` with one sentence.
    """
    folder = Path(folder)
    config = _read_config(folder)
    _check_config(folder, config)
    _check_base(folder, checkpoint)
    pairs, paths = _pair(folder, _read_factors(folder))
    layers = {}
    for name, (A, B) in sorted(pairs.items()):
        _check_factors(folder, name, A, B, checkpoint)
        layers[name] = Factors(A, B, _scaling(folder, config, name, paths[name], A.shape[0]))
    _check_targets(folder, config, checkpoint, paths)
    if not any(bool(factors.B.any()) for factors in layers.values()):
        raise InputError(f"adapter: every B in {folder} is zero, so nothing was trained and nothing can be read from "
                         "it; name an adapter saved after training.")
    return layers


def stored_dtype(layers: dict[str, Factors]) -> torch.dtype:
    """The coarsest precision among the stored factors."""
    return max((tensor.dtype for factors in layers.values() for tensor in (factors.A, factors.B)),
               key=lambda dtype: torch.finfo(dtype).eps)


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise InputError(f"adapter: there is no folder {folder}; name a peft adapter folder.")
    path = folder / "adapter_config.json"
    if not path.is_file():
        inside = [item.parent.name for item in sorted(folder.glob("*/adapter_config.json"))]
        hint = f"name its subfolder {inside[0]} instead" if inside else "save the adapter with peft's save_pretrained"
        raise InputError(f"adapter: {folder} has no adapter_config.json; {hint}.")
    return _read_json(path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"adapter: {path} cannot be read ({error}); save the adapter again.") from error
    if not isinstance(content, dict):
        raise InputError(f"adapter: {path} holds a {type(content).__name__}, not an object; save the adapter again.")
    return content


def _check_config(folder: Path, config: dict[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise InputError(f"adapter: {folder} is of peft type {kind}; only LORA is supported.")
    for name in _UNSUPPORTED:
        if config.get(name):
            raise InputError(f"adapter: {folder} was made with {name}, which changes the network beyond the plain "
                             "update B @ A; only plain LoRA is supported.")
    if config.get("bias", "none") != "none":
        raise InputError(f"adapter: {folder} was made with bias={config['bias']!r}, which trains biases as well; only "
                         "bias='none' is supported.")
    init = config.get("init_lora_weights", True)
    if isinstance(init, str) and init.startswith(_CHANGES_BASE):
        raise InputError(f"adapter: {folder} was initialised with {init!r}, which changes the base weights; convert it "
                         "with peft's path_initial_model_for_weight_conversion first.")
    for name, rank in {"r": config.get("r"), **(config.get("rank_pattern") or {})}.items():
        if not isinstance(rank, int) or rank < 1:
            raise InputError(f"adapter: the rank {name} in {folder}/adapter_config.json is {rank}; it must be at "
                             "least 1.")
    for name, alpha in {"lora_alpha": config.get("lora_alpha"), **(config.get("alpha_pattern") or {})}.items():
        if not isinstance(alpha, (int, float)) or not math.isfinite(alpha) or alpha == 0:
            raise InputError(f"adapter: {name} in {folder}/adapter_config.json is {alpha}; it must be a finite "
                             "number other than 0.")


def _check_base(folder: Path, checkpoint: Checkpoint) -> None:
    if not (folder / SIDE_FILE).is_file():
        return  # made elsewhere: the shapes are all there is to compare
    recorded = _read_json(folder / SIDE_FILE).get("base_fingerprint")
    if recorded != checkpoint.fingerprint:
        raise InputError(f"adapter: {folder} was trained on another base (fingerprint {str(recorded)[:12]}…, this base "
                         f"has {checkpoint.fingerprint[:12]}…); name the checkpoint it was trained on.")


def _read_factors(folder: Path) -> dict[str, Tensor]:
    files = [folder / "adapter_model.safetensors", folder / "adapter_model.bin"]
    path = next((path for path in files if path.is_file()), None)
    if path is None:
        raise InputError(f"adapter: {folder} has no adapter_model.safetensors; save the adapter with peft's "
                         "save_pretrained.")
    return read_tensors(path, field="adapter")[0]


def _pair(folder: Path, tensors: dict[str, Tensor]) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, str]]:
    """(A, B) by ``layers.i``, and the module path that peft's patterns match, by ``layers.i``."""
    found: dict[str, dict[str, Tensor]] = {}
    paths: dict[str, str] = {}
    for key, tensor in tensors.items():
        # base_model.model.layers.0.lora_A.weight; live state dicts put the adapter's name before .weight
        match = re.fullmatch(r"(.*?)\b(layers\.\d+)\.lora_([AB])(?:\.\w+)?\.weight", key)
        if match is None:
            raise InputError(f"adapter: {folder} holds {key}, which is no LoRA factor of a layer layers.i; only plain "
                             "LoRA on the network's linear layers is supported.")
        prefix, name, factor = match.groups()
        if factor in found.setdefault(name, {}):
            raise InputError(f"adapter: {folder} holds more than one lora_{factor} for {name}; save one adapter alone.")
        found[name][factor] = tensor
        paths[name] = prefix.removeprefix("base_model.model.") + name
    incomplete = [name for name, pair in sorted(found.items()) if len(pair) < 2]
    if incomplete or not found:
        missing = f"only one of lora_A and lora_B for {incomplete[0]}" if incomplete else "no LoRA factors"
        raise InputError(f"adapter: {folder} holds {missing}; save the adapter again.")
    return {name: (pair["A"], pair["B"]) for name, pair in found.items()}, paths


def _check_factors(folder: Path, name: str, A: Tensor, B: Tensor, checkpoint: Checkpoint) -> None:
    index, layers = int(name.split(".")[1]), checkpoint.network.layers
    if index >= len(layers):
        raise InputError(f"adapter: {folder} trains {name}, but this base has {len(layers)} layers: it is an adapter "
                         "for another base.")
    if A.ndim != 2 or B.ndim != 2 or A.shape[0] != B.shape[1]:
        raise InputError(f"adapter: in {folder}, lora_A {list(A.shape)} and lora_B {list(B.shape)} of {name} do not "
                         "fit each other; save the adapter again.")
    if A.shape[0] == 0:
        raise InputError(f"adapter: {name} in {folder} has rank 0; the rank must be at least 1.")
    expected = (layers[index].out_features, layers[index].in_features)
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


def _scaling(folder: Path, config: dict[str, Any], name: str, path: str, rank: int) -> float:
    """alpha / r, or alpha / sqrt(r) for rsLoRA, with the patterns that override r and alpha by layer."""
    expected = _by_pattern(folder, config.get("rank_pattern"), path, config["r"])
    if rank != expected:
        raise InputError(f"adapter: {name} in {folder} has rank {rank}, but adapter_config.json says {expected}; the "
                         "two files do not belong together.")
    alpha = _by_pattern(folder, config.get("alpha_pattern"), path, config["lora_alpha"])
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _by_pattern(folder: Path, patterns: dict[str, Any] | None, path: str, default: Any) -> Any:
    """peft's rule: the first key that matches the end of the module path, as a regular expression."""
    for key, value in (patterns or {}).items():
        if _match(folder, rf"(.*\.)?({key})$", path):
            return value
    return default


def _check_targets(folder: Path, config: dict[str, Any], checkpoint: Checkpoint, paths: dict[str, str]) -> None:
    """The layers that the config targets are those in the tensor file, else the two do not belong together."""
    prefix, name = next((path.removesuffix(name), name) for name, path in paths.items())
    for index in range(len(checkpoint.network.layers)):
        name = f"layers.{index}"
        targeted = _is_target(folder, config, prefix + name)
        if targeted != (name in paths):
            says = "names it" if targeted else "does not name it"
            holds = "no factors" if targeted else "factors"
            raise InputError(f"adapter: {folder} holds {holds} for {name}, but target_modules in adapter_config.json "
                             f"{says}; the two files do not belong together.")


def _is_target(folder: Path, config: dict[str, Any], path: str) -> bool:
    """peft's rule (tuners_utils.check_target_module_exists), for a config of plain LoRA."""
    def names(value: Any) -> bool:
        if isinstance(value, str):
            return _match(folder, value, path)
        return any(path == name or path.endswith(f".{name}") for name in value or ())

    return names(config.get("target_modules")) and not names(config.get("exclude_modules"))


def _match(folder: Path, pattern: str, path: str) -> bool:
    try:
        return re.fullmatch(pattern, path) is not None
    except re.error as error:
        raise InputError(f"adapter: {pattern!r} in {folder}/adapter_config.json is no regular expression ({error}); "
                         "correct it.") from error
