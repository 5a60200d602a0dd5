"""Training and measuring through autograd: that of fully connected networks written out, and a convolutional base."""

import pytest
import torch
from scipy.optimize import nnls

from core.diagnostics.stationarity import stationarity
from core.models.conv import ConvNet
from core.models.margin import signs
from core.models.mlp import MLP, init_small_first_layer
from core.training.autograd_batch import AutogradBatch
from core.training.full_batch import FullBatch
from core.training.losses import log_loss_pull, log_mean_loss
from core.training.pretrain import pretrain
from core.training.trainer import DivergedError
from tests.helpers.training import Memory


def convolutional(x: torch.Tensor) -> ConvNet:
    network = ConvNet(channels=[4], kernels=[5], strides=[3], paddings=[0], hidden=[16]).to(x.dtype)
    network.requires_grad_(False)
    init_small_first_layer(network, scale=1e-2, generator=torch.Generator().manual_seed(3))
    network.input_mean.copy_(x.mean(0))
    return network


def random_mlp() -> tuple[MLP, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    network = MLP([16, 12, 9, 1], image_shape=(1, 4, 4)).double().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.5, generator=generator)
    return network, torch.rand(9, 1, 4, 4, generator=generator, dtype=torch.float64), torch.arange(9) % 2


def test_loss_and_gradient_are_those_written_out():
    network, x, labels = random_mlp()
    parameters = [parameter.detach() for parameter in network.parameters()]
    general, written = AutogradBatch(network, x, labels), FullBatch(network, x, labels)
    one, other = general.evaluate(parameters), written.evaluate(parameters)
    assert torch.allclose(one.scores.margins, other.scores.margins, rtol=1e-12)
    assert one.log_loss == pytest.approx(other.log_loss, rel=1e-12)
    push = other.scores.push(log_loss_pull(other.scores.margins))
    for _ in range(2):  # the same pass may be asked again
        for ours, theirs in zip(general.gradient(parameters, one, push), written.gradient(parameters, other, push),
                                strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-14)


def test_a_convolutional_base_is_trained_near_a_kkt_point(training):
    x, labels = training
    network, monitor = convolutional(x), Memory()
    outcome = pretrain(network, x, labels, optimizer="max-margin", learning_rate=0.01, epochs=400,
                       target_log_loss=-20.0, record_every=50, monitor=monitor)
    assert outcome.train_error == 0.0
    assert outcome.stationarity.residual < 0.3
    assert log_mean_loss(signs(labels) * network(x)).item() == pytest.approx(-20.0, rel=1e-9)
    assert monitor.rows[-1]["kkt_residual.layers.0"] == outcome.stationarity.layer_residuals["layers.0"]
    # the diagnostic against explicit gradients and SciPy
    parameters = list(network.requires_grad_().parameters())
    columns = [torch.cat([part.flatten() for part in torch.autograd.grad((2 * label - 1) * network(image[None]).sum(),
                                                                         parameters)])
               for image, label in zip(x, labels, strict=True)]
    theta = torch.cat([parameter.detach().flatten() for parameter in parameters])
    _, distance = nnls(torch.stack(columns, 1).numpy(), theta.numpy())
    network.requires_grad_(False)
    assert stationarity(network, x, labels).residual == pytest.approx(distance / theta.norm().item(), rel=1e-6)


def test_stop_and_resume_equals_an_uninterrupted_run(training):
    options = {"optimizer": "max-margin", "learning_rate": 0.01, "target_log_loss": -20.0, "record_every": 10}
    parts, straight, resumed = Memory(70), convolutional(training[0]), convolutional(training[0])
    pretrain(straight, *training, epochs=100, monitor=Memory(), **options)
    assert pretrain(convolutional(training[0]), *training, epochs=100, monitor=parts, **options).status == "stopped"
    parts.stop_at = None
    pretrain(resumed, *training, epochs=100, monitor=parts, **options)
    for ours, theirs in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_divergence_is_named_and_keeps_the_last_good_state(training):
    network, monitor = convolutional(training[0]), Memory()
    with pytest.raises(DivergedError, match=r"learning_rate: the loss is not finite after epoch \d+; choose"):
        pretrain(network, *training, optimizer="gd", learning_rate=1e60, epochs=50, target_log_loss=-60.0,
                 record_every=10, monitor=monitor)
    tensors, meta = monitor.saves[-1]
    assert meta["step"] == monitor.steps[-1]
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter).all()
        assert torch.equal(parameter, tensors[name])
