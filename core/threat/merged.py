"""A tuned checkpoint that is its base with a LoRA adapter merged in: dW = s B A, whose A was not released.

After one step from B = 0, dW = -lr s^2 sum_i k_i e_i (A^T A h_i)^T. Its left factor is that of full fine-tuning, so N,
activation patterns and labels can be read as exactly as ever. Its right factor is not h_i but P h_i with P = A^T A: for
a drawn A that is h_i on average, with noise of |h_i| / sqrt(r) in every entry, far above the pixels' own size. So it
counts as a measurement that blurred. Only where A can be drawn again, from a seed that people take, is the adapter
itself back: the rows of dW must then lie in the row space of that A, which no other A passes.
"""

from dataclasses import replace

import torch
from torch import Tensor

from core.artifacts.factors import Factors
from core.artifacts.initialisations import usual_draws
from core.models.mlp import MLP
from core.threat.observation import AdapterDelta, WeightDelta

SMALL = 0.5      # of a layer's smaller side: an update of a higher rank is no merged adapter
QUIET = 0.01     # share of inputs that a merged update may leave alone; a full one leaves all that are silent
LOUD = 2.0       # times what a foreign A gives: worth the projection
INSIDE = 0.3     # what a right A may leave of the update's rows; a foreign one leaves sqrt(1 - r / n_in)
TELLING = 0.8    # of the inputs: an A of a higher rank holds nearly any row, and so confirms nothing


def unmerged(delta: WeightDelta) -> AdapterDelta | WeightDelta:
    """The adapter where its A can be drawn again, else the delta marked as merged; what is no merged one as it is."""
    if not is_merged(delta):
        return delta
    spans = {name: _rows(delta, name) for name in delta.layers}
    ranks = ", ".join(f"{rows.shape[1]} in {name}" for name, rows in spans.items())
    begins = (f"The tuned checkpoint is the base with a LoRA adapter merged in (the rank of its update is {ranks}, and "
              "no bias changed)")
    found = _drawn_again(delta, spans)
    if found is not None:
        how, layers = found
        return AdapterDelta(delta.network, layers, delta.threat, notes=(
            f"{begins}; its A is that of peft under {how}, which the update's rows confirm.",))
    return replace(delta, merged=True, notes=(
        f"{begins}. Its A was not released: activation patterns are as exact as ever, but the inputs show only as "
        "A^T A h, blurred far beyond a pixel. The adapter before the merge would tell much more.",))


def is_merged(delta: WeightDelta) -> bool:
    """No bias changed where one could, the rank is small, and silent inputs got updates as well."""
    first = delta.network.layers[0]
    if first.bias is None or delta.biases or "layers.0" not in delta.layers:
        return False
    for name, change in delta.layers.items():
        rows = _rows(delta, name)
        if change.shape[0] > 1 and rows.shape[1] >= SMALL * min(change.shape):
            return False
        size = rows.square().sum(1)   # of each input's part in the rows
        if name != "layers.0" and float((size < 1e-6 * size.max()).double().mean()) > QUIET:
            return False              # after a ReLU, inputs that are off in all samples have no part in a gradient
    return True


def _rows(delta: WeightDelta, name: str) -> Tensor:
    """Orthonormal basis [n_in, q] of the row space of dW above its noise."""
    _, S, Vh = torch.linalg.svd(delta.layers[name].double(), full_matrices=False)
    return Vh[:max(1, int((delta.noise.get(name, 0.0) < S).sum()))].T


def _drawn_again(delta: WeightDelta, spans: dict[str, Tensor]) -> tuple[str, dict[str, Factors]] | None:
    levels = sorted(int(name.split(".")[1]) for name in spans)
    network: MLP = delta.network
    for how, drawn in usual_draws(network.widths, levels):
        if _confirmed(drawn, spans):
            layers = {}
            for level in levels:
                A, name = drawn[level].double(), f"layers.{level}"
                inverse = torch.linalg.pinv(A)
                noise = delta.noise.get(name, 0.0) * float(torch.linalg.matrix_norm(inverse, 2))
                layers[name] = Factors(A, delta.layers[name].double() @ inverse, 1.0, noise=noise)
            return how, layers
    return None


def _confirmed(drawn: dict[int, Tensor], spans: dict[str, Tensor]) -> bool:
    """By every layer that can tell, the first among them."""
    telling = [level for level, A in drawn.items() if len(A) <= TELLING * A.shape[1]]
    return 0 in telling and all(_fits(drawn[level].double(), spans[f"layers.{level}"]) for level in telling)


def _fits(A: Tensor, rows: Tensor) -> bool:
    """Whether the rows of the update lie in the row space of A [r, n_in]."""
    if len(A) < rows.shape[1]:
        return False
    typical = float(A.square().mean()) * len(A)   # of |A v|^2 for a foreign unit vector
    if float((A @ rows).square().sum(0).mean()) < LOUD * typical and len(A) < rows.shape[0] / 4:
        return False
    basis = torch.linalg.qr(A.T)[0]
    return float((rows - basis @ (basis.T @ rows)).norm() / rows.norm()) < INSIDE
