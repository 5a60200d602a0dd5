"""The knobs of an attack."""

from typing import Annotated, Literal

from pydantic import Field

from core.config.knob import knob
from core.config.tunable import Tunable


class AttackConfig(Tunable):
    """Reconstruct private samples from a published adapter or network."""

    kind: Literal["attack"] = "attack"
    finetune: str = knob("", help="Victim: the id of a fine-tuning run of this laboratory. Leave empty to attack "
                         "files made elsewhere.")
    checkpoint: str = knob("", help="Base checkpoint (.safetensors or .pth), for files made elsewhere.")
    adapter: str = knob("", help="peft adapter folder, for files made elsewhere.")
    tuned: str = knob("", help="Fully fine-tuned checkpoint (.safetensors or .pth) in the place of an adapter, for "
                      "files made elsewhere.")
    method: Literal["auto", "ntk", "kkt", "algebraic"] = knob(
        "auto", help="Attack; auto takes the one that suits what was released and says why.")
    threat: Literal["oracle", "informed", "released-only"] = knob(
        "informed", help="What the adversary knows of a fine-tuning run. released-only: the published files. informed: "
        "also labels, N, T and learning rate. oracle: also the fine-tuning coefficients (a ceiling, not an attack "
        "claim). Of files made elsewhere, what you give below is known and nothing else.")
    samples: int | None = knob(None, help="Known number N of private samples, for files made elsewhere; empty is "
                               "unknown.", ge=1, le=512, group="expert")
    labels: list[Annotated[int, Field(ge=0, le=999)]] | None = knob(
        None, help="Known labels (1 odd, 0 even; of several outputs the class, from 0), for files made elsewhere; "
        "empty is unknown.", group="expert")
    known_learning_rate: float | None = knob(
        None, help="Known fine-tuning learning rate, for files made elsewhere; empty is unknown.", gt=0,
        group="expert")
    known_steps: int | None = knob(None, help="Known number T of fine-tuning steps, for files made elsewhere; empty "
                                   "is unknown.", ge=1, group="expert")
    restarts: int = knob(16, help="Restarts R, computed as one batch; the one with the smallest residual wins.",
                         scale="log", ge=1, le=256)
    halving: bool = knob(True, help="kkt: the worse half of the restarts ends after 1/8, 1/4 and 1/2 of the "
                         "iterations, two stay; 16 then cost as much as 5, and images came out no worse. Off runs all "
                         "to the end.")
    iterations: int = knob(1500, help="Most optimiser steps of the attack.", unit="steps", scale="log", ge=1,
                           le=1_000_000)
    max_seconds: float | None = knob(None, help="Stop after so many seconds; empty is no limit.", unit="s", gt=0)
    optimizer: Literal["adam", "sgd"] = knob("adam", help="Optimiser of images and coefficients; sgd has momentum "
                                             "0.9 as in the paper.", source="Haim et al. 2022: SGD, momentum 0.9")
    lr_x: float = knob(0.05, help="Learning rate of the images: with adam, the change of a typical pixel in a step.",
                       scale="log", search=(1e-3, 1.0), live=True, ge=1e-6, le=10.0)
    lr_coefficients: float = knob(0.05, help="Learning rate of the log-coefficients (the Lagrange multipliers), "
                                  "or with lambda_space linear of lam.",
                                  scale="log", search=(1e-3, 1.0), live=True, ge=1e-6, le=10.0)
    lr_schedule: Literal["cosine", "constant"] = knob(
        "cosine", help="Both learning rates over the run: cosine falls to 0, constant stays.", group="expert")
    relu_alpha_start: float | None = knob(
        None, help="Sharpness of the ModifiedReLU surrogate at the first step. Empty: 20 for ntk, 5 for kkt.",
        scale="log", search=(1.0, 500.0), live=True, ge=1.0, le=1e6, source="Haim et al. 2022: 149.87")
    relu_alpha_end: float | None = knob(
        None, help="Sharpness of the ModifiedReLU surrogate at the last step; it rises geometrically. Empty: 50,000 "
        "for ntk, 500 for kkt.", scale="log", search=(10.0, 1e5), live=True, ge=1.0, le=1e6,
        source="Haim et al. 2022: 149.87")
    whitening: float = knob(1.0, help="0: plain relative residual, in which the strongest sample hides the others; "
                            "1: every singular direction of the update weighs alike.", ge=0.0, le=1.0)
    features: Literal["base", "both"] = knob(
        "base", help="ntk: tangent features at the base alone, exact after one step; or the mean of those at the base "
        "and at the fine-tuned weights, for many steps.", group="expert", source="Loo et al. 2024")
    candidates: int | None = knob(
        None, help="kkt: images to search for, of which the N that count most are kept. Empty takes N.", unit="images",
        scale="log", ge=1, le=4096, source="Haim et al. 2022: 1,000 for 500 samples")
    kkt_objective: Literal["stationarity", "naive"] = knob(
        "stationarity", help="kkt: stationarity is the attack. naive is the baseline of its authors: images that the "
        "network is most sure of, the mean logit of each class driven apart, without the KKT equation.",
        group="expert", source="Haim et al. 2022")
    kkt_surrogate: Literal["modified", "relu"] = knob(
        "modified", help="kkt: derivative of the ReLU in the search. modified: sigmoid(α z), as published. relu: the "
        "exact step, for comparison; α does not count then.", group="expert", source="Haim et al. 2022")
    kkt_residual: Literal["published", "relative"] = knob(
        "published", help="kkt: published adds up the layers' squared residuals as they are; relative divides each "
        "by the layer's own squared norm first, which came out worse on small networks.", group="expert",
        source="Haim et al. 2022")
    kkt_margin: Literal["hard", "soft"] = knob(
        "soft", help="kkt on networks of several outputs: what adds up to the weights. hard: the gradients of the "
        "lead over the strongest rival. soft: those of the lead over all rivals, as a cross-entropy weighs them.",
        group="expert", source="Buzaglo et al. 2023: hard")
    kkt_layers: list[Literal["layers.0", "layers.1", "layers.2"]] | None = knob(
        None, help="kkt: layers to explain; empty takes all. A wide layer whose initialisation did not wash out says "
        "little.", group="expert", min_length=1)
    lambda_space: Literal["log", "linear"] = knob(
        "log", help="kkt: search log(lam), so that lam stays positive, or lam itself as published.", group="expert",
        source="Haim et al. 2022: linear")
    lambda_start: Literal["common", "uniform"] = knob(
        "common", help="kkt: common starts every lam at the one value that explains most; uniform draws U(0, 1).",
        group="expert", source="Haim et al. 2022: uniform")
    min_lambda: float = knob(0.1, help="kkt: least multiplier lam of a candidate, with theta = mean of y lam grad f; "
                             "lower ones are penalised.", search=(0.01, 0.5), live=True, ge=0.0, le=10.0,
                             group="expert", source="Haim et al. 2022: 0.4471")
    lambda_weight: float = knob(5.0, help="kkt: weight of the penalty on multipliers below the least.", scale="log",
                                live=True, ge=0.0, le=1e4, group="expert", source="Haim et al. 2022: 5")
    box_weight: float | None = knob(None, help="Weight of the penalty on pixels outside [0, 1]. Empty: 1 for ntk, 0.1 "
                                    "for kkt; published is 1.", scale="log", live=True, ge=0.0, le=1e4,
                                    source="Haim et al. 2022: 1")
    box_range: Literal["unit", "centred"] = knob(
        "unit", help="kkt: unit penalises pixels outside [0, 1]; centred, as published, pixels less the input mean "
        "outside [-1, 1].", group="expert", source="Haim et al. 2022: centred")
    tv_weight: float | None = knob(None, help="Weight of the total variation of an image. Empty: 1 for algebraic; for "
                                   "ntk 0.001 where the first adapter's rank is below the number of pixels, else 0.",
                                   scale="log", live=True, ge=0.0, le=10.0)
    sparsity_weight: float | None = knob(None, help="Weight of the sum of an image's pixels. Empty: 1 for "
                                         "algebraic; for ntk 0.001 where the first adapter's rank is below the "
                                         "number of pixels, else 0.", scale="log", live=True, ge=0.0,
                                         le=10.0)
    scale_reward: float | None = knob(
        None, help="algebraic: reward for a sample's brightness scale, as a share of what the prior charges for it; 0 "
        "shrinks images, above 1 they saturate. Empty: 0.6 at rank 1, towards 1 with more equations.", ge=0.0, le=3.0,
        group="expert")
    polish: int | None = knob(
        None, help="algebraic: steps of a first-order polish from its images, with features at the base or at both "
        "ends. Empty: 300 after a fine-tuning of many steps where the first layer's rank fixes every pixel, else none; "
        "0 never polishes.", unit="steps", ge=0, le=100_000, group="expert", source="Loo et al. 2024")
    search: Literal["row-space", "pixels"] = knob(
        "row-space", help="row-space: only images that the first layer's update allows, or for kkt its span above the "
        "noise of its initialisation: few unknowns and no stiff directions. pixels: every pixel alone.")
    init_scale: float = knob(0.3, help="Standard deviation of the initial pixels around the input mean.", scale="log",
                             search=(1e-4, 1.0), ge=1e-6, le=10.0, group="expert", source="Haim et al. 2022: 0.035")
    init_draw: Literal["fixed-length", "gaussian"] = knob(
        "fixed-length", help="kkt: every initial image has exactly that deviation, or its pixels are drawn N(0, std) "
        "as published.", group="expert", source="Haim et al. 2022: gaussian")
    tolerance: float = knob(0.0, help="Stop once the exact residual is below this; 0 never stops early.",
                            scale="log", ge=0.0,
                            le=1.0, group="expert")
    record_every: int = knob(25, help="Record metrics and images every so many steps.", unit="steps", scale="log", ge=1,
                             le=10_000, group="expert")

    def alphas(self, default: tuple[float, float]) -> tuple[float, float]:
        """Sharpness of the surrogate at the first and the last step; `default` is the method's."""
        start, end = self.relu_alpha_start, self.relu_alpha_end
        return default[0] if start is None else start, default[1] if end is None else end

    def box(self, default: float) -> float:
        """Weight of the penalty on pixels outside [0, 1]; `default` is the method's."""
        return default if self.box_weight is None else self.box_weight
