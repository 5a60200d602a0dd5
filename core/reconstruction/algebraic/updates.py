"""The updates that an observation holds, by the number of the layer."""

from core.threat.layer_update import LayerUpdate
from core.threat.observation import Update

TYPICAL = 0.3   # size of a centred pixel: gives scales their order of magnitude


def layer_updates(observation: Update) -> dict[int, LayerUpdate]:
    """Of all layers that changed."""
    found = {int(name.split(".")[1]): observation.layer_update(name) for name in observation.layers}
    return {level: update for level, update in found.items() if update is not None}
