"""The patch attack: each patch of a vision transformer's input from its own linear equations."""

from typing import TYPE_CHECKING, Any

from core.reconstruction.method import TRANSFORMER_ADAPTER, Answer, Method
from core.reconstruction.patches.knobs import PatchKnobs

if TYPE_CHECKING:
    from core.config.monitor import Monitor
    from core.reconstruction.result import AttackResult
    from core.threat.observation import TransformerAdapter


def run(observation: "TransformerAdapter", config: PatchKnobs, monitor: "Monitor", *, began: float,
        prepared: Any = None) -> "AttackResult":
    """`core.reconstruction.patches.attack`."""
    from core.reconstruction.patches.attack import attack

    return attack(observation, config, monitor, began=began)


METHOD = Method(
    name="patches", title="Patches", note="Images of a vision transformer, patch by patch, from its adapter's "
    "equations.", accepts=frozenset({TRANSFORMER_ADAPTER}),
    needs="takes the adapter of a vision transformer; name a folder of transformers (checkpoint) and its adapter.",
    knobs=PatchKnobs, run=run, suits=lambda observation: Answer(
        True, "The adapter of a transformer's first block annihilates what it was given, which is linear in the pixels "
        "of each patch."),
    order=3, searches=False, explains_weights=False, empty={"tv_weight": 0.1, "sparsity_weight": 1.0})
