"""What a checkpoint says of its inputs: the mean subtracted from the pixels, the deviation they were divided by.

    h = (x - mean) / std,  x in [0, 1]

People keep the two as a tensor of the state_dict or beside it, in the metadata of a safetensors file, or in a
``preprocessor_config.json`` of Hugging Face next to it, under many names, as a picture, one number a channel or one
number, and in the units of the pixels, 0..1 or 0..255. All of it is brought to pixels in [0, 1] here; what was found
is said in one sentence for the report.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.artifacts.tensor_files import TensorFile, read_tensor
from core.io.errors import InputError

PREPROCESSOR = "preprocessor_config.json"
MEAN, STD = {"mean", "means", "mu"}, {"std", "stds", "stdev", "sigma"}
# Words of a name that tell a statistic of something else: losses, batch norms, optimiser states, outputs.
OTHERS = {"running", "layers", "loss", "grad", "gradient", "optimizer", "exp", "acc", "accuracy", "history", "output",
          "outputs", "target", "targets", "label", "labels", "logit", "logits", "margin", "embedding"}
LIKELIEST = ("input", "inputs", "pixel", "image", "data", "train")  # of several names, the first of these
# What people usually do to pixels in [0, 1]: mean and deviation, one number or one a channel.
AS_THEY_ARE = "pixels as they are"
USUAL: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    AS_THEY_ARE: ((0.0,), (1.0,)),
    "mean 0.5, deviation 0.5": ((0.5,), (0.5,)),
    "MNIST, mean 0.1307, deviation 0.3081": ((0.1307,), (0.3081,)),
    "CIFAR-10, by channel": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "ImageNet, by channel": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@dataclass(frozen=True)
class InputStatistics:
    """As found, before it is shaped like an image; None is not said. For pixels in [0, 1]."""

    mean: Tensor | None = None
    std: Tensor | None = None
    side: int | None = None      # of the images, where the preprocessor says it
    said: str = ""               # where they were found, and how they were read; empty where nothing was


def find_statistics(path: Path, file: TensorFile) -> InputStatistics:
    """Of a checkpoint's file and its neighbours; the nearest to the weights wins. Raises `InputError`."""
    config = _preprocessor(path.parent / PREPROCESSOR)
    side = _side(config)
    places = [(f"in {path.name}", file.tensors), (f"beside the weights in {path.name}", file.beside),
              (f"in the metadata of {path.name}", _parsed(file.metadata))]
    for place, entries in places:
        mean, std = _named(entries, MEAN), _named(entries, STD)
        if mean is not None or std is not None:
            return _in_pixels(path, mean, std, place, side)
    return _of_preprocessor(config, side) if config else InputStatistics()


def given_statistics(network: nn.Module, *, mean: str, std: str) -> None:
    """Set what a person gives: a file of one tensor, or one number, or one a channel; an empty text leaves it."""
    given = {name: _given(name, text) for name, text in (("input_mean", mean), ("input_std", std)) if text}
    in_bytes = any(_in_bytes(value) for value in given.values())
    for name, value in given.items():
        set_statistic(network, name, value / 255 if in_bytes else value, what=f"{name}: what is given")


def set_statistics(network: nn.Module, statistics: InputStatistics, *, what: str) -> None:
    """Put those that were found into the network's buffers; raises `InputError`, which begins with `what`."""
    for name, value in (("input_mean", statistics.mean), ("input_std", statistics.std)):
        if value is not None:
            set_statistic(network, name, value, what=f"{what}, {name}")


def set_statistic(network: nn.Module, name: str, value: Tensor, *, what: str) -> None:
    """Put a mean or deviation of any usual shape into the network's buffer; raises `InputError`, naming `what`."""
    shape = tuple(network.input_mean.shape)
    whole = shaped(value, shape)
    if whole is None:
        raise InputError(f"{what} has shape {list(value.shape)}, but the images are {list(shape)}; give one number, "
                         "one a channel, or a picture of that size.")
    whole = whole.to(network.input_mean).contiguous()
    if not torch.isfinite(whole).all() or (name == "input_std" and bool((whole < 0).any())):
        raise InputError(f"{what} holds a number that is negative or not finite; give it for pixels in [0, 1] or "
                         "0..255.")
    if name == "input_std":
        whole = torch.where(whole > 0, whole, torch.ones_like(whole))  # a pixel that never varies is never divided
        setattr(network, name, None if bool((whole == 1).all()) else whole)
    else:
        setattr(network, name, whole)


def shaped(value: Tensor, shape: tuple[int, int, int]) -> Tensor | None:
    """[C, H, W] of one number, one a channel, a flat or a whole picture; None where it is none of these."""
    flat = value.flatten()
    if flat.numel() == torch.Size(shape).numel():
        return flat.reshape(shape).clone()
    if flat.numel() in (1, shape[0]):
        return flat.reshape(-1, 1, 1).expand(shape).clone()
    return None


def usual_statistics(shape: tuple[int, int, int]) -> dict[str, tuple[Tensor, Tensor]]:
    """Those of `USUAL` that fit images of this shape: the ones of grey digits for one channel, by channel for three."""
    names = {1: [*USUAL][:3], 3: [*USUAL][:2] + [*USUAL][3:]}.get(shape[0], [*USUAL][:2])
    return {name: (torch.tensor(USUAL[name][0]), torch.tensor(USUAL[name][1])) for name in names}


def describe(network: nn.Module) -> str:
    """``mean 0.13, deviation 0.31``, of pictures their average."""
    mean, std = network.input_mean, network.input_std
    if not bool(mean.any()) and std is None:
        return "pixels as they are"
    return f"mean {_number(mean)}" + ("" if std is None else f", deviation {_number(std)}")


def _number(value: Tensor) -> str:
    by_channel = value.flatten(1).mean(1)
    if bool((value == by_channel[:, None, None]).all()) or len(by_channel) > 1:
        kind = "" if bool((value == by_channel[:, None, None]).all()) else "a picture, by channel on average "
        return kind + ", ".join(f"{float(number):.4g}" for number in by_channel)
    return f"a picture, on average {float(value.mean()):.4g}"


def _given(name: str, text: str) -> Tensor:
    try:
        return torch.tensor([float(part) for part in text.split(",")])
    except ValueError:
        pass
    path = Path(text).expanduser()
    if not path.is_file():
        raise InputError(f"{name}: {text!r} is neither a number, nor one number a channel parted by commas, nor a "
                         "file; give for example 0.1307, or a .safetensors or .pth file with one tensor.")
    return read_tensor(path, field=name, name=name)


def _named(entries: dict[str, Any], names: set[str]) -> tuple[str, Tensor] | None:
    """The entry that is a statistic of the inputs, by its name, as a tensor."""
    found = []
    for key, value in entries.items():
        words = re.split(r"[._/]", key.lower())
        tensor = _tensor(value)
        if tensor is not None and names & set(words) and not OTHERS & set(words):
            rank = next((index for index, word in enumerate(LIKELIEST) if word in words), len(LIKELIEST))
            found.append((rank, key, tensor))
    return min(found, key=lambda item: item[0])[1:] if found else None


def _tensor(value: Any) -> Tensor | None:
    """A number, a list of numbers or a tensor; None of anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, (int, float)):
        return torch.tensor([float(value)])
    if isinstance(value, (list, tuple)) and value:
        try:
            return torch.tensor(value, dtype=torch.float32)
        except (TypeError, ValueError):
            return None
    return None


def _in_pixels(path: Path, mean: tuple[str, Tensor] | None, std: tuple[str, Tensor] | None, place: str,
               side: int | None) -> InputStatistics:
    for entry in filter(None, (mean, std)):
        if not torch.isfinite(entry[1].float()).all():
            raise InputError(f"checkpoint: {entry[0]} in {path} holds NaN or infinite values; the training diverged or "
                             "the file is damaged.")
    # A deviation tells its unit only where the mean does not: one above 1.5 is none of pixels in [0, 1].
    teller = mean[1] if mean is not None and bool(mean[1].any()) else (std or mean)[1]
    in_bytes = _in_bytes(teller)
    by = 255.0 if in_bytes else 1.0
    names = " and ".join(entry[0] for entry in (mean, std) if entry is not None)
    said = f"{names} {place}" + (", in 0..255 and divided by 255 here" if in_bytes else "")
    read_mean, read_std = (None if entry is None else entry[1] / by for entry in (mean, std))
    return InputStatistics(read_mean, read_std, side, said)


def _in_bytes(value: Tensor) -> bool:
    """Whether a mean or deviation is one of pixels in 0..255."""
    return value.dtype == torch.uint8 or float(value.double().max()) > 1.5


def _parsed(metadata: dict[str, str]) -> dict[str, Any]:
    """The metadata of a safetensors file, texts that are JSON read, one level of objects with dots."""
    found: dict[str, Any] = {}
    for key, text in metadata.items():
        try:
            value = json.loads(text)
        except ValueError:
            continue
        if isinstance(value, dict) and key != "facts":  # our own: of the training, not of the inputs
            found |= {f"{key}.{name}": item for name, item in value.items()}
        else:
            found[key] = value
    return found


def _preprocessor(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise InputError(f"checkpoint: {path} cannot be read ({error}); save it again.") from error
    return config if isinstance(config, dict) else {}


def _side(config: dict[str, Any]) -> int | None:
    size = config.get("crop_size") if config.get("do_center_crop") else config.get("size")
    size = size.get("height", size.get("shortest_edge")) if isinstance(size, dict) else size
    return size if isinstance(size, int) and size > 0 else None


def _of_preprocessor(config: dict[str, Any], side: int | None) -> InputStatistics:
    """Hugging Face: h = (factor * pixel - image_mean) / image_std with pixel in 0..255, each part optional."""
    factor = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
    unit = 255.0 * factor                       # what a pixel of 1 becomes before the mean is subtracted
    normalised = config.get("do_normalize", "image_mean" in config)
    mean, std = (_tensor(config.get(name)) if normalised else None for name in ("image_mean", "image_std"))
    said = f"{PREPROCESSOR} beside it"
    if mean is None and std is None and abs(unit - 1) < 1e-6:
        return InputStatistics(side=side, said=f"{said}: pixels in [0, 1], nothing subtracted")
    std = (torch.ones(1) if std is None else std) / unit
    if bool((std - 1).abs().max() < 1e-6):
        std = None
    return InputStatistics(None if mean is None else mean / unit, std, side, said)
