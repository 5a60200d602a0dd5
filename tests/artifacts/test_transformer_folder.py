"""Folders of transformers as base checkpoints: read, or refused in one sentence."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.artifacts.checkpoint import load_checkpoint
from core.io.errors import InputError
from core.models.vision_transformer import canonical
from tests.helpers.vit_victims import make_vit


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return make_vit(tmp_path_factory.mktemp("vit") / "base", torch.rand(1, 1, 14, 14), torch.tensor([1])).folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "base")


def refusal(folder):
    with pytest.raises(InputError) as caught:
        load_checkpoint(folder)
    sentence = str(caught.value)
    assert sentence.startswith("checkpoint: ")
    assert "\n" not in sentence
    return sentence


def test_a_folder_is_a_base(folder):
    checkpoint = load_checkpoint(folder)
    network = checkpoint.network
    assert network.image_shape == (1, 14, 14)
    assert network.outputs == 10
    assert network(torch.rand(2, 1, 14, 14)).shape == (2, 10)
    assert checkpoint.inputs_said == ""
    assert len(checkpoint.fingerprint) == 64


def configured(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder


@pytest.mark.parametrize(("values", "words"), [
    ({"model_type": "bert"}, "'bert'"), ({"hidden_size": 10**9}, "from 1 to 8192"), ({"num_channels": "1"}, "whole"),
    ({"num_hidden_layers": 200, "hidden_size": 4096}, "more than model.safetensors can hold"),
    ({"hidden_size": 60, "num_attention_heads": 7}, "cannot be read|no vision transformer"),
    ({"num_hidden_layers": 3}, "lacks")])
def test_a_config_that_does_not_fit(folder, values, words):
    sentence = refusal(configured(folder, **values))
    assert any(word in sentence for word in words.split("|")), sentence


def test_files_that_are_missing_or_damaged(folder):
    (folder / "config.json").write_text("[" * 10_000)
    assert "config.json" in refusal(folder)
    (folder / "config.json").write_text("[]")
    assert "not an object" in refusal(folder)
    (folder / "config.json").unlink()
    assert "no config.json" in refusal(folder)


def test_weights_that_are_missing_or_damaged(folder):
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if "q" in name and name.endswith("weight"))
    save_file({**tensors, name: torch.full_like(tensors[name], float("nan"))}, weights, {"format": "pt"})
    assert "NaN" in refusal(folder)
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "can be read" in refusal(folder)
    weights.unlink()
    assert "no model.safetensors" in refusal(folder)


def test_names_of_earlier_versions():
    assert canonical("vit.encoder.layer.3.attention.attention.query") == "vit.layers.3.attention.q_proj"
    assert canonical("vit.encoder.layer.0.attention.output.dense") == "vit.layers.0.attention.o_proj"
    assert canonical("vit.encoder.layer.1.intermediate.dense") == "vit.layers.1.mlp.fc1"
    assert canonical("vit.encoder.layer.1.output.dense") == "vit.layers.1.mlp.fc2"
    assert canonical("vit.layers.1.mlp.fc2") == "vit.layers.1.mlp.fc2"
