"""Facts of files made elsewhere, against networks whose facts are known."""

import pytest
import torch

from core.artifacts.checkpoint import save_checkpoint
from core.diagnostics.facts import adapter_facts, checkpoint_facts
from core.io.errors import InputError
from core.io.wording import percent
from core.models.mlp import MLP


@pytest.fixture
def base(tmp_path):
    torch.manual_seed(0)
    network = MLP([784, 30, 20, 1])
    path = tmp_path / "base.safetensors"
    save_checkpoint(path, network, {"problem": "mnist-odd-even", "indices": [1, 2, 3], "kkt_residual": 0.25,
                                    "holdout": {"accuracy": 0.9}})
    return path, network


def test_a_checkpoint_says_what_it_is(base):
    path, network = base
    facts = checkpoint_facts(path)
    assert facts["network"] == "784 – 30 – 20 – 1"
    assert facts["parameters"] == f"{sum(part.numel() for part in network.parameters()):,}"
    assert facts["trained on"] == "mnist-odd-even, 3 samples"
    assert facts["KKT residual"] == "0.25"
    assert facts["hold-out accuracy"] == "90 %"
    assert not any("MNIST" in name for name in facts), "its own accuracy is known"


@pytest.mark.parametrize(("outputs", "words"), [(1, "odd against even"), (10, "ten classes"), (3, None)])
def test_a_foreign_checkpoint_of_digits_is_tried_on_digits(tmp_path, digits, outputs, words):
    torch.manual_seed(0)
    network = MLP([784, 30, outputs])
    torch.save(network.state_dict(), tmp_path / "public.pth")
    told = {name: value for name, value in checkpoint_facts(tmp_path / "public.pth").items() if "accuracy" in name}
    if words is None:
        assert told == {}
        return
    with torch.no_grad():
        found = network(digits.images)
    right = (found.argmax(1) == digits.targets) if outputs == 10 else ((found > 0) == digits.targets % 2)
    assert told == {f"accuracy on 5,000 MNIST digits, {words}": percent(right.double().mean().item())}


def test_a_foreign_checkpoint_says_that_its_stationarity_is_not_known(tmp_path):
    torch.save(MLP([16, 8, 1], image_shape=(1, 4, 4)).state_dict(), tmp_path / "public.pth")
    facts = checkpoint_facts(tmp_path / "public.pth")
    assert facts["stationarity"] == "not known without its training set"
    assert "trained on" not in facts


def test_an_adapter_says_its_rank_size_and_number_of_samples(base, tmp_path):
    from peft import LoraConfig, get_peft_model

    path, network = base
    model = get_peft_model(network, LoraConfig(r=4, lora_alpha=8, target_modules=["layers.0", "layers.1"]))
    with torch.no_grad():
        for name, part in model.named_parameters():
            if "lora_B" in name:  # two samples: rank 2 in each layer
                part.copy_(torch.randn(part.shape[0], 2) @ torch.randn(2, part.shape[1]) * 1e-2)
    model.save_pretrained(tmp_path / "adapter")
    facts = adapter_facts(tmp_path / "adapter", path)
    assert (facts["rank"], facts["layers"], facts["released in"]) == ("4", "layers.0, layers.1", "float32")
    assert facts["samples, by its spectrum"] == "2"
    merged = [model.base_model.model.layers[index].get_delta_weight("default") for index in (0, 1)]
    moved = [float(delta.detach().norm() / model.base_model.model.layers[index].base_layer.weight.norm())
             for index, delta in enumerate(merged)]
    assert [float(text) for text in facts["update ‖ΔW‖ / ‖W‖"].split(", ")] == pytest.approx(moved, rel=0.01)


def test_what_does_not_fit_is_refused(base, tmp_path):
    path, _ = base
    with pytest.raises(InputError, match="checkpoint"):
        checkpoint_facts(tmp_path / "nothing.pth")
    with pytest.raises(InputError, match="adapter"):
        adapter_facts(tmp_path, path)
