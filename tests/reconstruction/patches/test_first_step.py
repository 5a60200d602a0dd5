"""The first step of AdamW gives its gradient back through its own epsilon."""

import pytest
import torch

from core.reconstruction.patches.equations import BLOCK, patch_equations
from core.reconstruction.patches.first_step import first_step
from core.reconstruction.solvers.protocol import Status
from tests.reconstruction.patches.test_patches import attacked, observed, psnr

QUIET = 2.0   # lora_alpha: gradients as small as those of a trained base


def made(*, rank=5, size=(64, 40), scale=1e-3, seed=0):
    """A gradient of low rank whose singular values fall by a factor of ten, and its first AdamW step."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.randn(side, rank, generator=generator, dtype=torch.float64) for side in size)
    gradient = (left * torch.logspace(0, -1, rank, dtype=torch.float64)) @ right.T
    gradient = gradient / gradient.abs().mean() * scale
    parameter = torch.nn.Parameter(torch.zeros(size))
    parameter.grad = gradient.float()
    torch.optim.AdamW([parameter], 2e-4).step()
    return gradient, parameter.detach()


def test_the_gradient_comes_back():
    gradient, B = made()
    found = first_step(B, rank=5)
    assert found.misfit < 1.5
    assert float((found.gradient + gradient).norm() / gradient.norm()) < 5e-3  # a step goes against it
    rows = torch.linalg.svd(gradient, full_matrices=True)[2]
    assert float((rows[:5] @ found.basis[:, 5:]).norm()) < 5e-3


@pytest.mark.parametrize(("change", "rank"), [(lambda B: B, 4), (lambda B: B.sign() * 2e-4, 5),
                                              (lambda B: B.bfloat16(), 5),
                                              (lambda B: B + 1e-4 * torch.randn_like(B), 5)])
def test_another_rank_signs_alone_and_noise_give_none(change, rank):
    assert first_step(change(made()[1]), rank=rank) is None


def test_large_gradients_leave_signs_alone():
    assert first_step(made(scale=1.0)[1], rank=5) is None


def test_the_image_comes_back_up_to_noise(vit, tmp_path):
    adapter = vit.tune(tmp_path, optimiser=torch.optim.AdamW, learning_rate=2e-4, alpha=QUIET)
    equations = patch_equations(observed(vit, adapter))
    assert [projection.first_step for projection in equations.projections] == [True, True]
    patches = equations.inputs.patches(vit.x[:1].double())
    misfit = equations.misfit(patches, equations.inputs.scale(patches))
    assert 0.03 < float(misfit.mean()) < 10   # noise is told within a factor of ten or so
    result = attacked(vit, adapter)
    assert result.status is not Status.NO_EQUATIONS
    assert psnr(result.x[0], vit.x[0]) > 30
    assert result.labels.tolist() == vit.labels[:1].tolist()
    assert "adaptive" in result.limits[0]


def test_the_second_step_is_refused(vit, tmp_path):
    adapter = vit.tune(tmp_path, optimiser=torch.optim.AdamW, learning_rate=2e-4, alpha=QUIET, steps=2)
    observation = observed(vit, adapter)
    assert first_step(observation.factors(BLOCK + "q_proj").B, rank=5) is None
    assert attacked(vit, adapter).status is Status.NO_EQUATIONS
