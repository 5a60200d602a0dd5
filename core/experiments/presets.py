"""Presets of experiments: plain data. Each has a small size (minutes on two cores) and the full one.

A grid names, for each axis, the values that the config leaves open:
    ranks, full, steps, samples, repeats, coefficients, features, learning_rate, restarts, iterations
`learning_rate` is that of full fine-tuning; `core.experiments.grid` says what LoRA gets.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """One experiment. `x` is the axis of its plot, `method` the attack at every point."""

    title: str
    note: str
    x: str                             # "rank" or "steps"
    method: str                        # of every attack
    sizes: dict[str, dict[str, Any]]   # "small" and "full", each a grid


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
                     "iterations": 5000}}),
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
                     "restarts": 16, "iterations": 1500}}),
    "ntk-ranks": Preset(
        "B: NTK attack by rank",
        "How much does the rank hide, after one step and after many? With full fine-tuning as reference.",
        "rank", "ntk", {
            "small": {"ranks": [1, 8, 64], "steps": [1, 200], "samples": [2], "repeats": 2, "coefficients": ["free"],
                      "features": ["base"], "learning_rate": 1e-5, "restarts": 4, "iterations": 400},
            "full": {"ranks": [1, 2, 4, 8, 16, 32, 64, 128, 1000], "steps": [1, 10, 100], "samples": [2], "repeats": 3,
                     "coefficients": ["free", "known"], "features": ["base"], "learning_rate": 1e-5, "restarts": 16,
                     "iterations": 1500}}),
    "algebraic-ranks": Preset(
        "Algebraic attack by rank",
        "What patterns and equations give back at each rank. Beside it: gradient matching (B, by rank).",
        "rank", "algebraic", {
            "small": {"ranks": [2, 8, 64], "steps": [1, 10], "samples": [2], "repeats": 2, "coefficients": ["free"],
                      "features": ["base"], "learning_rate": 1e-5, "restarts": 1, "iterations": 1},
            "full": {"ranks": [2, 4, 8, 16, 32, 64, 128, 1000], "steps": [1, 10, 100], "samples": [2], "repeats": 3,
                     "coefficients": ["free"], "features": ["base"], "learning_rate": 1e-5, "restarts": 1,
                     "iterations": 1}}),
}
