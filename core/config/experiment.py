"""The knobs of an experiment."""

from typing import Annotated, Literal

from pydantic import Field

from core.config.knob import RunConfig, knob


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
