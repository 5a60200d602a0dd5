"""Which library multiplies float32 matrices on the CPU: torch's own, or oneDNN where it is as exact and faster.

torch hands float32 products to its BLAS (MKL on x86) unless ``torch.backends.mkldnn.matmul.fp32_precision`` is
"bf16"; then oneDNN takes them. What that means is the processor's affair. On some oneDNN computes in float32 all the
same, and was seen twice as fast there at an error of 4.0e-7 for MKL's 2.5e-7; with a bfloat16 unit it rounds to that,
an error of 3e-3; where this was written nothing changes. So both are tried on products of the sizes that runs take,
once a process, and oneDNN is taken where its error stays below `EXACT` and it is `FASTER` times as fast at least.

A float64 product is never touched. On CUDA neither: TF32 stays off there, as torch has it.
"""

import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from core.host.compute import Compute

PLAIN, ONEDNN = "plain", "onednn"  # as the environment record names them
EXACT = 1e-6    # relative error in the Frobenius norm; bfloat16 is at 3e-3
FASTER = 1.3    # between the two that occur, 1 and 2: repeats on one machine must decide alike
SIZE, ROUNDS = 512, 8
SHAPES = ((1, SIZE, SIZE, SIZE), (1, 20, 784, 1000), (4, 100, 1000, 20))  # batch, rows, inner, columns


@dataclass(frozen=True)
class Trial:
    """oneDNN's products against torch's own: its largest relative error, and how many times as fast it is (1 where it
    gives the same bits, which are then not timed)."""

    error: float
    speedup: float

    @property
    def exact(self) -> bool:
        return self.error < EXACT


@dataclass(frozen=True)
class Products:
    """The library of a run's float32 products, `PLAIN` or `ONEDNN`, and a sentence on why."""

    library: str
    reason: str


def choose_products(compute: Compute, *, earlier: str | None = None) -> Products:
    """For a run that computes on `compute`; `earlier` is the library with which a run that is resumed began.

    A resumed run keeps its library, so that it ends as if it had never stopped; only where oneDNN is not exact on the
    machine where it goes on are its products torch's own from there.
    """
    if compute.device.type != "cpu" or compute.dtype != torch.float32:
        return Products(PLAIN, f"torch's own products: {compute.describe()} has no choice.")
    if earlier == PLAIN:
        return Products(PLAIN, "torch's own float32 products, as before the run was resumed.")
    tried = trial()
    said = f"error {tried.error:.1g}, {tried.speedup:.2g} times as fast"
    if earlier == ONEDNN and tried.exact:
        return Products(ONEDNN, f"oneDNN's float32 products, as before the run was resumed ({said}).")
    if earlier == ONEDNN:
        return Products(PLAIN, f"torch's own float32 products, for oneDNN's are not exact on this processor ({said}); "
                               "before it was resumed the run used oneDNN's, so that its numbers differ in rounding.")
    if tried.speedup == 1.0:
        return Products(PLAIN, "torch's own float32 products; oneDNN's are the same on this processor.")
    if tried.exact and tried.speedup >= FASTER:
        return Products(ONEDNN, f"oneDNN's float32 products ({said} as torch's own).")
    return Products(PLAIN, f"torch's own float32 products (oneDNN's: {said}).")


@contextlib.contextmanager
def using(products: Products) -> Iterator[None]:
    """Float32 products of the CPU by that library, in all threads, until the end of the block."""
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16" if products.library == ONEDNN else "ieee"
    try:
        yield
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before


@functools.cache
def trial() -> Trial:
    """Of this processor, in about 0.1 s."""
    generator = torch.Generator().manual_seed(0)
    cases = [(torch.randn(batch, rows, inner, generator=generator), torch.randn(inner, columns, generator=generator))
             for batch, rows, inner, columns in SHAPES]
    plain = [product(left, right) for left, right in cases for product in _FORMS]
    with using(Products(ONEDNN, "")):
        switched = [product(left, right) for left, right in cases for product in _FORMS]
    exact = [product(left.double(), right.double()) for left, right in cases for product in _FORMS]
    error = max(float((found - true).norm() / true.norm()) for found, true in zip(switched, exact, strict=True))
    same = all(torch.equal(one, other) for one, other in zip(plain, switched, strict=True))
    return Trial(error, 1.0 if same else _speedup(cases[0][0][0], cases[0][1]))


def _speedup(left: Tensor, right: Tensor) -> float:
    """In one thread and by its own CPU time, which other processes hardly disturb."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: dict[str, list[float]] = {PLAIN: [], ONEDNN: []}
    try:
        for library in [PLAIN, ONEDNN] * (ROUNDS + 1):
            with using(Products(library, "")):
                began = time.thread_time()
                left @ right
                times[library].append(time.thread_time() - began)
    finally:
        torch.set_num_threads(threads)
    plain, onednn = (min(times[library][1:]) for library in (PLAIN, ONEDNN))  # the first makes the kernel
    return plain / onednn


# The ways in which engines multiply, each with a path of its own inside torch.
_FORMS = (lambda left, right: left[0] @ right,
          lambda left, right: torch.nn.functional.linear(left, right.mT, right[0]),
          lambda left, right: torch.bmm(left, right.expand(len(left), *right.shape)),
          lambda left, right: torch.baddbmm(torch.ones(len(left), left.shape[1], right.shape[1]).to(left), left,
                                            right.expand(len(left), *right.shape), alpha=-1))
