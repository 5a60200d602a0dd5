"""Checkpoints: ours come back whole, foreign ones are read, damaged and hostile ones are refused in one sentence."""

import json
import os
import pickle
import random

import pytest
import torch
from safetensors.torch import save_file

from core.artifacts.checkpoint import load_checkpoint, save_checkpoint
from core.io.errors import InputError
from core.models.mlp import MLP


def public_layout(hidden: int = 6, inputs: int = 784) -> dict[str, torch.Tensor]:
    """The tensors of the public Haim et al. code."""
    generator = torch.Generator().manual_seed(0)
    return {"layers.0.weight": torch.randn(hidden, inputs, generator=generator),
            "layers.0.bias": torch.randn(hidden, generator=generator),
            "layers.1.weight": torch.randn(hidden, hidden, generator=generator),
            "layers.2.weight": torch.randn(1, hidden, generator=generator)}


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert message.startswith("checkpoint: ")
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip(tmp_path, dtype):
    network = MLP([784, 6, 5, 1]).to(dtype)
    network.input_mean.uniform_(0, 1)
    facts = {"problem": "mnist-odd-even", "indices": [1, 2], "config": {"seed": 3}}
    save_checkpoint(tmp_path / "base.safetensors", network, facts)
    loaded = load_checkpoint(tmp_path / "base.safetensors")
    assert loaded.facts == facts
    state = loaded.network.state_dict()
    assert state.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(state[name], tensor)
        assert state[name].dtype == dtype
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())


def test_fingerprint_follows_the_weights(tmp_path):
    network = MLP([784, 6, 5, 1]).requires_grad_(False)
    prints = []
    for facts in ({}, {"note": "the same weights"}):
        save_checkpoint(tmp_path / "base.safetensors", network, facts)
        prints.append(load_checkpoint(tmp_path / "base.safetensors").fingerprint)
    network.layers[1].weight[0, 0] += 1e-3
    save_checkpoint(tmp_path / "base.safetensors", network, {})
    prints.append(load_checkpoint(tmp_path / "base.safetensors").fingerprint)
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state},
                                  lambda state: {"state_dict": state, "epoch": 7, "loss": 1e-9}])
def test_public_pth_layout(tmp_path, wrap):
    state = public_layout()
    torch.save(wrap(state), tmp_path / "haim.pth")
    checkpoint = load_checkpoint(tmp_path / "haim.pth")
    assert checkpoint.facts == {}
    assert checkpoint.network.widths == [784, 6, 6, 1]
    for name, tensor in state.items():
        assert torch.equal(checkpoint.network.state_dict()[name], tensor)
    assert torch.equal(checkpoint.network.input_mean, torch.zeros(1, 28, 28))  # not given: zero


def test_public_layout_in_safetensors_with_a_mean(tmp_path):
    mean = torch.rand(1, 28, 28)
    save_file({**public_layout(), "input_mean": mean}, tmp_path / "haim.safetensors")
    assert torch.equal(load_checkpoint(tmp_path / "haim.safetensors").network.input_mean, mean)


def test_a_flat_mean_and_a_colour_picture(tmp_path):
    mean = torch.rand(3072)
    save_file({**public_layout(inputs=3072), "input_mean": mean}, tmp_path / "cifar.safetensors")
    network = load_checkpoint(tmp_path / "cifar.safetensors").network
    assert network.image_shape == (3, 32, 32)
    assert torch.equal(network.input_mean.flatten(), mean)


def test_half_precision_is_read_as_float32(tmp_path):
    save_file({name: tensor.bfloat16() for name, tensor in public_layout().items()}, tmp_path / "half.safetensors")
    network = load_checkpoint(tmp_path / "half.safetensors").network
    assert network.layers[0].weight.dtype == torch.float32
    assert torch.equal(network.layers[0].weight, public_layout()["layers.0.weight"].bfloat16().float())


class Hostile:
    """Runs a command when unpickled by a careless reader."""

    def __init__(self, marker) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def bare_pickle(content, path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("write", [torch.save, bare_pickle])
@pytest.mark.parametrize("suffix", ["pth", "pt"])
def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path, write, suffix):
    path, marker = tmp_path / f"evil.{suffix}", tmp_path / "code-ran"
    write({"state_dict": public_layout(), "extra": Hostile(marker)}, path)
    refusal(path)
    assert not marker.exists()


def test_a_pickle_named_safetensors_is_refused_and_does_not_run(tmp_path):
    path, marker = tmp_path / "evil.safetensors", tmp_path / "code-ran"
    torch.save(Hostile(marker), path)
    refusal(path)
    assert not marker.exists()


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files(tmp_path, suffix, share):
    path = tmp_path / f"base.{suffix}"
    if suffix == "pth":
        torch.save(public_layout(), path)
    else:
        save_file(public_layout(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    refusal(path)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_noise_is_not_a_checkpoint(tmp_path, suffix):
    path = tmp_path / f"noise.{suffix}"
    path.write_bytes(bytes(range(256)) * 40)
    refusal(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("legacy", [False, True])
def test_flipped_bytes_are_read_or_refused(tmp_path, legacy):
    """Whatever a damaged pickle raises inside torch comes out as one sentence."""
    path, generator = tmp_path / "flipped.pth", random.Random(0)
    torch.save(public_layout(hidden=4, inputs=16), path, _use_new_zipfile_serialization=not legacy)
    whole, refused = path.read_bytes(), 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[generator.randrange(len(whole) // 2)] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            load_checkpoint(path)
        except InputError:
            refused += 1
    assert refused > 20


def test_missing_file_and_folder(tmp_path):
    assert "no file" in refusal(tmp_path / "nowhere.safetensors")
    assert "config.json" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["layers.1.weight", "layers.0.bias", "input_mean"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(tmp_path, name, value):
    tensors = {**public_layout(), "input_mean": torch.zeros(1, 28, 28)}
    tensors[name].view(-1)[3] = value
    save_file(tensors, tmp_path / "broken.safetensors")
    assert f"{name} in" in refusal(tmp_path / "broken.safetensors")


@pytest.mark.parametrize(("changes", "reason"), [
    ({"layers.1.weight": torch.zeros(6, 7)}, "layers.1.weight takes 7 inputs"),
    ({"layers.0.bias": torch.zeros(5)}, "layers.0.bias has shape [5]"),
    ({"layers.1.weight": torch.zeros(6, 6, 3, 3)}, "not a matrix"),
    ({"layers.0.weight": torch.zeros(6, 3, 3)}, "not a matrix"),
    ({"layers.0.weight": torch.zeros(6, 3, 3, 3)}, "needs a tensor input_mean"),
    ({"norm.running_mean": torch.zeros(6)}, "norm.running_mean of a batch norm"),
    ({"layers.1.weight": None}, "needs tensors layers.0.weight"),
    ({"layers.1.weight": None, "layers.2.weight": None}, "needs tensors layers.0.weight"),
    ({"input_mean": torch.zeros(1, 27, 27)}, "input_mean has shape [1, 27, 27]"),
    ({"input_mean": torch.zeros(100)}, "input_mean has shape [100]"),
])
def test_wrong_shapes(tmp_path, changes, reason):
    tensors = {name: tensor for name, tensor in {**public_layout(), **changes}.items() if tensor is not None}
    save_file(tensors, tmp_path / "odd.safetensors")
    assert reason in refusal(tmp_path / "odd.safetensors")


def test_other_content(tmp_path):
    torch.save([1, 2, 3], tmp_path / "list.pth")
    assert "holds a list" in refusal(tmp_path / "list.pth")
    torch.save({"layers.0.weight": "text"}, tmp_path / "text.pth")
    assert "needs tensors" in refusal(tmp_path / "text.pth")
    save_file({"encoder.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    assert "found encoder.weight" in refusal(tmp_path / "other.safetensors")


@pytest.mark.parametrize(("facts", "expected"), [("[1, 2]", {}), (json.dumps({"a": 1}), {"a": 1})])
def test_foreign_metadata(tmp_path, facts, expected):
    save_file(public_layout(), tmp_path / "meta.safetensors", metadata={"facts": facts})
    assert load_checkpoint(tmp_path / "meta.safetensors").facts == expected


def test_damaged_metadata(tmp_path):
    save_file(public_layout(), tmp_path / "meta.safetensors", metadata={"facts": "{not json"})
    refusal(tmp_path / "meta.safetensors")


def test_several_outputs_come_back(tmp_path):
    network = MLP([784, 6, 6, 10])
    save_checkpoint(tmp_path / "ten.safetensors", network, {"problem": "digits"})
    loaded = load_checkpoint(tmp_path / "ten.safetensors").network
    x = torch.rand(3, 1, 28, 28)
    assert loaded.outputs == 10
    assert loaded(x).shape == (3, 10)
    assert torch.equal(loaded(x), network(x))
