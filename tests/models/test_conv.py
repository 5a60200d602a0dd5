"""The convolutional network: a fully connected one in disguise, homogeneous, whole through a file."""

import json

import pytest
import torch
from safetensors.torch import save_file

from core.artifacts.checkpoint import load_checkpoint, save_checkpoint
from core.io.errors import InputError
from core.models.conv import ConvNet
from core.models.homogeneous import homogeneous
from core.models.mlp import MLP, init_small_first_layer

SHAPE = {"channels": [3, 2], "kernels": [3, 3], "strides": [1, 2], "paddings": [1, 0], "hidden": [5]}


def small(**changes) -> ConvNet:
    network = ConvNet(**{**SHAPE, "image_shape": (1, 8, 8), **changes}).requires_grad_(False)
    init_small_first_layer(network, scale=0.3, generator=torch.Generator().manual_seed(0))
    network.input_mean.fill_(0.25)
    return network


def tensors_of(network: ConvNet) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_a_filter_as_large_as_the_image_is_a_fully_connected_layer():
    mlp = MLP([64, 6, 5, 1], image_shape=(1, 8, 8)).double()
    conv = ConvNet(channels=[6], kernels=[8], strides=[1], paddings=[0], hidden=[5], image_shape=(1, 8, 8)).double()
    conv.load_state_dict({name: tensor.view(conv.state_dict()[name].shape) for name, tensor in
                          mlp.state_dict().items()})
    x = torch.rand(4, 1, 8, 8, dtype=torch.float64)
    assert torch.allclose(conv(x), mlp(x), rtol=1e-12)


def test_only_the_first_layer_has_a_bias_and_the_network_is_homogeneous():
    network = small()
    assert [layer.bias is not None for layer in network.layers] == [True, False, False, False]
    assert homogeneous(network)
    assert not homogeneous(small(biases=[True, True, False, False]).requires_grad_(False))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip(tmp_path, dtype):
    network = small().to(dtype)
    save_checkpoint(tmp_path / "conv.safetensors", network, {"indices": [3]})
    loaded = load_checkpoint(tmp_path / "conv.safetensors")
    assert loaded.facts == {"indices": [3]}
    assert isinstance(loaded.network, ConvNet)
    x = torch.rand(3, 1, 8, 8, dtype=dtype)
    assert torch.equal(loaded.network(x), network(x))
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())


def test_a_foreign_file_must_say_strides_and_paddings(tmp_path):
    torch.save(tensors_of(small()), tmp_path / "foreign.pth")
    with pytest.raises(InputError, match=r"^checkpoint: .* do not tell their strides and paddings; save it as") as one:
        load_checkpoint(tmp_path / "foreign.pth")
    assert "\n" not in str(one.value)
    said = {"convolutions": json.dumps({"strides": [1, 2], "paddings": [1, 0]})}
    save_file(tensors_of(small()), tmp_path / "said.safetensors", metadata=said)
    loaded = load_checkpoint(tmp_path / "said.safetensors").network
    assert torch.equal(loaded.layers[0].weight, small().layers[0].weight)


@pytest.mark.parametrize("said", ["{", "[]", '{"strides": [1, 2]}', '{"strides": [1], "paddings": [0]}',
                                  '{"strides": [0, 2], "paddings": [1, 0]}', '{"strides": "12", "paddings": [1, 0]}',
                                  '{"strides": [1.5, 2], "paddings": [1, 0]}'])
def test_damaged_metadata(tmp_path, said):
    save_file(tensors_of(small()), tmp_path / "bad.safetensors", metadata={"convolutions": said})
    with pytest.raises(InputError, match="do not tell their strides and paddings"):
        load_checkpoint(tmp_path / "bad.safetensors")


@pytest.mark.parametrize(("changes", "strides", "reason"), [
    ({"layers.2.weight": torch.zeros(5, 17)}, [1, 2], "layers.2.weight takes 17 inputs, but with strides"),
    ({}, [2, 2], "the convolutions give 2"),
    ({}, [8, 2], "layers.1.weight has kernels of 3, larger than what reaches it"),
    ({"layers.1.weight": torch.zeros(2, 4, 3, 3)}, [1, 2], "layers.1.weight takes 4 inputs"),
    ({"layers.0.weight": torch.zeros(3, 2, 3, 3)}, [1, 2], "takes 2 channels"),
    ({"layers.0.weight": torch.zeros(3, 1, 3, 2)}, [1, 2], "not square"),
    ({"layers.0.bias": torch.zeros(4)}, [1, 2], r"layers.0.bias has shape \[4\]"),
    ({"layers.3.weight": torch.zeros(10, 5)}, [1, 2], "ends in 10 outputs"),
    ({"layers.1.weight": torch.full((2, 3, 3, 3), torch.nan)}, [1, 2], "holds NaN or infinite"),
    ({"input_mean": None}, [1, 2], "needs a tensor input_mean"),
    ({"layers.3.weight": torch.zeros(1, 5, 1, 1)}, [1, 2], "not a matrix where one is needed"),
    ({"norms.0.running_var": torch.ones(3)}, [1, 2], "norms.0.running_var of a batch norm"),
])
def test_what_does_not_fit_is_one_sentence(tmp_path, changes, strides, reason):
    tensors = {name: tensor for name, tensor in {**tensors_of(small()), **changes}.items() if tensor is not None}
    said = {"convolutions": json.dumps({"strides": strides, "paddings": [1, 0]})}
    save_file(tensors, tmp_path / "odd.safetensors", metadata=said)
    with pytest.raises(InputError, match=rf"^checkpoint: .*{reason}"):
        load_checkpoint(tmp_path / "odd.safetensors")
