"""The patch attack on vision transformers of plain transformers, fine-tuned by plain peft."""

import json
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.artifacts.checkpoint import load_checkpoint
from core.config.monitor import Silent
from core.io.errors import InputError
from core.reconstruction import auto
from core.reconstruction.patches.equations import patch_equations
from core.reconstruction.patches.knobs import PatchKnobs
from core.reconstruction.solvers.protocol import Status
from core.tasks.input_choice import choose_inputs
from core.threat.observe_files import observe_files
from tests.helpers.vit_victims import OLD_NAMES


def observed(vit, adapter, **knobs):
    return observe_files(PatchKnobs(checkpoint=str(vit.folder), adapter=str(adapter), threat="released-only", **knobs))


def attacked(vit, adapter, **knobs):
    config = PatchKnobs(checkpoint=str(vit.folder), adapter=str(adapter), threat="released-only", **knobs)
    return auto.attack(observe_files(config), config, Silent(), began=time.monotonic())


def psnr(a, b):
    return float(-10 * torch.log10((a.double() - b.double()).square().mean()))


def test_patch_inputs_are_what_the_attention_is_given(vit):
    network = load_checkpoint(vit.folder).network
    network.input_mean.fill_(0.3)
    network.input_std = torch.full_like(network.input_mean, 0.7)
    seen = {}
    layer = network.linear_layers()["vit.layers.0.attention.q_proj"]
    layer.register_forward_hook(lambda module, inputs, output: seen.update(h=inputs[0]))
    network(vit.x)
    given = network.patch_inputs()
    h = given.inputs(given.patches(vit.x.double()))
    assert torch.allclose(seen["h"][:, 1:].double(), h, atol=2e-5)
    assert torch.allclose(seen["h"][:, 0].double(), given.public.expand(len(h), -1), atol=2e-5)
    assert torch.equal(given.images(given.patches(vit.x)), vit.x)


@pytest.mark.parametrize(("targets", "ranks"), [(("q_proj", "v_proj"), [5, 5]),
                                                (("q_proj", "k_proj", "v_proj"), [5, 4, 5])])
@pytest.mark.parametrize("steps", [1, 30])
def test_private_patches_meet_their_equations_after_any_number_of_steps(vit, tmp_path, targets, ranks, steps):
    adapter = vit.tune(tmp_path, targets=targets, steps=steps, momentum=0.9)
    equations = patch_equations(observed(vit, adapter))
    assert [projection.rank for projection in equations.projections] == ranks
    assert equations.images == 1
    patches = equations.inputs.patches(vit.x.double())
    misfit = equations.misfit(patches, equations.inputs.scale(patches))
    assert float(misfit[0].max()) < 1 < 10 < float(misfit[1:].min())  # the others were never trained on


@pytest.mark.parametrize(("rank", "steps"), [(40, 1), (40, 50), (26, 1)])
def test_one_image_comes_back_exactly(vit, tmp_path, rank, steps):
    result = attacked(vit, vit.tune(tmp_path, rank=rank, steps=steps))
    assert result.method == "patches"
    assert psnr(result.x[0], vit.x[0]) > 50
    assert result.status is Status.SOLVED
    assert result.labels.tolist() == vit.labels[:1].tolist()
    assert result.confidence[0] > 0.9
    if steps == 1:
        assert result.facts["step_cosine"][0] > 0.999


def test_keys_alone_are_equations_as_well(vit, tmp_path):
    result = attacked(vit, vit.tune(tmp_path, rank=60, targets=("k_proj",)))
    assert psnr(result.x[0], vit.x[0]) > 50


def test_a_patch_that_is_called_proven_is_right(vit, tmp_path):
    result = attacked(vit, vit.tune(tmp_path, rank=20))
    inputs = patch_equations(observed(vit, tmp_path)).inputs
    truth, found = (inputs.patches(x.double()) for x in (vit.x[:1], result.x))
    proven = result.tensors["proven"].bool()
    assert bool(proven.any())
    assert float((truth - found).abs().amax(-1)[proven].max()) < 0.01


def test_two_images_share_the_equations(vit, tmp_path):
    result = attacked(vit, vit.tune(tmp_path, rank=48, images=2))
    inputs = patch_equations(observed(vit, tmp_path)).inputs
    truth, found = (inputs.patches(x.double()) for x in (vit.x[:2], result.x))
    proven = result.tensors["proven"].bool()
    assert len(result.x) == 2
    assert int(proven.sum()) >= 2
    nearest = (found[:, None] - truth[None]).abs().amax(-1).amin(1)
    assert float(nearest[proven].max()) < 0.01
    if not bool(proven.all()):
        assert result.status is Status.PARTLY
        assert min(result.confidence) < 0.95


@pytest.mark.parametrize(("options", "words"), [
    ({"rank": 5}, "not above the 5 inputs"), ({"optimiser": torch.optim.AdamW, "learning_rate": 1e-3, "steps": 3},
                                              "adaptive"),
    ({"targets": ("o_proj",)}, "none of query, key and value")])
def test_without_equations_there_is_no_image_but_a_reason(vit, tmp_path, options, words):
    result = attacked(vit, vit.tune(tmp_path, **options))
    assert result.status is Status.NO_EQUATIONS
    assert len(result.x) == 0
    assert words in result.limits[0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_of_coarse_storage_what_is_called_proven_is_near(vit, tmp_path, dtype):
    result = attacked(vit, vit.tune(tmp_path, dtype=dtype))
    proven = result.tensors["proven"].bool()[0]
    inputs = patch_equations(observed(vit, tmp_path)).inputs
    truth, found = (inputs.patches(x.double())[0] for x in (vit.x[:1], result.x))
    assert bool(proven.any())
    assert float((truth - found).abs()[proven].max()) < 0.05  # five deviations of the most that counts as proven


def test_another_base_proves_nothing(vit, tmp_path):
    adapter = vit.tune(tmp_path)
    config = PatchKnobs(checkpoint=str(vit.folder), adapter=str(adapter), threat="released-only")
    observation = observe_files(config)
    weight = observation.network.model.vit.embeddings.patch_embeddings.projection.weight
    weight.copy_(weight + 0.1 * weight.std() * torch.randn_like(weight))
    result = auto.attack(observation, config, Silent(), began=time.monotonic())
    assert int(result.tensors["proven"].sum()) == 0
    assert result.status is not Status.SOLVED
    assert max(result.confidence) < 0.5


def test_adapters_of_earlier_transformers_have_other_names(vit, tmp_path):
    adapter = vit.tune(tmp_path)
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    renamed = {}
    for name, tensor in tensors.items():
        for new, old in OLD_NAMES:
            name = name.replace(new, old)
        renamed[name] = tensor
    save_file(renamed, file)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["query", "value"]}))
    assert psnr(attacked(vit, adapter).x[0], vit.x[0]) > 50


def test_what_the_preprocessor_says_is_heard(vit, tmp_path):
    adapter = vit.tune(tmp_path, mean=0.5, std=0.25)
    (vit.folder / "preprocessor_config.json").write_text(json.dumps(
        {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5],
         "image_std": [0.25], "size": {"height": 14, "width": 14}}))
    try:
        assert psnr(attacked(vit, adapter).x[0], vit.x[0]) > 50
    finally:
        (vit.folder / "preprocessor_config.json").unlink()


@pytest.mark.parametrize(("mean", "std", "words"), [(0.0, 1.0, "pixels as they are"),
                                                    (0.5, 0.5, "mean 0.5, deviation 0.5"),
                                                    (0.1307, 0.3081, "MNIST, mean 0.1307, deviation 0.3081")])
@pytest.mark.parametrize("rank", [40, 26])
def test_where_nothing_is_said_of_the_pixels_the_patches_tell(vit, tmp_path, mean, std, words, rank):
    observation = observed(vit, vit.tune(tmp_path, rank=rank, mean=mean, std=std))
    choice = choose_inputs(observation, Silent())
    assert choice.facts.chosen == words
    assert max(trial.patches_proven for trial in choice.facts.tried.values()) >= 2
    assert not choice.limits


@pytest.mark.parametrize("given", [{}, {"tuned": "vit"}])
def test_a_transformer_without_an_adapter_is_refused(vit, given):
    with pytest.raises(InputError, match="adapter"):
        observe_files(PatchKnobs(checkpoint=str(vit.folder), threat="released-only", **given))
