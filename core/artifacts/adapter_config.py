"""What ``adapter_config.json`` of a LoRA folder says, and what it means for an attack: used, or refused in a sentence.

The attacks stand on W0 + scaling * B A with B = 0 where the training began. What else peft's `LoraConfig` can express
either leaves that as it is (rank and alpha by layer, rsLoRA), leaves the first step as it is (DoRA, biases, dropout:
used, with a sentence of what it costs), or breaks it (refused, with the reason).
"""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.io.errors import InputError

# Options that put something else than scaling * B A on a plain Linear.
_UNSUPPORTED = ("target_parameters", "layer_replication", "use_qalora", "use_bdlora", "velora_config",
                "monteclora_config", "kasa_config", "arrow_config", "alora_invocation_tokens",
                "trainable_token_indices", "megatron_config")
RECOMPUTED = ("pissa", "olora")          # A_0 and B_0 follow from the base, see `core.artifacts.initialisations`
_ZERO_B = (True, "gaussian", "eva")      # B = 0: the update is what the attacks take
# Why the update cannot be told from what was there before it.
_LOST = {
    False: "draws B at random instead of zero, so that B holds its unknown beginning beside the update",
    "orthogonal": "draws A and B at random as orthogonal factors, so that B holds its unknown beginning beside the "
                  "update",
    "corda": "takes A and B from the base's response to data that are not released, so that where they began is "
             "unknown",
    "loftq": "takes A and B from the rounding of a quantised base that is not this one, so that where they began is "
             "unknown",
    "lora_ga": "takes A and B from gradients on data that are not released (often the private ones, whose blends A "
               "then holds), so that where they began is unknown",
    "pissa_niter": "takes A and B from a singular value decomposition with random directions, so that where they began "
                   "is known only roughly, and the update is smaller than that error",
}


@dataclass(frozen=True)
class AdapterConfig:
    """The config of the folder, checked."""

    folder: Path
    values: dict[str, Any]

    @property
    def initialisation(self) -> Any:
        """``init_lora_weights``, texts in lower case; of PiSSA with iterations ``pissa_niter``."""
        value = self.values.get("init_lora_weights", True)
        if not isinstance(value, str):
            return bool(value)
        value = value.lower()
        return "pissa_niter" if value.startswith("pissa_niter") else value

    def scaling(self, name: str, path: str, rank: int) -> float:
        """alpha / r, or alpha / sqrt(r) for rsLoRA, with the patterns that override r and alpha by layer."""
        expected = self._by_pattern("rank_pattern", path, self.values["r"])
        if rank != expected:
            raise InputError(f"adapter: {name} in {self.folder} has rank {rank}, but adapter_config.json says "
                             f"{expected}; the two files do not belong together.")
        alpha = self._by_pattern("alpha_pattern", path, self.values["lora_alpha"])
        return alpha / math.sqrt(rank) if self.values.get("use_rslora") else alpha / rank

    def check_targets(self, layers: Iterable[str], paths: dict[str, str]) -> None:
        """The layers that the config targets are those in the tensor file, else the two do not belong together."""
        if self.values.get("target_modules") == "all-linear":  # peft leaves an output layer out, or not
            return
        prefixes = {path.removesuffix(name) for name, path in paths.items() if path.endswith(name)}
        for name in layers:
            if name in paths:
                targeted = self._is_target(paths[name])
            elif len(prefixes) == 1:
                targeted = self._is_target(next(iter(prefixes)) + name)
            else:  # the file has names of another version of transformers: what it would call this one is open
                continue
            if targeted != (name in paths):
                says = "names it" if targeted else "does not name it"
                holds = "no factors" if targeted else "factors"
                raise InputError(f"adapter: {self.folder} holds {holds} for {name}, but target_modules in "
                                 f"adapter_config.json {says}; the two files do not belong together.")

    def notes(self) -> list[str]:
        """Sentences on what the training did beside the update, each with what it costs the attack."""
        values, found = self.values, []
        if values.get("use_dora"):
            found.append("The adapter was made with DoRA: its first step is that of plain LoRA, and the trained "
                         "magnitudes are left aside; after many steps they rescale the features.")
        if values.get("bias", "none") != "none" or values.get("lora_bias"):
            found.append("Biases were trained beside the adapter and are left aside: they leave the first step as it "
                         "is, and shift the features after many.")
        if (values.get("lora_dropout") or 0) > 0:
            found.append(f"The adapter was trained with dropout {values['lora_dropout']} on its inputs: what it "
                         "measured are inputs with pixels missing and the others brightened, other ones at every step.")
        if self.initialisation == "eva":
            found.append("EVA begins with A in the principal directions of the private inputs, so A itself tells of "
                         "them; that is not used.")
        if self.initialisation in RECOMPUTED:
            found.append(f"The adapter began from the base's own factors ({values['init_lora_weights']}); they were "
                         "recomputed from the base and subtracted.")
        return found

    def _by_pattern(self, patterns: str, path: str, default: Any) -> Any:
        """peft's rule: the first key that matches the end of the module path, as a regular expression."""
        for key, value in (self.values.get(patterns) or {}).items():
            if self._match(rf"(.*\.)?({key})$", path):
                return value
        return default

    def _is_target(self, path: str) -> bool:
        """peft's rule (tuners_utils.check_target_module_exists)."""
        def names(value: Any) -> bool:
            if isinstance(value, str):
                return self._match(value, path)
            return any(path == name or path.endswith(f".{name}") for name in value or ())

        if names(self.values.get("exclude_modules")) or any(
                self._match(rf"(|.*\.){name}(|\..*)", path) for name in self.values.get("modules_to_save") or ()):
            return False
        target = self.values.get("target_modules")
        if not names(target):
            return False
        wanted = self.values.get("layers_to_transform")
        if isinstance(target, str) or path in target or wanted is None or wanted == []:
            return True
        found = self._layer_index(path)
        return found is not None and found in ([wanted] if isinstance(wanted, int) else wanted)

    def _layer_index(self, path: str) -> int | None:
        """The number of the block that a module is in: the first that a dot follows, as peft finds it."""
        given = self.values.get("layers_pattern") or ()
        patterns = [rf"(?:^|.*?\.){pattern}" for pattern in ([given] if isinstance(given, str) else given)]
        for pattern in patterns or [r".*?\.[^.]*"]:  # where none is given, peft wants two names before the number
            match = re.match(rf"{pattern}\.(\d+)\.", path)
            if match:
                return int(match[1])
        return None

    def _match(self, pattern: str, path: str) -> bool:
        try:
            return re.fullmatch(pattern, path) is not None
        except re.error as error:
            raise InputError(f"adapter: {pattern!r} in {self.folder}/adapter_config.json is no regular expression "
                             f"({error}); correct it.") from error


def read_config(folder: Path) -> AdapterConfig:
    """Of the folder, or of the one adapter in its subfolders; raises `InputError` with one sentence."""
    if not folder.is_dir():
        raise InputError(f"adapter: there is no folder {folder}; name a peft adapter folder.")
    if not (folder / "adapter_config.json").is_file():
        inside = [item.parent for item in sorted(folder.glob("*/adapter_config.json"))]
        if len(inside) == 1:  # where peft saves an adapter whose name is not "default"
            return read_config(inside[0])
        hint = (f"it holds {len(inside)} adapters, {', '.join(item.name for item in inside)}: name the folder of one"
                if inside else "save the adapter with peft's save_pretrained")
        raise InputError(f"adapter: {folder} has no adapter_config.json; {hint}.")
    config = AdapterConfig(folder, read_json(folder / "adapter_config.json"))
    _check(config)
    return config


def read_json(path: Path) -> dict[str, Any]:
    """An object of a file in an adapter folder; raises `InputError`."""
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"adapter: {path} cannot be read ({error}); save the adapter again.") from error
    if not isinstance(content, dict):
        raise InputError(f"adapter: {path} holds a {type(content).__name__}, not an object; save the adapter again.")
    return content


def _check(config: AdapterConfig) -> None:
    folder, values, began = config.folder, config.values, config.initialisation
    if (kind := values.get("peft_type")) != "LORA":
        raise InputError(f"adapter: {folder} is of peft type {kind}; only LORA is supported.")
    for name in _UNSUPPORTED:
        if values.get(name):
            raise InputError(f"adapter: {folder} was made with {name}, which changes the network beyond the plain "
                             "update B @ A; only plain LoRA is supported.")
    if began not in (*_ZERO_B, *RECOMPUTED, "mica"):
        reason = _LOST.get(began, "is not known here, so that where A and B began is unknown")
        raise InputError(f"adapter: {folder} was made with init_lora_weights={values['init_lora_weights']!r}, which "
                         f"{reason}; no attack on the adapter alone can take it, only on one that peft converted to "
                         "plain LoRA, which holds that beginning as well.")
    for name, rank in {"r": values.get("r"), **(values.get("rank_pattern") or {})}.items():
        if not isinstance(rank, int) or rank < 1:
            raise InputError(f"adapter: the rank {name} in {folder}/adapter_config.json is {rank}; it must be at "
                             "least 1.")
    for name, alpha in {"lora_alpha": values.get("lora_alpha"), **(values.get("alpha_pattern") or {})}.items():
        if not isinstance(alpha, (int, float)) or not math.isfinite(alpha) or alpha == 0:
            raise InputError(f"adapter: {name} in {folder}/adapter_config.json is {alpha}; it must be a finite "
                             "number other than 0.")
