"""Every kind of run and its knobs, declared once.

A page's form, the command line's ``--set``, the sweep space and a run's stored ``config.json`` are all generated from
these models; nothing else names a default. An attack's knobs are those of all methods together: each method declares
its own (`core.reconstruction.methods`), and a name that two methods share is one knob.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, create_model

from core.config.attack import AttackKnobs
from core.config.experiment import ExperimentConfig
from core.config.finetune import FinetuneConfig
from core.config.knob import RunConfig, facts, knob
from core.config.pretrain import PretrainConfig
from core.io.errors import InputError
from core.reconstruction.registry import AUTO, METHODS

if TYPE_CHECKING:  # made below, of whatever methods there are

    class AttackConfig(AttackKnobs):
        """Reconstruct private samples from a published adapter or network."""

        def __getattr__(self, name: str) -> Any: ...
else:
    AttackConfig = create_model(
        "AttackConfig", __base__=tuple(method.knobs for method in METHODS.values()), __module__=__name__,
        __doc__="Reconstruct private samples from a published adapter or network.",
        method=(Literal[(AUTO, *METHODS)], AttackKnobs.model_fields["method"]))

SEARCHABLE = [name for name, method in METHODS.items() if method.searches]
SEARCHED = [name for name, field in AttackConfig.model_fields.items() if facts(field).get("search")]


class SearchConfig(AttackConfig):
    """Search the knobs of an attack (Optuna): trial after trial, each an attack of its own."""

    kind: Literal["search"] = "search"  # type: ignore[assignment]  # an attack's knobs, and another kind of run
    method: Literal[tuple(SEARCHABLE)] = knob(  # type: ignore[valid-type]  # of whatever methods there are
        "kkt", help="Attack whose knobs are searched.")
    restarts: int = knob(4, help="Restarts R of each trial, computed as one batch.", scale="log", ge=1, le=256)
    iterations: int = knob(600, help="Optimiser steps of each trial.", unit="steps", scale="log", ge=1, le=1_000_000)
    knobs: list[Literal[tuple(SEARCHED)]] = knob(  # type: ignore[valid-type]
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
