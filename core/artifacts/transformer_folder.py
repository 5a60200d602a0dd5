"""Folders of Hugging Face transformers: ``config.json`` beside ``model.safetensors``.

Only vision transformers for classification. Nothing in the folder is executed and nothing is asked of the network: the
class is ours to name, the config is read as plain values, and weights come from safetensors alone.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from core.io.errors import InputError
from core.models.vision_transformer import VisionTransformer

if TYPE_CHECKING:
    from transformers import ViTForImageClassification

WEIGHTS = "model.safetensors"
CONFIG_BYTES = 1 << 20  # a ViT's with the names of a thousand classes has 70 kB
# What the architecture depends on, with the most that is accepted; a config may ask for any amount of memory.
SIZES = {"hidden_size": 8192, "num_hidden_layers": 256, "num_attention_heads": 256, "intermediate_size": 65536,
         "image_size": 4096, "patch_size": 4096, "num_channels": 64}
OPTIONS = ("hidden_act", "layer_norm_eps", "qkv_bias", "id2label", "label2id", "num_labels", "hidden_dropout_prob",
           "attention_probs_dropout_prob")


def load_transformer(folder: Path) -> VisionTransformer:
    """The network of a folder, without statistics of its inputs; raises `InputError` with one sentence."""
    values = _config(folder)
    if (kind := values.get("model_type")) != "vit":
        raise InputError(f"checkpoint: {folder / 'config.json'} is of a model of type {str(kind)[:80]!r}; of "
                         "transformers' models only vit is supported.")
    for name, most in SIZES.items():
        if name in values and not (type(values[name]) is int and 0 < values[name] <= most):
            raise InputError(f"checkpoint: {name} in {folder / 'config.json'} is {str(values[name])[:80]}; it must be "
                             f"a whole number from 1 to {most}.")
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"checkpoint: {folder} has no {WEIGHTS}; save the model with save_pretrained, as safetensors "
                         "in one file.")
    return VisionTransformer(_model(folder, values)).requires_grad_(False).eval()


def _model(folder: Path, values: dict[str, Any]) -> "ViTForImageClassification":
    from transformers import ViTConfig, ViTForImageClassification  # seconds
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        config = ViTConfig(**{name: values[name] for name in (*SIZES, *OPTIONS) if name in values})
        with torch.device("meta"):
            needed = sum(part.numel() for part in ViTForImageClassification(config).parameters())
        if needed > (folder / WEIGHTS).stat().st_size:  # a weight takes two bytes at least
            raise ValueError(f"config.json speaks of {needed:,} weights, more than {WEIGHTS} can hold")
        model, found = ViTForImageClassification.from_pretrained(
            str(folder), config=config, local_files_only=True, use_safetensors=True, dtype=torch.float32,
            output_loading_info=True)
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError, OSError) as error:
        raise InputError(f"checkpoint: {folder} is no vision transformer that can be read "
                         f"({str(error).splitlines()[0][:200]}); save it again with save_pretrained.") from error
    if missing := sorted(found["missing_keys"]):
        raise InputError(f"checkpoint: {WEIGHTS} in {folder} lacks {missing[0]}"
                         f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}; save the whole model, of "
                         "the class ViTForImageClassification.")
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"checkpoint: {name} in {folder} holds NaN or infinite values; the training diverged or "
                             "the file is damaged.")
    return model


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"checkpoint: {folder} has no config.json; name a .safetensors or .pth file, or a folder made "
                         "by save_pretrained of transformers.")
    if path.stat().st_size > CONFIG_BYTES:
        raise InputError(f"checkpoint: {path} has more than {CONFIG_BYTES:,} bytes; no config has that many.")
    try:
        values = json.loads(path.read_text())
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"checkpoint: {path} cannot be read ({error}); save the model again.") from error
    if not isinstance(values, dict):
        raise InputError(f"checkpoint: {path} holds a {type(values).__name__}, not an object; save the model again.")
    return values
