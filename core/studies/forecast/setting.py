"""A fine-tuning as a forecast sees it: planned in a form, finished as a run, or made elsewhere."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from core.config.finetune import FinetuneConfig
from core.config.pretrain import PretrainConfig
from core.data.catalogue import DEFAULT, KINDS
from core.io.errors import InputError
from core.models.modality import unknowns
from core.runs.reports.training import FinetuneReport
from core.runs.store import RunStore

# Inputs, hidden layers and logit of the network of Haim et al. 2022, where the base does not tell its own.
PUBLISHED = (unknowns(KINDS[DEFAULT].shape), 1000, 1000, 1)
FORMATS = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True)
class Setting:
    """What decides how much a release gives away, as far as it is known before an attack."""

    samples: int | None           # N
    rank: int | None              # None: full fine-tuning
    steps: int | None             # T
    optimizer: str
    dtype: str                    # as stored, or the coarser precision of the computation
    layers: tuple[str, ...]       # that are trained
    widths: tuple[int, ...] | None = None  # of the base: inputs, hidden layers, logit
    selection: str = "visible"
    visibility: tuple[float, ...] = ()     # of a finished run: coefficient / largest
    verdicts: tuple[str, ...] = ()         # of a finished run: visible, weak or hidden
    learning_rate: float | None = None     # decides over many steps how far the features move


def planned(config: FinetuneConfig, widths: tuple[int, ...] | None) -> Setting:
    """From a form's values."""
    # Storing in float64 what was computed in float32 brings nothing back.
    dtype = "float32" if (config.adapter_dtype, config.precision) == ("float64", "float32") else config.adapter_dtype
    return Setting(len(config.indices) if config.indices else config.samples,
                   config.rank if config.adaptation == "lora" else None, config.steps, config.optimizer, dtype,
                   tuple(sorted(set(config.layers))), widths, config.selection, learning_rate=config.learning_rate)


def finished(config: FinetuneConfig, report: FinetuneReport, widths: tuple[int, ...] | None) -> Setting:
    """From a run that has ended: who is visible is known."""
    plan = planned(config, widths)
    return Setting(plan.samples if report.samples is None else report.samples, plan.rank, plan.steps, plan.optimizer,
                   plan.dtype, plan.layers, widths, plan.selection, tuple(report.visibility), tuple(report.verdicts),
                   plan.learning_rate)


def made_elsewhere(checkpoint: str, adapter: str, tuned: str) -> Setting | None:
    """From released files: rank, layers and precision stand in an adapter; N, T and optimiser do not.

    None where nothing that was fine-tuned is named, or it cannot be read (the attack says why).
    """
    widths = file_widths(Path(checkpoint))
    if tuned and not adapter and Path(tuned).is_file():
        return Setting(None, None, None, "sgd", "float32", ("layers.0", "layers.1"), widths)
    try:
        facts = json.loads((Path(adapter) / "adapter_config.json").read_text())
        with safe_open(str(Path(adapter) / "adapter_model.safetensors"), framework="numpy") as file:
            names = [name for name in file.keys() if ".lora_B" in name]
            layers = sorted({found[0] for name in names if (found := re.search(r"layers\.\d+", name))})
            dtype = FORMATS.get(file.get_slice(names[0]).get_dtype(), "float32")
        return Setting(None, int(facts["r"]), None, "sgd", dtype, tuple(layers), widths) if adapter else None
    except (OSError, ValueError, KeyError, IndexError, TypeError, SafetensorError):
        return None


def base_widths(root: Path, base: str) -> tuple[int, ...] | None:
    """Widths of the base that `base` names, a pretraining run or a file; None where they cannot be read quickly."""
    try:
        config = RunStore(root).get(base).config()
        if isinstance(config, PretrainConfig):
            return (unknowns(KINDS[config.problem].shape), config.hidden, config.hidden, 1)
    except InputError:
        pass
    return file_widths(Path(base))


def file_widths(path: Path) -> tuple[int, ...] | None:
    """From the header of a safetensors checkpoint; a .pth would have to be unpickled."""
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="numpy") as file:
            names = sorted(name for name in file.keys() if re.fullmatch(r"layers\.\d+\.weight", name))
            shapes = [file.get_slice(name).get_shape() for name in names]
        matrices = shapes and all(len(shape) == 2 for shape in shapes)  # the forecast knows no convolutions
        return (shapes[0][1], *(shape[0] for shape in shapes)) if matrices else None
    except (SafetensorError, OSError):
        return None
