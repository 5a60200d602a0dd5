"""Which library multiplies float32 matrices, and that a run says so."""

import pytest
import torch

from core.host import products as module
from core.host.compute import choose
from core.host.products import EXACT, FASTER, ONEDNN, PLAIN, Products, Trial, choose_products, trial, using

CPU = choose(device="cpu")


@pytest.fixture
def tried(monkeypatch):
    def use(error, speedup):
        monkeypatch.setattr(module, "trial", lambda: Trial(error, speedup))
    return use


def setting():
    return torch.backends.mkldnn.matmul.fp32_precision


@pytest.mark.parametrize(("error", "speedup", "library"), [
    (4.0e-7, 1.94, ONEDNN),
    (4.0e-7, 1.1, PLAIN),    # no gain
    (2.5e-7, 1.0, PLAIN),    # the same kernel
    (2.8e-3, 8.0, PLAIN),    # bfloat16
    (float("nan"), 2.0, PLAIN),
])
def test_a_run_takes_onednn_where_it_is_exact_and_faster(tried, error, speedup, library):
    tried(error, speedup)
    assert choose_products(CPU).library == library


def test_a_resumed_run_keeps_its_library_whatever_the_clock_says_now(tried):
    tried(4.0e-7, 2.0)
    assert choose_products(CPU, earlier=PLAIN).library == PLAIN
    tried(4.0e-7, 0.9)
    assert choose_products(CPU, earlier=ONEDNN).library == ONEDNN


def test_a_run_resumed_where_onednn_is_not_exact_goes_on_with_torchs_own_and_says_so(tried):
    tried(2.8e-3, 8.0)
    chosen = choose_products(CPU, earlier=ONEDNN)
    assert chosen.library == PLAIN
    assert "differ in rounding" in chosen.reason


def test_float64_has_no_choice(monkeypatch):
    def never():
        raise AssertionError("nothing is to be tried")

    monkeypatch.setattr(module, "trial", never)
    assert choose_products(choose(device="cpu", precision="float64")).library == PLAIN


@pytest.mark.parametrize("library", [PLAIN, ONEDNN])
def test_the_setting_ends_with_the_block_and_leaves_float64_and_cuda_alone(library):
    before = setting()
    a = torch.randn(300, 300, dtype=torch.float64)
    outside = a @ a
    with using(Products(library, "")):
        assert setting() == ("bf16" if library == ONEDNN else "ieee")
        assert torch.equal(a @ a, outside)
        assert not torch.backends.cuda.matmul.allow_tf32
    assert setting() == before


def test_the_trial_of_this_processor():
    """What it is depends on the processor: float32 or bfloat16, and then the error says which."""
    before = setting(), torch.get_num_threads()
    found = trial()
    assert (setting(), torch.get_num_threads()) == before
    assert 1e-8 < found.error < 2e-2
    assert found.exact == (found.error < EXACT)
    a = torch.randn(400, 400, generator=torch.Generator().manual_seed(1))
    exact = a.double() @ a.double()
    chosen = choose_products(CPU)
    assert (chosen.library == ONEDNN) == (found.exact and found.speedup >= FASTER)
    with using(chosen):
        assert float((a @ a - exact).norm() / exact.norm()) < EXACT


def test_the_clock_compares_the_libraries(monkeypatch):
    now = 0

    def clock():
        nonlocal now
        now += 2 if setting() == "ieee" else 1
        return now

    monkeypatch.setattr(module.time, "thread_time", clock)
    a = torch.ones(4, 4)
    assert module._speedup(a, a) == 2
