import pytest
import torch

from core.reconstruction.solvers.first_order import SGD, Adam


@pytest.mark.parametrize(("ours", "theirs"), [
    (Adam(epsilon=1e-8), lambda p: torch.optim.Adam([p], lr=0.05)),
    (SGD(momentum=0.9), lambda p: torch.optim.SGD([p], lr=0.05, momentum=0.9)),
])
def test_twenty_steps_are_torchs(ours, theirs):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    parameter = start.clone().requires_grad_()
    optimizer = theirs(parameter)
    variable, state = start.clone(), ours.init(start)
    for _ in range(20):
        gradient = torch.randn(3, 4, generator=generator, dtype=torch.float64)
        parameter.grad = gradient.clone()
        optimizer.step()
        variable = ours.step(variable, gradient, state, learning_rate=0.05)
    assert torch.allclose(variable, parameter.detach(), rtol=1e-10)


@pytest.mark.parametrize("method", [Adam(), SGD()])
def test_rows_are_independent(method):
    start = torch.ones(2, 3)
    gradient = torch.tensor([[1.0, 2.0, 3.0], [1e3, 1e3, 1e3]])
    both, state = start, method.init(start)
    alone, alone_state = start[:1], method.init(start[:1])
    for _ in range(5):
        both = method.step(both, gradient, state, learning_rate=0.1)
        alone = method.step(alone, gradient[:1], alone_state, learning_rate=0.1)
    assert torch.equal(both[:1], alone)
