import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.artifacts.checkpoint import load_checkpoint
from core.artifacts.input_statistics import given_statistics
from core.io.errors import InputError
from core.models.mlp import MLP

PICTURE = torch.linspace(0.0, 0.6, 784)


def weights(inputs: int = 784) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"layers.0.weight": torch.randn(6, inputs, generator=generator), "layers.0.bias": torch.zeros(6),
            "layers.1.weight": torch.randn(1, 6, generator=generator)}


def read(path: Path, content: dict) -> MLP:
    torch.save(content, path)
    return load_checkpoint(path).network


@pytest.mark.parametrize("name", ["input_mean", "mean", "data_mean", "train_mean", "pixel_mean", "image_mean", "mu"])
@pytest.mark.parametrize("value", [PICTURE, PICTURE.view(1, 28, 28), PICTURE.view(28, 28) * 255,
                                   (PICTURE * 255).round().to(torch.uint8)])
@pytest.mark.parametrize("beside", [True, False])
def test_a_mean_by_any_name_beside_or_inside(tmp_path, name, value, beside):
    content = {"state_dict": weights(), name: value, "epoch": 3} if beside else {**weights(), name: value}
    network = read(tmp_path / "base.pth", content)
    assert network.input_mean.shape == (1, 28, 28)
    torch.testing.assert_close(network.input_mean.flatten(), PICTURE, atol=2e-3, rtol=0)
    assert network.input_std is None


@pytest.mark.parametrize("content", [
    {"normalize.mean": torch.tensor(0.1307), "normalize.std": torch.tensor(0.3081)},
    {"normalizer": {"mean": [0.1307], "std": [0.3081]}},
    {"mean": 0.1307, "std": 0.3081},
    {"image_mean": [33.3285], "image_std": [78.5655]},
])
def test_one_mean_and_deviation(tmp_path, content):
    network = read(tmp_path / "base.pth", {"state_dict": weights(), **content})
    x = torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(network.centre(x), ((x - 0.1307) / 0.3081).flatten(1), atol=1e-5, rtol=1e-5)


def test_one_a_channel_tells_that_the_picture_has_colours(tmp_path):
    network = read(tmp_path / "base.pth", {"state_dict": weights(3 * 64), "mean": [0.4, 0.5, 0.6],
                                           "std": [0.2, 0.2, 0.3]})
    assert network.image_shape == (3, 8, 8)
    assert network.input_mean[2].eq(0.6).all()
    assert network.input_std[2].eq(0.3).all()


def test_a_deviation_of_zero_divides_by_nothing(tmp_path):
    network = read(tmp_path / "base.pth", {**weights(), "std": PICTURE})
    assert float(network.input_std.flatten()[0]) == 1.0
    assert torch.equal(network.input_std.flatten()[1:], PICTURE[1:])


@pytest.mark.parametrize(("config", "mean", "std"), [
    ({"image_mean": [0.5], "image_std": [0.25]}, 0.5, 0.25),
    ({"image_mean": [127.5], "image_std": [63.75], "do_rescale": False}, 0.5, 0.25),
    ({"do_normalize": False}, 0.0, 1.0),
    ({"do_normalize": False, "do_rescale": False}, 0.0, 1 / 255),
    ({"image_mean": [0.0], "image_std": [1.0], "rescale_factor": 1 / 127.5}, 0.0, 0.5),
])
def test_a_preprocessor_config_beside_the_file(tmp_path, config, mean, std):
    save_file(weights(), tmp_path / "model.safetensors")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**config, "size": {"height": 28, "width": 28}}))
    checkpoint = load_checkpoint(tmp_path / "model.safetensors")
    x = torch.rand(1, 1, 28, 28)
    torch.testing.assert_close(checkpoint.network.centre(x), ((x - mean) / std).flatten(1), rtol=1e-5, atol=1e-5)
    assert "preprocessor_config.json" in checkpoint.inputs_said


def test_metadata_of_safetensors(tmp_path):
    save_file(weights(), tmp_path / "model.safetensors", {"mean": "0.25", "facts": '{"mean": 9}'})
    checkpoint = load_checkpoint(tmp_path / "model.safetensors")
    assert checkpoint.network.input_mean.eq(0.25).all()
    assert checkpoint.inputs_said == "mean in the metadata of model.safetensors"


def test_what_is_no_statistic_of_the_inputs_is_left_alone(tmp_path):
    others = {"mean_loss": 0.3, "train_loss_mean": torch.tensor(0.2), "epoch": 7, "optimizer": {"lr_mean": "x"}}
    torch.save({"state_dict": weights(), **others}, tmp_path / "base.pth")
    checkpoint = load_checkpoint(tmp_path / "base.pth")
    assert not checkpoint.network.input_mean.any()
    assert checkpoint.inputs_said == ""


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.network."])
def test_prefixes_of_wrappers(tmp_path, prefix):
    network = read(tmp_path / "base.pth", {"state_dict": {prefix + key: value for key, value in weights().items()}})
    assert torch.equal(network.layers[0].weight, weights()["layers.0.weight"])


def test_given_by_a_person(tmp_path):
    def given(**texts: str) -> MLP:
        network = MLP([784, 4, 1]).requires_grad_(False)
        given_statistics(network, **{"mean": "", "std": "", **texts})
        return network

    assert given(mean="0.1307", std="0.3081").input_std.eq(0.3081).all()
    assert given(mean="33.3285", std="78.5655").input_mean.allclose(torch.tensor(0.1307))
    torch.save(PICTURE, tmp_path / "mean.pt")
    assert torch.equal(given(mean=str(tmp_path / "mean.pt")).input_mean.flatten(), PICTURE)
    with pytest.raises(InputError, match=r"^input_mean: 'nowhere.pt' is neither a number"):
        given(mean="nowhere.pt")
    with pytest.raises(InputError, match=r"^input_mean: what is given has shape \[2\], but the images are"):
        given(mean="0.1,0.2")
    with pytest.raises(InputError, match=r"^input_std: what is given holds a number that is negative"):
        given(std="-1")
