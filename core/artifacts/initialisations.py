"""Where an adapter's factors began, and so what the training changed.

The attacks read B_T as the whole update, B_1 = -lr s G A_0^T, which holds where B_0 = 0. PiSSA (Meng et al. 2024) and
OLoRA (Büyükakyüz 2024) begin with factors of the base weight W itself, and take s B_0 A_0 off the frozen base, so that
the network begins at W all the same. The first step is then

    B_1 - B_0 = -lr s G A_0^T         features at W

with A_0 and B_0 as peft computes them, which loading such an adapter repeats as well. Whatever an adapter began with,
peft can convert it to plain LoRA (``path_initial_model_for_weight_conversion``): the file then holds [B_T, -B_0] and
[A_T; A_0], both ends of the training, under a config that says nothing of it. Adapters that begin with A = 0 and B
drawn are the mirror image: A_1 = -lr s B_0^T G, whose rows lie in the span of the private inputs.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from core.artifacts.factors import Factors
from core.io.errors import InputError

NEAR = 0.5          # of its size: a factor that moved further is not one that began there
ROUNDING = 4.0      # of the stored precision, see `core.threat.spectrum`
SEEDS = (*range(100), 123, 1234, 12345, 1337, *range(2020, 2027), 3407)
RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DRAWN = (True, "gaussian")   # configs of adapters of which one factor was drawn and the other began at zero
FLAT, UNEVEN = 1.25, 1.5     # steepness of what was drawn, at most, and of what was not, at least
STEEP = 100.0       # the smallest singular value above the rounding, over the next: a cliff


def trained_part(name: str, factors: Factors, weight: Tensor, *, initialisation: str) -> Factors:
    """A_0 and B_T - B_0 of an adapter that began with factors of its base's `weight` [n_out, n_in]."""
    A_0, B_0 = _began(weight.detach().float(), factors, initialisation)
    A, B = factors.A.float(), factors.B.float()
    sign = torch.where((A_0 * A).sum(1) < 0, -1.0, 1.0)  # a decomposition is free in the sign of each pair
    A_0, B_0 = sign[:, None] * A_0, sign * B_0
    if float((A - A_0).norm() / A_0.norm()) > NEAR or float((B - B_0).norm() / B_0.norm()) > NEAR:
        raise InputError(f"adapter: {name} says that it began with {initialisation} of the base's weight, but its "
                         "factors are far from those: it is an adapter for another base, or was trained too long for "
                         "an attack on its update.")
    return _difference(factors, A_0, B, B_0)


def converted_part(factors: Factors) -> Factors | None:
    """A_0 and B_T - B_0 of an adapter that peft converted to plain LoRA; None where its halves are not two ends of one
    training: the A of one near that of the other, as drawn ones never are, and one B taken off the other."""
    half, odd = divmod(len(factors.A), 2)
    if odd:
        return None
    A, A_0 = factors.A[:half].float(), factors.A[half:].float()
    B, B_0 = factors.B[:, :half].float(), -factors.B[:, half:].float()
    if float((A - A_0).norm()) > NEAR * float(A_0.norm()) or float((B * B_0).sum()) <= 0:
        return None
    return _difference(factors, A_0, B, B_0)


def _difference(factors: Factors, A_0: Tensor, B: Tensor, B_0: Tensor) -> Factors:
    # Of rounding alone, as in `core.threat.update`; of both factors that were subtracted.
    rounding = torch.finfo(factors.B.dtype).eps * float(B.square().mean().sqrt()) * sum(side**0.5 for side in B.shape)
    return Factors(A_0, B - B_0, factors.scaling, noise=rounding)


def _began(W: Tensor, factors: Factors, initialisation: str) -> tuple[Tensor, Tensor]:
    """A_0 [r, n_in], B_0 [n_out, r] as peft computes them (tuners/lora/layer.py), in float32 like there."""
    r = len(factors.A)
    if initialisation == "olora":
        Q, R = torch.linalg.qr(W)
        return R[:r], Q[:, :r]
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    root = (S[:r] / factors.scaling).sqrt()
    return root[:, None] * Vh[:r], U[:, :r] * root


def a_began_at_zero(layers: dict[str, Factors], *, initialisation: object) -> bool:
    """Whether A is the factor that began at zero: then its rank shows the samples, and B's nothing.

    MiCA says so, and never trains its orthonormal B; raises `InputError` where B is another. Nobody else's config does:
    there the ranks of the first layer tell while the samples are fewer than r, and else that B is as flat as what is
    drawn, and A is not.
    """
    first = layers.get("layers.0")
    if initialisation == "mica":
        for name, factors in layers.items():
            B = factors.B.float()
            if float((B.T @ B - torch.eye(B.shape[1])).norm()) > NEAR:
                raise InputError(f"adapter: {name} says that it began with mica, whose B stays orthonormal, but its B "
                                 "is not: where the update is cannot be told; save the adapter again.")
        return True
    if first is None:
        return False
    few = numerical_rank(first.A) < len(first.A) == numerical_rank(first.B)
    return few or (initialisation in DRAWN and steepness(first.B) < FLAT and steepness(first.A) > UNEVEN)


def steepness(factor: Tensor) -> float:
    """Largest over smallest singular value, in units of what independent entries give (Marchenko and Pastur's edges);
    1 of rank 1, which tells nothing."""
    values = torch.linalg.svdvals(factor.detach().double())
    long, short = max(factor.shape) ** 0.5, min(factor.shape) ** 0.5
    if short == 1:
        return 1.0
    return float(values[0] / values[-1].clamp(min=1e-300)) * (long - short) / (long + short)


def blends_of(layers: dict[str, Factors]) -> str:
    """What an adapter that began with A = 0 shows, in a sentence."""
    first = layers.get("layers.0")
    begins = "The adapter began with A = 0 and a drawn B, the other way round than peft: "
    if first is None:
        return f"{begins}its update is in A, whose rows are blends of what the private samples make of deeper layers."
    inputs, r = numerical_rank(first.A), len(first.A)
    if inputs == r:
        return (f"{begins}the rows of the first layer's A are {r} blends of the private images, of which there may be "
                "more than that (or the optimiser was adaptive); where so, no span confines them.")
    shown = "the private image itself, up to its scale" if inputs == 1 else \
        f"blends of {inputs} private images, and nothing else is in their span"
    return f"{begins}the rows of the first layer's A are {shown}, so images are looked for there alone."


def numerical_rank(factor: Tensor) -> int:
    """Singular values of a stored factor that stand above its rounding, up to a cliff where there is one."""
    values = torch.linalg.svdvals(factor.detach().double())
    floor = ROUNDING * torch.finfo(factor.dtype).eps * float(values[0])
    ratios = values[:-1] / values[1:].clamp(min=floor)   # none of a single value
    return int(ratios.argmax()) + 1 if len(ratios) and float(ratios.max()) > STEEP else int((values > floor).sum())


def usual_draws(widths: list[int], layers: list[int]) -> Iterator[tuple[str, dict[int, Tensor]]]:
    """What a plain peft adapter begins with under the seeds that people take: how it was drawn, and A_0 by layer.

    peft makes both factors as ``nn.Linear`` and then draws A anew, layer by layer, from torch's global generator; the
    base may have been built from the same seed before. A guess that can be checked: see `core.threat.merged`.
    """
    with torch.random.fork_rng(devices=[]):
        for seed in SEEDS:
            for built in (False, True):
                torch.manual_seed(seed)
                if built:
                    _drawn([(n_in, n_out, index == 0) for index, (n_in, n_out) in enumerate(pairwise(widths))])
                state = torch.get_rng_state()
                for rank in RANKS:
                    torch.set_rng_state(state)
                    found = {}
                    for level in layers:
                        first, _ = _drawn([(widths[level], rank, False), (rank, widths[level + 1], False)])
                        torch.nn.init.kaiming_uniform_(first.weight, a=5**0.5)
                        found[level] = first.weight.detach()
                    yield f"seed {seed}{', after the base was built' if built else ''}, rank {rank}", found


def _drawn(shapes: list[tuple[int, int, bool]]) -> list[torch.nn.Linear]:
    return [torch.nn.Linear(n_in, n_out, bias=bias) for n_in, n_out, bias in shapes]
