"""The certificate on adapters whose inputs are known, trained here by plain gradient descent in float64."""

import pytest
import torch
from torch import Tensor, nn

from core.reconstruction.certificate.projector import certificate

RANK, SAMPLES, INPUTS = 6, 3, 20


def trained(optimizer: type[torch.optim.Optimizer], steps: int, **options: float) -> tuple[Tensor, Tensor, Tensor]:
    """B, A and the private inputs [N, n] of an adapter below a tanh: no ReLU, which the certificate does not need."""
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(SAMPLES, INPUTS, generator=generator, dtype=torch.float64)
    W = torch.randn(12, INPUTS, generator=generator, dtype=torch.float64) * INPUTS ** -0.5
    head = torch.randn(12, generator=generator, dtype=torch.float64)
    A = nn.Parameter(torch.randn(RANK, INPUTS, generator=generator, dtype=torch.float64) * INPUTS ** -0.5)
    B = nn.Parameter(torch.zeros(12, RANK, dtype=torch.float64))
    optimiser = optimizer([A, B], **options)
    for step in range(steps):
        optimiser.zero_grad()
        batch = h[step % SAMPLES:][:2]  # minibatches that change
        (torch.tanh(batch @ (W + B @ A).T) @ head - 1).square().mean().backward()
        optimiser.step()
    return B.detach(), A.detach(), h


@pytest.mark.parametrize("steps", [3, 50])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_every_private_input_obeys_the_certificate_at_any_step(steps: int, momentum: float) -> None:
    B, A, h = trained(torch.optim.SGD, steps, lr=0.05, momentum=momentum)
    found = certificate(B, A, precision=torch.finfo(torch.float64).eps)
    assert (found.rank, found.equations) == (SAMPLES, RANK - SAMPLES)
    assert float(found.residual(h).max()) < 1e-9
    other = torch.randn(50, INPUTS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert float(found.residual(other).min()) > 0.01


def test_blends_of_private_inputs_obey_it_too_and_size_does_not_count() -> None:
    B, A, h = trained(torch.optim.SGD, 10, lr=0.05)
    found = certificate(B, A, precision=torch.finfo(torch.float64).eps)
    assert float(found.residual(0.3 * h[0] - 2 * h[1])) < 1e-9
    other = torch.ones(INPUTS, dtype=torch.float64)
    assert float(found.residual(1e-6 * other)) == pytest.approx(float(found.residual(other)))


def test_adam_leaves_no_equations() -> None:
    B, A, _ = trained(torch.optim.Adam, 10, lr=0.01)
    assert certificate(B, A, precision=torch.finfo(torch.float64).eps) is None  # its B has full rank


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rank_follows_the_stored_precision(dtype: torch.dtype) -> None:
    B, A, h = trained(torch.optim.SGD, 20, lr=0.05)
    stored = B.to(dtype)
    found = certificate(stored, A, precision=torch.finfo(dtype).eps)
    assert found.rank == SAMPLES
    assert float(found.residual(h).max()) < 8 * torch.finfo(dtype).eps
    assert certificate(stored, A, precision=1e-16) is None  # rounding taken for signal has full rank


def test_a_spectrum_that_fades_into_rounding_has_no_rank() -> None:
    fading = torch.diag(torch.logspace(0, -3, 10, dtype=torch.float64))
    assert certificate(fading, torch.eye(10).double(), precision=1e-2 / 4) is None
