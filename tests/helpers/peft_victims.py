"""Victims made by plain peft, outside the project's code: one step of SGD on small digits, saved as anyone would."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from core.artifacts.checkpoint import Checkpoint
from core.data.problems import Problem
from core.models.mlp import MLP, tangent_features
from tests.helpers.cases import random_network, small_digits


@dataclass(frozen=True)
class PeftVictim:
    """A base, its private samples, and what they leave behind."""

    network: MLP    # float32
    x: Tensor       # [N, 1, 14, 14]
    labels: Tensor  # [N]

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.network)

    def patterns(self, level: int) -> Tensor:
        """[N, n] bool."""
        return tangent_features(self.network, self.x).preactivations[level] > 0

    def save(self, folder: Path, *, steps: int = 1, learning_rate: float = 0.01, preprocess: Any = None,
             prepare: Any = None, wrap: Any = None, converted: bool = False, **options: Any) -> nn.Module:
        """Fine-tune with `LoraConfig(**options)` and ``save_pretrained``.

        `wrap(network)` puts the base into another module, `preprocess(base, config)` runs before peft takes it, and
        `prepare(model)` may change the start. `converted`: saved as peft turns what began elsewhere into plain LoRA.
        """
        torch.manual_seed(3)
        base = copy.deepcopy(self.network)
        base = base if wrap is None else wrap(base)
        config = LoraConfig(**{"r": 8, "lora_alpha": 16, "target_modules": ["layers.0", "layers.1"], **options})
        if preprocess is not None:
            preprocess(base, config)
        model = get_peft_model(base, config)
        if prepare is not None:
            prepare(model)
        began = None
        if converted:  # as peft's examples do it: the beginning is saved as a plain adapter, and subtracted at the end
            began = str(folder / "began")
            model.peft_config["default"].init_lora_weights = True
            model.save_pretrained(began)
        optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], learning_rate)
        for _ in range(steps):
            optimiser.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(model(self.x), self.labels.float()).backward()
            optimiser.step()
        model.save_pretrained(str(folder), path_initial_model_for_weight_conversion=began)
        return model

    def tuned(self, *, learning_rate: float = 0.01, seed: int = 3, **options: Any) -> MLP:
        """The base with such an adapter merged into it; its A drawn from `seed`."""
        torch.manual_seed(seed)
        model = get_peft_model(copy.deepcopy(self.network), LoraConfig(**{
            "r": 8, "lora_alpha": 16, "target_modules": ["layers.0", "layers.1"], **options}))
        optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], learning_rate)
        nn.functional.binary_cross_entropy_with_logits(model(self.x), self.labels.float()).backward()
        optimiser.step()
        return model.merge_and_unload().requires_grad_(False)


def peft_victim(problem: Problem, samples: int, *, width: int = 96) -> PeftVictim:
    x, labels = small_digits(problem, samples)
    return PeftVictim(random_network(width).float(), x.float(), labels)
