"""Vision transformers made by plain transformers, fine-tuned by plain peft and saved as anyone would."""

from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import ViTConfig, ViTForImageClassification

OLD_NAMES = ((".layers.", ".encoder.layer."), (".q_proj.", ".attention.query."), (".k_proj.", ".attention.key."),
             (".v_proj.", ".attention.value."))


@dataclass(frozen=True)
class Vit:
    """Four patches of 7 x 7, 64 wide, two blocks, drawn and not trained: what follows from the equations needs none."""

    folder: Path
    x: Tensor        # [N, 1, 14, 14] in [0, 1]
    labels: Tensor   # [N]

    def tune(self, out: Path, *, images: int = 1, rank: int = 40, targets: tuple[str, ...] = ("q_proj", "v_proj"),
             steps: int = 1, learning_rate: float = 0.05, optimiser: type = torch.optim.SGD,
             dtype: torch.dtype = torch.float32, mean: float = 0.0, std: float = 1.0, alpha: float | None = None,
             **options: float) -> Path:
        torch.manual_seed(1)
        model = ViTForImageClassification.from_pretrained(self.folder)
        model = get_peft_model(model, LoraConfig(
            r=rank, lora_alpha=2 * rank if alpha is None else alpha, target_modules=list(targets)))
        optimiser = optimiser([p for p in model.parameters() if p.requires_grad], learning_rate, **options)
        for _ in range(steps):
            optimiser.zero_grad()
            cross_entropy(model((self.x[:images] - mean) / std).logits, self.labels[:images]).backward()
            optimiser.step()
        model.to(dtype).save_pretrained(out)
        return out


def make_vit(folder: Path, x: Tensor, labels: Tensor) -> Vit:
    torch.manual_seed(0)
    model = ViTForImageClassification(ViTConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, image_size=14, patch_size=7,
        num_channels=1, num_labels=10))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layernorm_before" in name or "position" in name or "cls_token" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif "projection" in name or "_proj" in name:
                parameter.mul_(5)
    model.save_pretrained(folder)
    return Vit(folder, x, labels)
