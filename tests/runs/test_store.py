"""The run store: order, kinds, names, and folders that are no whole run."""

from dataclasses import replace

import pytest

from core.config.finetune import FinetuneConfig
from core.config.pretrain import PretrainConfig
from core.io.errors import InputError
from core.runs.store import RunStore


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def test_an_absent_folder_is_an_empty_store(store):
    assert store.list() == []
    assert store.broken() == {}


def test_runs_are_listed_newest_first_even_after_a_copy(store):
    older, newer = store.create(PretrainConfig()), store.create(PretrainConfig())
    older.write_status(replace(older.stored_status(), created=1.0))
    newer.write_status(replace(newer.stored_status(), created=2.0))
    older.file("config.json").touch()  # a plain copy makes all times new
    assert store.list() == [newer, older]


def test_the_kind_is_what_the_config_says(store):
    pretrained = store.create(PretrainConfig(), run_id="finetune-looks-like-it")
    tuned = store.create(FinetuneConfig(base="x"), run_id="other")
    assert store.list(kind="pretrain") == [pretrained]
    assert store.list(kind="finetune") == [tuned]


def test_many_runs_of_one_second_get_different_names(store):
    assert len({store.create(PretrainConfig()).id for _ in range(50)}) == 50


@pytest.mark.parametrize("name", ["config.json", "status.json"])
def test_a_run_that_lost_a_file_is_told_apart_and_harms_no_other(store, name):
    whole, broken = store.create(PretrainConfig()), store.create(PretrainConfig())
    broken.file(name).unlink()
    assert store.list() == [whole]
    assert list(store.broken()) == [broken.id]
    assert name in store.broken()[broken.id]


def test_a_run_that_lost_both_files_is_still_told(store):
    run = store.create(PretrainConfig())
    run.file("config.json").unlink()
    run.file("status.json").unlink()
    assert list(store.broken()) == [run.id]


def test_hidden_folders_are_not_runs(store):
    run = store.create(PretrainConfig())
    (store.root / ".cluster" / "host").mkdir(parents=True)
    (store.root / ".new-half").mkdir()
    (store.root / ".new-half" / "status.json").write_text("{}")
    assert store.list() == [run]
    assert store.broken() == {}


@pytest.mark.parametrize("name", ["", ".", "..", "../runs", "a/b", ".cluster", "nowhere"])
def test_what_is_no_id_is_not_found(store, name):
    (store.root / ".cluster").mkdir(parents=True)
    with pytest.raises(InputError, match="there is no run"):
        store.get(name)


@pytest.mark.parametrize("name", ["../escape", "a/b", "..", ".hidden"])
def test_what_cannot_name_a_folder_is_refused(store, name):
    with pytest.raises(InputError, match="cannot name a run"):
        store.create(PretrainConfig(), run_id=name)


def test_get_finds_what_create_made(store):
    run = store.create(PretrainConfig(seed=3))
    assert store.get(run.id).config().seed == 3
