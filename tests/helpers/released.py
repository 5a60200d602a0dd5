"""Files as an outsider would publish them, written without peft, whose import takes seconds."""

import json
from pathlib import Path

from safetensors.torch import save_file

from core.artifacts.factors import Factors


def write_adapter(folder: Path, layers: dict[str, Factors]) -> Path:
    """A peft adapter folder with these factors, all of one rank and scaling."""
    folder.mkdir(parents=True)
    rank, scaling = next((len(factors.A), factors.scaling) for factors in layers.values())
    (folder / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "r": rank, "lora_alpha": scaling * rank, "target_modules": sorted(layers),
        "init_lora_weights": True}))
    save_file({f"base_model.model.{name}.lora_{letter}.weight": tensor.float().contiguous()
               for name, factors in layers.items() for letter, tensor in (("A", factors.A), ("B", factors.B))},
              folder / "adapter_model.safetensors")
    return folder
