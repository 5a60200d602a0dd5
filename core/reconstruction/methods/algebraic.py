"""The algebraic attack: activation patterns separate the samples, and the rest of each is linear."""

from typing import TYPE_CHECKING, Any

from core.config.knob import knob
from core.reconstruction.method import UPDATES, Answer, Method
from core.reconstruction.methods.knobs import PriorKnobs, WhiteningKnobs

if TYPE_CHECKING:
    from core.config.monitor import Monitor
    from core.reconstruction.result import AttackResult
    from core.threat.observation import Observation


class AlgebraicKnobs(PriorKnobs, WhiteningKnobs):
    """Knobs of the algebraic attack and of its first-order polish."""

    scale_reward: float | None = knob(
        None, help="Reward for a sample's brightness scale, as a share of what the prior charges for it; 0 "
        "shrinks images, above 1 they saturate. Empty: 0.6 at rank 1, towards 1 with more equations.", ge=0.0, le=3.0,
        group="expert")
    polish: int | None = knob(
        None, help="Steps of a first-order polish from its images, with features at the base or at both "
        "ends. Empty: 300 after a fine-tuning of many steps where the first layer's rank fixes every pixel, else none; "
        "0 never polishes.", unit="steps", ge=0, le=100_000, group="expert", source="Loo et al. 2024")


def run(observation: "Observation", config: AlgebraicKnobs, monitor: "Monitor", *, began: float,
        prepared: Any = None) -> "AttackResult":
    """`core.reconstruction.algebraic.attack`; `prepared` is a separation that was made before."""
    from core.reconstruction.algebraic.attack import attack

    return attack(observation, config, monitor, began=began, found=prepared)


def suits(observation: "Observation") -> Answer:
    """Separating takes seconds, so it is tried rather than guessed."""
    from core.reconstruction.algebraic.attack import find_samples
    from core.reconstruction.algebraic.separation import separable
    from core.reconstruction.algebraic.updates import layer_updates

    if why := separable(observation.network, layer_updates(observation)):
        return Answer(False, why)
    found = find_samples(observation)
    if found.separation is None:
        return Answer(False, "The update does not come apart into activation patterns of single samples.")
    return Answer(True, f"The update comes apart into the activation patterns of {found.separation.samples} samples, "
                  "so that each image follows from its own equations and signs.", found)


METHOD = Method(
    name="algebraic", title="Algebraic", note="Patterns, equations and signs of each sample: solved, not searched.",
    accepts=UPDATES, needs="takes the update of a fine-tuning apart; name an adapter folder (adapter) or a fine-tuned "
    "checkpoint (tuned), or choose kkt for trained weights alone.",
    knobs=AlgebraicKnobs, run=run, suits=suits, order=0, searches=False, explains_weights=False)
