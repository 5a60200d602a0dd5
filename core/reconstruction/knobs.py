"""Groups of knobs that several methods have; a method's own class inherits the groups that count for it."""

from typing import Literal

from core.config.attack import AttackKnobs
from core.config.knob import knob


class FirstOrderKnobs(AttackKnobs):
    """A search from random starts, by gradients of a surrogate network."""

    restarts: int = knob(16, help="Restarts R, computed as one batch; the one with the smallest residual wins.",
                         scale="log", ge=1, le=256)
    iterations: int = knob(1500, help="Most optimiser steps of the attack.", unit="steps", scale="log", ge=1,
                           le=1_000_000)
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
        None, help="Sharpness of the ModifiedReLU surrogate at the first step.",
        scale="log", search=(1.0, 500.0), live=True, ge=1.0, le=1e6, source="Haim et al. 2022: 149.87")
    relu_alpha_end: float | None = knob(
        None, help="Sharpness of the ModifiedReLU surrogate at the last step; it rises geometrically.",
        scale="log", search=(10.0, 1e5), live=True, ge=1.0, le=1e6, source="Haim et al. 2022: 149.87")
    search: Literal["row-space", "pixels"] = knob(
        "row-space", help="row-space: only images that the first layer's update allows, or for kkt its span above the "
        "noise of its initialisation: few unknowns and no stiff directions. pixels: every pixel alone.")
    init_scale: float = knob(0.3, help="Standard deviation of the initial pixels around the input mean.", scale="log",
                             search=(1e-4, 1.0), ge=1e-6, le=10.0, group="expert", source="Haim et al. 2022: 0.035")
    tolerance: float = knob(0.0, help="Stop once the exact residual is below this; 0 never stops early.",
                            scale="log", ge=0.0,
                            le=1.0, group="expert")
    record_every: int = knob(25, help="Record metrics and images every so many steps.", unit="steps", scale="log", ge=1,
                             le=10_000, group="expert")

    def alphas(self, default: tuple[float, float]) -> tuple[float, float]:
        """Sharpness of the surrogate at the first and the last step; `default` is the method's."""
        start, end = self.relu_alpha_start, self.relu_alpha_end
        return default[0] if start is None else start, default[1] if end is None else end


class PriorKnobs(AttackKnobs):
    """What images are expected to look like."""

    box_weight: float | None = knob(None, help="Weight of the penalty on pixels outside [0, 1].", scale="log",
                                    live=True, ge=0.0, le=1e4, source="Haim et al. 2022: 1")
    tv_weight: float | None = knob(None, help="Weight of the total variation of an image. Empty: 1 for algebraic; for "
                                   "ntk 0.001 where the first adapter's rank is below the number of pixels, else 0.",
                                   scale="log", live=True, ge=0.0, le=10.0)
    sparsity_weight: float | None = knob(None, help="Weight of the sum of an image's pixels. Empty: 1 for "
                                         "algebraic; for ntk 0.001 where the first adapter's rank is below the "
                                         "number of pixels, else 0.", scale="log", live=True, ge=0.0,
                                         le=10.0)

    def box(self, default: float) -> float:
        """Weight of the penalty on pixels outside [0, 1]; `default` is the method's."""
        return default if self.box_weight is None else self.box_weight


class WhiteningKnobs(AttackKnobs):
    """How the update's directions are weighed against one another."""

    whitening: float = knob(1.0, help="0: plain relative residual, in which the strongest sample hides the others; "
                            "1: every singular direction of the update weighs alike.", ge=0.0, le=1.0)
