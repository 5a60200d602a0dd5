"""The knobs of a fine-tuning."""

from typing import Literal

from core.config.knob import RunConfig, knob


class FinetuneConfig(RunConfig):
    """Fine-tune a base, with LoRA (peft) or fully, on private hold-out samples."""

    kind: Literal["finetune"] = "finetune"
    base: str = knob(help="Base checkpoint: the id of a pretraining run, or the path of a .safetensors or .pth file.",
                     min_length=1)
    samples: int = knob(2, help="Number N of private samples, drawn evenly from both classes of the hold-out.",
                        unit="images", ge=1, le=512)
    selection: Literal["visible", "random", "first", "trained"] = knob(
        "visible", help="visible: random among hold-out samples whose loss coefficient is within 30x of the largest; "
        "random: any hold-out samples; first: the first in order; trained: on purpose those that the base was trained "
        "on, to see what such an overlap leaves.")
    indices: list[int] | None = knob(
        None, help="Exact dataset indices of the private samples (overrides samples and selection). Indices the base "
        "was pretrained on are refused: their coefficients are near 1e-18.", group="expert")
    adaptation: Literal["lora", "full"] = knob(
        "lora", help="lora: a peft adapter is trained and released. full: the weights and biases of the layers below "
        "are trained, and the whole network is released; rank and alpha do not count then.")
    rank: int = knob(1000, help="LoRA rank r. At or above the input width of a layer (784, 1000) it is full rank.",
                     scale="log", ge=1, le=4096)
    alpha: float | None = knob(None, help="LoRA alpha; the update is scaled by alpha / rank. Empty takes alpha = rank, "
                               "so that the scale is 1 at every rank.", scale="log", ge=1e-3, le=1e5)
    layers: list[str] = knob(
        ["layers.0", "layers.1"], help="Layers that are trained: they get an adapter, or change themselves.",
        suggested=("layers.0", "layers.1", "layers.2"), min_length=1)
    optimizer: Literal["sgd", "adamw"] = knob("sgd", help="Optimiser of the fine-tuning.")
    learning_rate: float = knob(
        3e-4, help="Learning rate of the fine-tuning. One full-rank sgd step at 0.0003 lowers the loss by a tenth and "
        "keeps the feature cosine above 0.99; 0.01 leaves the NTK regime at once, and adamw moves much further.",
        scale="log", ge=1e-7, le=100.0)
    steps: int = knob(1, help="Number T of optimiser steps.", unit="steps", scale="log", ge=1, le=100_000)
    batch_size: int = knob(0, help="Samples a step; 0 is full batch.", unit="images", ge=0, le=512)
    weight_decay: float = knob(0.0, help="Weight decay of the optimiser.", scale="log", ge=0.0, le=1.0, group="expert")
    adapter_dtype: Literal["float32", "float64", "bfloat16"] = knob(
        "float32", help="Precision in which the adapter or the tuned network is stored; rounding hides weak samples, "
        "in a whole network far more of them.", group="expert")

    @property
    def lora_alpha(self) -> float:
        """alpha as peft takes it."""
        return float(self.rank) if self.alpha is None else self.alpha
