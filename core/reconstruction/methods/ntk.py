"""Gradient matching in the NTK regime: images whose tangent features at the base add up to the update."""

from typing import TYPE_CHECKING, Any

from core.reconstruction.method import UPDATES, Answer, Method
from core.reconstruction.ntk.knobs import ALPHAS, BOX, NTKKnobs

if TYPE_CHECKING:
    from core.config.monitor import Monitor
    from core.reconstruction.result import AttackResult
    from core.threat.observation import Update


def run(observation: "Update", config: NTKKnobs, monitor: "Monitor", *, began: float,
        prepared: Any = None) -> "AttackResult":
    """`core.reconstruction.ntk.attack`."""
    from core.reconstruction.ntk.attack import attack

    return attack(observation, config, monitor, began=began)


METHOD = Method(
    name="ntk", title="NTK", note="Gradient matching: a search with restarts, and images to watch.", accepts=UPDATES,
    needs="explains the update of a fine-tuning; name an adapter folder (adapter) or a fine-tuned checkpoint (tuned), "
    "or choose kkt for trained weights alone.",
    knobs=NTKKnobs, run=run, suits=lambda observation: Answer(
        True, "Gradient matching asks for less: it explains the update as a sum of tangent features at the base."),
    order=1, searches=True, explains_weights=False, uses_coefficients=True,
    empty={"relu_alpha_start": ALPHAS[0], "relu_alpha_end": ALPHAS[1], "box_weight": BOX})
