"""One point of an experiment's grid."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Point:
    """One point of the grid: what varies, and the two configs (values for `parse_config`) that realise it.

    `attack` lacks its victim, which has no id before the fine-tuning exists. `finetuning` counts the distinct
    fine-tunings from 1. An attack on a base alone has no fine-tuning: `pretrain` makes its base, {} where that is
    given, and `finetuning` counts the bases. `pretraining` counts the bases that the experiment makes.
    """

    varied: dict[str, Any]
    finetuning: int
    finetune: dict[str, Any]
    attack: dict[str, Any]
    pretrain: dict[str, Any] = field(default_factory=dict)
    pretraining: int = 0
