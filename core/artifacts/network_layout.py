"""From the tensors of a checkpoint, ``layers.i.weight`` and ``layers.i.bias``, to its network; or one sentence.

The shapes say all of a fully connected network. Of convolutions (4-D weights, before the matrices) they leave stride
and padding open: the file's metadata ``convolutions`` says those, and the shape of ``input_mean`` the image's.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.artifacts.input_statistics import InputStatistics, set_statistics
from core.io.errors import InputError
from core.models.conv import ConvNet, feature_side
from core.models.mlp import MLP

BATCH_NORM = ("running_mean", "running_var", "num_batches_tracked")


def build_network(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str],
                  statistics: InputStatistics) -> MLP | ConvNet:
    """The network with these tensors, float32 or float64 as stored; raises `InputError`."""
    tensors = _unwrapped(tensors)
    if norms := [name for name in tensors if name.endswith(BATCH_NORM)]:
        raise InputError(f"checkpoint: {path} holds {norms[0]} of a batch norm, with which a network is no sum of its "
                         "features; only networks without it are supported.")
    weights = {int(match[1]): tensor for name, tensor in tensors.items()
               if (match := re.fullmatch(r"layers\.(\d+)\.weight", name))}
    if len(weights) < 2 or sorted(weights) != list(range(len(weights))):
        found = ", ".join(list(tensors)[:6]) or "nothing"
        raise InputError(f"checkpoint: {path} needs tensors layers.0.weight, layers.1.weight, … of at least two "
                         f"layers; found {found}.")
    ordered = [weights[index] for index in range(len(weights))]
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"checkpoint: {name} in {path} holds NaN or infinite values; the training diverged or "
                             "the file is damaged.")
    convolutions = next((index for index, weight in enumerate(ordered) if weight.ndim != 4), len(ordered))
    if any(weight.ndim != 2 for weight in ordered[convolutions:]) or convolutions == len(ordered):
        raise InputError(f"checkpoint: {path} has a weight that is not a matrix where one is needed; convolutions "
                         "come first, fully connected layers after them.")
    inputs = ordered[0].shape[1]
    shape = _shape_of_conv(path, statistics, inputs) if convolutions else _shape_of_flat(path, statistics, inputs)
    _check_chain(path, ordered, tensors, inputs)
    biases = [f"layers.{index}.bias" in tensors for index in range(len(ordered))]
    with torch.device("cpu"):
        network = (_conv(path, ordered, convolutions, biases, shape, metadata) if convolutions else
                   MLP([inputs, *(weight.shape[0] for weight in ordered)], image_shape=shape, biases=biases))
    dtype = torch.float64 if ordered[0].dtype == torch.float64 else torch.float32
    network = network.to(dtype)
    state = {name: tensors[name] for name in network.state_dict() if name != "input_mean"}
    network.load_state_dict({name: tensor.to(dtype) for name, tensor in state.items()}, strict=False)
    set_statistics(network, statistics, what=f"checkpoint: in {path}")
    return network.requires_grad_(False)


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what wrappers put before the layers' names: ``module.`` (parallel), ``_orig_mod.`` (compiled), …"""
    prefixes = {key[:match.start(1)] for key in tensors if (match := re.search(r"(?:^|\.)(layers\.\d+\.weight)$", key))}
    if len(prefixes) != 1 or not (prefix := next(iter(prefixes))):
        return tensors
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}


def _check_chain(path: Path, ordered: list[Tensor], tensors: dict[str, Tensor], inputs: int) -> None:
    """Each layer takes what the one before gives; from maps to features any multiple of the channels, checked later."""
    given, maps = inputs, ordered[0].ndim == 4
    for index, weight in enumerate(ordered):
        if weight.shape[1] != given and not (maps and weight.ndim == 2):
            raise InputError(f"checkpoint: in {path}, layers.{index}.weight takes {weight.shape[1]} inputs, but the "
                             f"layer before gives {given}.")
        given, maps = weight.shape[0], weight.ndim == 4
        bias = tensors.get(f"layers.{index}.bias")
        if bias is not None and tuple(bias.shape) != (given,):
            raise InputError(f"checkpoint: in {path}, layers.{index}.bias has shape {list(bias.shape)}, but its layer "
                             f"gives {given} outputs.")
    if given != 1 and ordered[0].ndim == 4:
        raise InputError(f"checkpoint: {path} has convolutions and ends in {given} outputs; only fully connected "
                         "networks may have more than one.")


def _conv(path: Path, ordered: list[Tensor], count: int, biases: list[bool], shape: tuple[int, int, int],
          metadata: dict[str, str]) -> ConvNet:
    strides, paddings = _steps(path, count, metadata)
    kernels = [weight.shape[2] for weight in ordered[:count]]
    if any(weight.shape[2] != weight.shape[3] for weight in ordered[:count]) or shape[1] != shape[2]:
        raise InputError(f"checkpoint: {path} has a kernel or images that are not square; only square ones are "
                         "supported.")
    if ordered[0].shape[1] != shape[0]:
        raise InputError(f"checkpoint: in {path}, layers.0.weight takes {ordered[0].shape[1]} channels, but "
                         f"the images have {shape[0]}.")
    side = shape[1]
    for index, (kernel, stride, padding) in enumerate(zip(kernels, strides, paddings, strict=True)):
        side = feature_side(side, kernel=kernel, stride=stride, padding=padding)
        if side < 1:
            raise InputError(f"checkpoint: in {path}, layers.{index}.weight has kernels of {kernel}, larger than what "
                             "reaches it.")
    features = ordered[count - 1].shape[0] * side**2
    if ordered[count].shape[1] != features:
        raise InputError(f"checkpoint: in {path}, layers.{count}.weight takes {ordered[count].shape[1]} inputs, but "
                         f"with strides {strides} and paddings {paddings} the convolutions give {features}.")
    return ConvNet(channels=[weight.shape[0] for weight in ordered[:count]], kernels=kernels, strides=strides,
                   paddings=paddings, hidden=[weight.shape[0] for weight in ordered[count:-1]], image_shape=shape,
                   biases=biases)


def _steps(path: Path, count: int, metadata: dict[str, str]) -> tuple[list[int], list[int]]:
    """Strides and paddings, one a convolution."""
    refusal = InputError(f"checkpoint: {path} has convolutions, and its shapes do not tell their strides and paddings; "
                         'save it as safetensors with metadata convolutions = {"strides": [2, …], "paddings": [0, …]}, '
                         "one a convolution.")
    try:
        said: dict[str, Any] = json.loads(metadata["convolutions"])
        lists = [said["strides"], said["paddings"]]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise refusal from error
    for least, values in zip((1, 0), lists, strict=True):
        if not (isinstance(values, list) and len(values) == count and
                all(isinstance(value, int) and least <= value <= 64 for value in values)):
            raise refusal
    return lists[0], lists[1]


def _shape_of_conv(path: Path, statistics: InputStatistics, channels: int) -> tuple[int, int, int]:
    if statistics.mean is not None and statistics.mean.ndim == 3:
        return tuple(statistics.mean.shape)
    if statistics.side is not None:
        return (channels, statistics.side, statistics.side)
    raise InputError(f"checkpoint: {path} has convolutions and needs a tensor input_mean [channels, height, "
                     "width], which says how large the images are (zeros where nothing was subtracted).")


def _shape_of_flat(path: Path, statistics: InputStatistics, inputs: int) -> tuple[int, int, int]:
    """The picture that a flat input most likely is: that of the mean, CIFAR colour, a grey square, else one row."""
    mean, side = statistics.mean, statistics.side
    if mean is not None and mean.numel() == inputs and mean.ndim == 3:
        return tuple(mean.shape)
    if side is not None and inputs % (side * side) == 0:
        return (inputs // (side * side), side, side)
    colour = inputs == 3072 or (mean is not None and mean.numel() == 3)
    side = math.isqrt(inputs // 3 if colour else inputs)
    shape = (3 if colour else 1, side, side)
    return shape if math.prod(shape) == inputs else (1, 1, inputs)
