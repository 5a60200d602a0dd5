"""kkt on a base of ours: its training digits score the images, and nothing else reads them."""

import torch
from safetensors.torch import load_file

from core.io.errors import InputError
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.store import RunStore
from core.tasks import attack, scoring
from tests.helpers.runs import execute


def launch(store: RunStore) -> Run:
    config = AttackConfig(method="kkt", device="cpu", restarts=1, iterations=20, samples=6, search="pixels",
                          checkpoint=str(store.get("base").file("result.safetensors")))
    return execute(attack, store.create(config), config)


def test_a_base_of_ours_is_scored_against_its_training_digits(base_store, trained_indices):
    run = launch(base_store)
    score = run.report().score
    assert score.targets == len(trained_indices)
    assert len([index for index in score.assignment if index is not None]) == 6
    assert score.of == "training digits"
    assert 0 < score.mean_ssim < 1
    assert 0 < score.controls.wrong_release < 1
    assert score.recovered == sum(value > 0.4 for value in score.ssim)
    assert score.candidates == 6
    published = score.as_published
    assert published.targets == len(published.ssim) == len(trained_indices)
    assert 1 <= published.used <= 6
    assert 0 < published.controls.wrong_release < 1
    assert run.file("truth.png").is_file()


def test_without_the_digits_only_the_score_is_missing(base_store, monkeypatch):
    def gone(facts: dict) -> None:
        raise InputError("data_source: the digits are gone.")

    scored = launch(base_store)
    monkeypatch.setattr(scoring, "problem_of", gone)
    blind = launch(base_store)
    assert blind.report().score is None
    assert "the digits are gone" in blind.file("log.txt").read_text()
    ours, theirs = (load_file(run.file("reconstruction.safetensors"))["x"] for run in (scored, blind))
    assert torch.equal(ours, theirs)
