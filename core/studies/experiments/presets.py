"""Presets of experiments: plain data. Each has a small size (minutes on two cores) and the full one.

A grid names, for each axis, the values that the config leaves open:
    ranks, full, steps, samples, repeats, coefficients, features, learning_rate, restarts, iterations
`learning_rate` is that of full fine-tuning; `core.studies.experiments.grid` says what LoRA gets.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Arm:
    """One setting of an attack on a base alone: its knobs, and what it is told of the number of digits.

    `candidates` and `told` are multiples of the true number; None leaves them to the attack, which then reads the
    number off the first layer. `pretrain` are the knobs of a base of the arm's own. With `finetune`, the knobs of a
    fine-tuning, that is attacked instead, informed.
    """

    name: str
    knobs: dict[str, Any] = field(default_factory=dict)
    candidates: float | None = None
    told: float | None = 1.0
    pretrain: dict[str, Any] = field(default_factory=dict)
    finetune: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """One experiment. `x` is the axis of its plot, `method` the attack at every point.

    With `arms` each of them is one setting, and the axes are repeats, restarts and iterations alone.
    """

    title: str
    note: str
    x: str                             # "rank", "steps" or "arm"
    method: str                        # of every attack
    sizes: dict[str, dict[str, Any]]   # "small" and "full", each a grid
    minutes: int                       # that the small one took on two cores
    arms: tuple[Arm, ...] = ()

    @property
    def finetunes(self) -> bool:
        """Whether private samples are attacked, and not the training set of a base."""
        return not self.arms or any(arm.finetune for arm in self.arms)

    @property
    def own_bases(self) -> bool:
        """Whether it compares bases, which it then pretrains itself."""
        return any(arm.pretrain for arm in self.arms)


# What an experiment pretrains where its base is `OWN`, once for each seed.
OWN = "own"
OWN_BASE: dict[str, Any] = {"name": "20 digits", "optimizer": "max-margin", "samples_per_class": 10}
SEPARATED = OWN_BASE | {"name": "20 digits, ln loss -40", "optimizer": "log-gd", "target_log_loss": -40.0}
ON_A_BASE = {"small": {"repeats": 3, "restarts": 1, "iterations": 500},
             "full": {"repeats": 10, "restarts": 4, "iterations": 3000}}
TRAINED = {"name": "pretrained", "samples_per_class": 50, "epochs": 300}
# As good as not at all: what is left is the drawn network with its first layer of scale 1e-4.
UNTRAINED = {"name": "tiny init", "samples_per_class": 50, "epochs": 1, "optimizer": "gd", "learning_rate": 1e-6}
SMALL_STEP, LARGE_STEP = ({"rank": 1000, "samples": 2, "steps": 1, "learning_rate": rate} for rate in (3e-4, 1e-2))


PRESETS: dict[str, Preset] = {
    "compose-rank": Preset(
        "A: compose and reconstruct",
        "Train a few samples to near-stationarity, compose W0 + BA, run the KKT attack unchanged. By rank, with full "
        "fine-tuning as reference.",
        "rank", "kkt", {
            "small": {"ranks": [1, 8, 64], "steps": [500], "samples": [2], "repeats": 2, "coefficients": ["free"],
                      "features": ["base"], "learning_rate": 1e-5, "restarts": 4, "iterations": 400},
            "full": {"ranks": [1, 2, 4, 8, 16, 32, 64], "steps": [10_000], "samples": [2], "repeats": 5,
                     "coefficients": ["free"], "features": ["base"], "learning_rate": 1e-5, "restarts": 16,
                     "iterations": 5000}}, 2),
    "ntk-steps": Preset(
        "B: NTK attack by steps T",
        "How long do features frozen at the base explain the update? Full fine-tuning beside LoRA, coefficients "
        "searched and given.",
        "steps", "ntk", {
            "small": {"ranks": [64], "steps": [1, 20, 200], "samples": [2], "repeats": 2,
                      "coefficients": ["free", "known"], "features": ["base"], "learning_rate": 1e-5, "restarts": 4,
                      "iterations": 400},
            "full": {"ranks": [8, 64], "steps": [1, 2, 5, 10, 20, 50, 100, 500, 1000], "samples": [2], "repeats": 3,
                     "coefficients": ["free", "known"], "features": ["base", "both"], "learning_rate": 1e-5,
                     "restarts": 16, "iterations": 1500}}, 3),
    "ntk-ranks": Preset(
        "B: NTK attack by rank",
        "How much does the rank hide, after one step and after many? With full fine-tuning as reference.",
        "rank", "ntk", {
            "small": {"ranks": [1, 8, 64], "steps": [1, 200], "samples": [2], "repeats": 2, "coefficients": ["free"],
                      "features": ["base"], "learning_rate": 1e-5, "restarts": 4, "iterations": 400},
            "full": {"ranks": [1, 2, 4, 8, 16, 32, 64, 128, 1000], "steps": [1, 10, 100], "samples": [2], "repeats": 3,
                     "coefficients": ["free", "known"], "features": ["base"], "learning_rate": 1e-5, "restarts": 16,
                     "iterations": 1500}}, 3),
    "algebraic-ranks": Preset(
        "Algebraic attack by rank",
        "What patterns and equations give back at each rank. Beside it: gradient matching (B, by rank).",
        "rank", "algebraic", {
            "small": {"ranks": [2, 8, 64], "steps": [1, 10], "samples": [2], "repeats": 2, "coefficients": ["free"],
                      "features": ["base"], "learning_rate": 1e-5, "restarts": 1, "iterations": 1},
            "full": {"ranks": [2, 4, 8, 16, 32, 64, 128, 1000], "steps": [1, 10, 100], "samples": [2], "repeats": 3,
                     "coefficients": ["free"], "features": ["base"], "learning_rate": 1e-5, "restarts": 1,
                     "iterations": 1}}, 3),
    "ntk-init": Preset(
        "B: tiny random init against a pretrained base",
        "One full-rank step from a network that was only drawn (first layer of scale 1e-4: every pre-activation at "
        "the kink) and from a pretrained one, at a small and at a large learning rate: do the features survive it?",
        "arm", "ntk", {"small": {"repeats": 2, "restarts": 1, "iterations": 300},
                       "full": {"repeats": 5, "restarts": 16, "iterations": 1500}}, 2, (
            Arm("pretrained, lr 0.0003", pretrain=TRAINED, finetune=SMALL_STEP),
            Arm("tiny init, lr 0.0003", pretrain=UNTRAINED, finetune=SMALL_STEP),
            Arm("pretrained, lr 0.01", pretrain=TRAINED, finetune=LARGE_STEP),
            Arm("tiny init, lr 0.01", pretrain=UNTRAINED, finetune=LARGE_STEP))),
    "ntk-overlap": Preset(
        "B: samples that the base knows against new ones",
        "One full-rank step on two hold-out samples, and on two that the base was trained on to stationarity: how "
        "large are their loss coefficients, and what comes back?",
        "arm", "ntk", {"small": {"repeats": 3, "restarts": 4, "iterations": 400},
                       "full": {"repeats": 10, "restarts": 16, "iterations": 1500}}, 2, (
            Arm("hold-out samples", pretrain=TRAINED, finetune=SMALL_STEP),
            Arm("training samples", pretrain=TRAINED, finetune=SMALL_STEP | {"selection": "trained"}))),
    "kkt-surrogate": Preset(
        "KKT: ModifiedReLU against ReLU",
        "Does the soft derivative of Haim et al. 2022 help the search, and does it matter that α rises?",
        "arm", "kkt", ON_A_BASE, 2, (
            Arm("ModifiedReLU, α 5 to 500"),
            Arm("ModifiedReLU, α 149.87", {"relu_alpha_start": 149.87, "relu_alpha_end": 149.87}),
            Arm("ReLU", {"kkt_surrogate": "relu"}))),
    "kkt-lambda-rate": Preset(
        "KKT: shared against separate λ learning rate",
        "One learning rate for images and multipliers, or a rate of its own for λ?",
        "arm", "kkt", ON_A_BASE, 2, (
            Arm("λ × 0.01", {"lr_coefficients": 0.0005}), Arm("λ × 0.1", {"lr_coefficients": 0.005}),
            Arm("shared, 0.05", {"lr_x": 0.05, "lr_coefficients": 0.05}), Arm("λ × 10", {"lr_coefficients": 0.5}))),
    "kkt-restarts": Preset(
        "KKT: 1 against 16 restarts",
        "Does the restart of the smallest residual, which the attack keeps, have the better images?",
        "arm", "kkt", ON_A_BASE, 2, (
            Arm("1 restart", {"restarts": 1}), Arm("4 restarts", {"restarts": 4}),
            Arm("16 restarts", {"restarts": 16}))),
    "kkt-stationarity": Preset(
        "KKT: bases nearer to stationarity and farther from it",
        "The same digits and the same drawn network, trained to a larger and to a smaller KKT residual: what of the "
        "digits comes back?",
        "arm", "kkt", ON_A_BASE, 2, (
            Arm("log-gd, ln loss -5", pretrain=SEPARATED | {"name": "20 digits, ln loss -5", "target_log_loss": -5.0}),
            Arm("log-gd, ln loss -40", pretrain=SEPARATED),
            Arm("max-margin, ln loss -40", pretrain=OWN_BASE))),
    "kkt-candidates": Preset(
        "KKT: right against wrong candidate counts",
        "What more candidates than digits do, and what a wrong N costs.",
        "arm", "kkt", ON_A_BASE, 3, (
            Arm("N read off", told=None), Arm("1×"), Arm("1.5×", candidates=1.5), Arm("2×", candidates=2.0),
            Arm("4×", candidates=4.0), Arm("told N/2", told=0.5), Arm("told 1.5 N", told=1.5))),
}
