"""Which attack suits an observation, and why: what ``--method auto`` does."""

from dataclasses import dataclass, replace
from typing import Any

from core.config.attack import AttackKnobs
from core.config.monitor import Monitor
from core.io.errors import InputError
from core.reconstruction.method import Method
from core.reconstruction.registry import AUTO, METHODS, named
from core.reconstruction.result import AttackResult
from core.threat.observation import Observation


@dataclass(frozen=True)
class Choice:
    """A method, the reason in a sentence or two, and what was computed on the way."""

    method: Method
    reason: str
    prepared: Any = None


def choose(observation: Observation) -> Choice:
    """The first method that suits what was released; its reason follows what kept those before it away."""
    refusals: list[str] = []
    for method in METHODS.values():
        if observation.kind not in method.accepts:
            continue
        answer = method.suits(observation)
        if answer.suits:
            return Choice(method, " ".join([*refusals, answer.reason]), answer.prepared)
        refusals.append(answer.reason)
    raise InputError(f"method: none suits a release of the kind {observation.kind}. {' '.join(refusals)}")


def attack(observation: Observation, config: AttackKnobs, monitor: Monitor, *, began: float) -> AttackResult:
    """By the method that the config names; of auto, choose, say why, and attack."""
    if config.method != AUTO:
        return named(config.method).attack(observation, config, monitor, began=began)
    choice = choose(observation)
    monitor.log(f"Method {choice.method.name}. {choice.reason}")
    result = choice.method.attack(observation, config, monitor, began=began, prepared=choice.prepared)
    return replace(result, reason=choice.reason)
