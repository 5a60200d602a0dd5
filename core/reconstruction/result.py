"""What every attack gives back, whatever its method: images, how they were found, and how far to trust them."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from core.reconstruction.solvers.protocol import Status


@dataclass(frozen=True)
class AttackResult:
    """An attack's own answer, chosen without the truth. `core.tasks.attack` writes its files and scores it."""

    reason: str                   # one sentence: why this method
    status: Status                # its value is the sentence for people
    x: Tensor                     # [N, C, H, W] in [0, 1]
    labels: Tensor                # [N] in {0, 1}
    coefficients: Tensor          # [N], signed: what multiplies each sample's feature; [0] where nothing tells
    samples_found_by: str
    labels_found_by: str
    confidence: list[float]       # [N] in [0, 1]
    residuals: dict[str, float]   # "residual" is the headline
    limits: list[str]             # what limits it, in sentences
    facts: dict[str, Any] = field(default_factory=dict)        # of the method alone, JSON, into report.json
    tensors: dict[str, Tensor] = field(default_factory=dict)   # into result.safetensors
    pictures: dict[str, bytes] = field(default_factory=dict)   # file name to PNG
    method: str = ""                                           # its name, set by `Method.attack`
