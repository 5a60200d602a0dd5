import copy
import json
import pickle
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from core.artifacts.checkpoint import Checkpoint
from core.artifacts.lora_folder import load_adapter, save_adapter, stored_dtype
from core.config.finetune import FinetuneConfig
from core.io.errors import InputError
from core.models.mlp import MLP
from core.training.adaptation import adapter_factors
from core.training.finetune import finetune


def small_base(seed: int = 0) -> Checkpoint:
    network = MLP([36, 20, 16, 1], image_shape=(1, 6, 6)).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.normal_(0, 0.3, generator=generator)
    return Checkpoint(network)


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return small_base()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def tuned(base: Checkpoint, images: torch.Tensor, precision: str = "float64") -> PeftModel:
    config = FinetuneConfig(base="in memory", device="cpu", precision=precision, rank=3, alpha=6.0, learning_rate=0.1,
                            steps=2)
    return finetune(base.network, images, torch.tensor([1, 0, 1, 0]), config).model


@pytest.fixture
def ours(base, images, tmp_path) -> Path:
    """A whole adapter folder of ours, to be damaged."""
    save_adapter(tmp_path / "adapter", tuned(base, images), dtype="float32", base_fingerprint=base.fingerprint)
    return tmp_path / "adapter"


def foreign(base: Checkpoint, folder: Path, *, safe: bool = True, **options: Any) -> PeftModel:
    """An adapter by plain peft, its B filled with numbers as if trained."""
    model = get_peft_model(copy.deepcopy(base.network), LoraConfig(**options))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                parameter.normal_(0, 0.1, generator=generator)
    model.save_pretrained(str(folder), safe_serialization=safe)
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_written_and_read_again(base, images, tmp_path, dtype):
    model = tuned(base, images)
    save_adapter(tmp_path / "adapter", model, dtype=dtype, base_fingerprint=base.fingerprint)
    on_disk = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert {str(tensor.dtype) for tensor in on_disk.values()} == {f"torch.{dtype}"}
    read = load_adapter(tmp_path / "adapter", base)
    assert stored_dtype(read) == getattr(torch, dtype)
    live = adapter_factors(model)
    assert list(read) == list(live) == ["layers.0", "layers.1"]
    for name, factors in read.items():
        assert torch.equal(factors.A, live[name].A.to(getattr(torch, dtype)))
        assert torch.equal(factors.B, live[name].B.to(getattr(torch, dtype)))
        assert factors.scaling == live[name].scaling == 2.0


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-6), ("bfloat16", 1e-2)])
def test_plain_peft_loads_what_we_write(base, images, tmp_path, dtype, tolerance):
    model = tuned(base, images)
    save_adapter(tmp_path / "adapter", model, dtype=dtype, base_fingerprint=base.fingerprint)
    again = PeftModel.from_pretrained(copy.deepcopy(base.network).double(), str(tmp_path / "adapter"))
    x = images.double()
    torch.testing.assert_close(again(x), model(x), rtol=tolerance, atol=tolerance)


def test_saving_never_asks_the_network(base, images, tmp_path, monkeypatch):
    """Also not for a base whose config names a model on the hub, which makes peft look it up."""
    tried: list[Any] = []

    def refuse(*args: Any, **_options: Any) -> None:
        tried.append(args)  # peft swallows what is raised here
        raise OSError("no network")

    model = tuned(base, images)
    model.peft_config["default"].base_model_name_or_path = "some-organisation/some-model"
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    save_adapter(tmp_path / "adapter", model, dtype="float32", base_fingerprint=base.fingerprint)
    assert tried == []
    assert load_adapter(tmp_path / "adapter", base)


def test_saving_replaces_an_older_folder_whole(base, images, ours):
    (ours / "left over.txt").write_text("from an attempt that was killed")
    save_adapter(ours, tuned(base, images), dtype="float64", base_fingerprint=base.fingerprint)
    assert stored_dtype(load_adapter(ours, base)) == torch.float64
    assert not (ours / "left over.txt").exists()
    assert [item.name for item in ours.parent.iterdir()] == ["adapter"]


@pytest.mark.parametrize("options", [
    {"r": 4, "lora_alpha": 8, "target_modules": ["layers.0", "layers.1", "layers.2"]},
    {"r": 4, "lora_alpha": 8, "target_modules": r"layers\.[01]"},
    {"r": 40, "lora_alpha": 1, "target_modules": ["0"]},
    {"r": 4, "lora_alpha": 8, "target_modules": ["layers.0", "layers.1"], "use_rslora": True},
    {"r": 4, "lora_alpha": 8, "target_modules": ["layers.0", "layers.1"], "rank_pattern": {"layers.1": 2},
     "alpha_pattern": {"0": 5}},
    {"r": 4, "lora_alpha": 8, "target_modules": ["0", "1", "2"], "exclude_modules": ["layers.1"]},
    {"r": 2, "lora_alpha": 2, "target_modules": ["layers.0"], "lora_dropout": 0.3, "init_lora_weights": "gaussian"},
    {"r": 2, "lora_alpha": 2, "target_modules": "all-linear", "bias": "lora_only"},
    {"r": 2, "lora_alpha": 2, "target_modules": ["layers.0"], "lora_bias": True},
    {"r": 2, "lora_alpha": 2, "target_modules": ["layers.0"], "modules_to_save": ["layers.2"]},
    {"r": 2, "lora_alpha": 2, "target_modules": ["layers.0"], "fan_in_fan_out": True},
    {"r": 2, "lora_alpha": 2, "target_modules": ["layers.0"], "init_lora_weights": "eva"},
])
@pytest.mark.parametrize("safe", [True, False])
def test_anyones_adapter_gives_the_update_that_peft_merges(base, tmp_path, options, safe):
    model = foreign(base, tmp_path, safe=safe, **options)
    merged = model.merge_and_unload()
    read = load_adapter(tmp_path, base)
    for index, layer in enumerate(merged.layers):
        change = layer.weight - base.network.layers[index].weight
        if f"layers.{index}" in read:
            factors = read[f"layers.{index}"]
            assert change.abs().max() > 1e-3
            torch.testing.assert_close(factors.scaling * factors.B @ factors.A, change, rtol=1e-4, atol=1e-6)
        else:
            assert not change.any()


@pytest.mark.parametrize("rename", [
    lambda key: key.replace(".weight", ".default.weight"),
    lambda key: key.removeprefix("base_model.model."),
    lambda key: key.replace("base_model.model.", "base_model.model.network."),
])
def test_other_spellings_of_the_keys(base, ours, rename):
    expected = load_adapter(ours, base)
    path = ours / "adapter_model.safetensors"
    save_file({rename(key): tensor for key, tensor in load_file(path).items()}, path)
    for name, factors in load_adapter(ours, base).items():
        assert torch.equal(factors.B, expected[name].B)


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_tensors(folder: Path, change) -> None:
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


A0, B0, B1 = (f"base_model.model.layers.{name}.weight" for name in ("0.lora_A", "0.lora_B", "1.lora_B"))


@pytest.mark.parametrize(("changes", "says"), [
    ({"peft_type": "IA3"}, "is of peft type IA3; only LORA"),
    ({"use_qalora": True}, "made with use_qalora"),
    ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights='pissa_niter_4', which takes A and B from a singular"),
    ({"init_lora_weights": False}, "init_lora_weights=False, which draws B at random"),
    ({"init_lora_weights": "orthogonal"}, "draws A and B at random as orthogonal factors"),
    ({"init_lora_weights": "corda"}, "data that are not released"),
    ({"init_lora_weights": "loftq"}, "the rounding of a quantised base"),
    ({"init_lora_weights": "lora_ga"}, "gradients on data that are not released"),
    ({"init_lora_weights": "something"}, "is not known here"),
    ({"init_lora_weights": "pissa"}, "its factors are far from those"),
    ({"init_lora_weights": "mica"}, "began with mica, whose B stays orthonormal"),
    ({"modules_to_save": ["layers.1"]}, "holds factors for layers.1, but target_modules .* does not name it"),
    ({"r": 0}, "the rank r in .* is 0; it must be at least 1"),
    ({"r": None}, "the rank r in .* is None"),
    ({"rank_pattern": {"layers.1": 0}}, "the rank layers.1 in .* is 0"),
    ({"lora_alpha": "big"}, "lora_alpha in .* is big"),
    ({"r": 5}, "has rank 3, but adapter_config.json says 5"),
    ({"target_modules": ["layers.0"]}, "holds factors for layers.1, but target_modules .* does not name it"),
    ({"target_modules": r"layers\.\d"}, "holds no factors for layers.2, but target_modules .* names it"),
    ({"target_modules": "layers.["}, "is no regular expression"),
])
def test_configs_that_are_refused(base, ours, changes, says):
    edit_config(ours, **changes)
    with pytest.raises(InputError, match=f"^adapter: .*{says}"):
        load_adapter(ours, base)


@pytest.mark.parametrize(("change", "says"), [
    (lambda t: t.update({A0: torch.ones(5, 36)}), r"lora_A \[5, 36\] and lora_B \[20, 3\] of layers.0 do not fit"),
    (lambda t: t.update({A0: torch.ones(3, 35)}), "updates a 20x35 weight, but this base has 20x36: .* another base"),
    (lambda t: t.update({A0: torch.ones(0, 36), B0: torch.ones(20, 0)}), "layers.0 in .* has rank 0"),
    (lambda t: t.update({A0: torch.ones(3, 36, 1, 1)}), "do not fit each other"),
    (lambda t: t.update({A0: torch.full((3, 36), torch.nan)}), "layers.0 in .* holds NaN"),
    (lambda t: t.update({A0: torch.ones(3, 36, dtype=torch.int8)}), "is stored as int8"),
    (lambda t: t.update({B0: t[B0] * 0, B1: t[B1] * 0}), "every B in .* is zero, so nothing was trained"),
    (lambda t: t.pop(A0), "only one of lora_A and lora_B for layers.0"),
    (lambda t: t.clear(), "holds no LoRA factors"),
    (lambda t: t.update({"base_model.model.layers.0.lora_E": torch.ones(20)}), "is no LoRA factor"),
    (lambda t: t.update({"base_model.model.layers.2.weight": torch.ones(1, 15)}), r"weight \[1, 15\] for layers.2"),
    (lambda t: t.update({A0.replace(".weight", ".second.weight"): t[A0].clone()}), "the adapters default and second"),
    (lambda t: t.update({A0.replace(".0.", ".7."): t.pop(A0), B0.replace(".0.", ".7."): t.pop(B0)}),
     "trains layers.7, but this base has 3 layers"),
    (lambda t: t.update({"other." + A0: t[A0].clone()}), "more than one lora_A for layers.0"),
])
def test_tensors_that_are_refused(base, ours, change, says):
    edit_tensors(ours, change)
    with pytest.raises(InputError, match=f"^adapter: .*{says}"):
        load_adapter(ours, base)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "afterimage.json"])
def test_truncated_at_any_length(base, ours, name):
    whole = (ours / name).read_bytes()
    for length in (0, 7, len(whole) // 2, len(whole) - 2):
        (ours / name).write_bytes(whole[:length])
        with pytest.raises(InputError, match=f"^adapter: .*{re.escape(name)}"):
            load_adapter(ours, base)


def test_missing_files(base, ours, tmp_path):
    with pytest.raises(InputError, match="adapter: there is no folder"):
        load_adapter(tmp_path / "nowhere", base)
    assert load_adapter(tmp_path, base)  # the one adapter in a subfolder, where peft puts those with a name
    shutil.copytree(ours, tmp_path / "second")
    with pytest.raises(InputError, match=r"it holds 2 adapters, adapter, second: name the folder of one"):
        load_adapter(tmp_path, base)
    (ours / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no adapter_model.safetensors"):
        load_adapter(ours, base)
    (ours / "adapter_config.json").unlink()
    with pytest.raises(InputError, match=r"has no adapter_config.json; save the adapter with peft's"):
        load_adapter(ours, base)


def test_another_base_of_the_same_shape(base, ours):
    with pytest.raises(InputError, match="was trained on another base"):
        load_adapter(ours, small_base(seed=1))
    (ours / "afterimage.json").unlink()  # made elsewhere: nothing but the shapes can be compared
    assert load_adapter(ours, small_base(seed=1))


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_a_pickle_with_code_is_refused_unopened(base, ours, tmp_path):
    (ours / "adapter_model.safetensors").unlink()
    (ours / "adapter_model.bin").write_bytes(pickle.dumps({A0: Payload(tmp_path / "ran")}, protocol=2))
    with pytest.raises(InputError, match=r"adapter: .*adapter_model.bin"):
        load_adapter(ours, base)
    torch.save({A0: Payload(tmp_path / "ran")}, ours / "adapter_model.bin")
    with pytest.raises(InputError, match="holds more than tensors"):
        load_adapter(ours, base)
    assert not (tmp_path / "ran").exists()


def test_a_damaged_bin(base, ours):
    torch.save(load_file(ours / "adapter_model.safetensors"), ours / "adapter_model.bin")
    (ours / "adapter_model.safetensors").unlink()
    assert load_adapter(ours, base)
    whole = (ours / "adapter_model.bin").read_bytes()
    (ours / "adapter_model.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"adapter: .*adapter_model.bin"):
        load_adapter(ours, base)
    torch.save([1, 2], ours / "adapter_model.bin")
    with pytest.raises(InputError, match="holds a list, not a state_dict"):
        load_adapter(ours, base)
