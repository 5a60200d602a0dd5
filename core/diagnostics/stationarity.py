"""How near a network is to a KKT point of the maximum-margin problem.

Gradient flow on a homogeneous network drives the weights to a direction with
theta = sum_i lam_i y_i grad f(x_i), lam >= 0 (Lyu and Li 2020; Ji and Telgarsky 2020): the identity that the
KKT attack of Haim et al. 2022 inverts. The residual measured here, with its best lam, is a floor for that attack.
Of C classes the constraints are f_y - f_j >= margin for every j != y: one multiplier a sample and rival j.

Any network of registered layer types is measured alike, from the factors of its per-sample gradients
(`core.diagnostics.gradient_products`).
"""

import math
from dataclasses import dataclass

import torch
from scipy.optimize import nnls
from torch import Tensor

from core.diagnostics.gradient_products import gradient_products
from core.models.conv import Network
from core.models.margin import hard_margin, signs

_ACTIVE = 1e-6   # a multiplier below this share of the largest counts as zero
_TOLERANCE = 1e-10
MOST_ROUNDS = 60
MOST_PAIRS = 1500  # of samples and rivals; beyond, each sample keeps its nearest rivals


@dataclass(frozen=True)
class Stationarity:
    """min over lam >= 0 of ||theta - sum_i lam_i y_i grad f_i|| / ||theta||, and what belongs to it."""

    residual: float                  # in [0, 1]; 0 is a KKT point, 1 means that the samples explain nothing
    layer_residuals: dict[str, float]  # the same lam, each layer's part relative to that layer's norm
    alignments: dict[str, float]     # the same lam, cosine between a layer and its part of the sum; 1 at a KKT point
    multipliers: Tensor              # lam [N] >= 0, float64; by rival [N, K], nearest first
    margin: float                    # min_i of y_i f(x_i), or f_y - max f_j, / ||theta||^L, L the number of layers
    median_margin: float             # the median over i in its place
    norm: float                      # ||theta||

    @property
    def active(self) -> Tensor:
        """Indices of the samples with lam > 0: the support vectors, all that a KKT attack can see."""
        lam = self.multipliers.view(len(self.multipliers), -1).sum(1)
        return torch.nonzero(lam > _ACTIVE * lam.max().clamp_min(1e-300)).flatten()


def stationarity(network: Network, x: Tensor, labels: Tensor, *, start: Tensor | None = None) -> Stationarity:
    """Measure `network` on images `x` [N, C, H, W] in [0, 1] with `labels` [N] in {0, 1} or 0 … C-1.

    `start`: multipliers of an earlier call, which save work while training. One forward and backward pass in
    the network's precision and on its device; the products in float64 on the CPU (MPS has no float64). Weights so
    large that these overflow give NaN.
    """
    if network.outputs > 1:
        leads, grams, inner = _of_classes(network, x, labels)
    else:
        leads, grams, inner = _of_one_logit(network, x, labels)
    norms = [sum(parameter.detach().cpu().double().square().sum().item() for parameter in layer.parameters())
             for layer in network.layers]
    total = sum(norms)
    if not torch.isfinite(sum(grams)).all():  # exploding weights; NaN in the curve says so and training goes on
        unknown = {f"layers.{index}": math.nan for index in range(len(norms))}
        nothing = torch.zeros(len(labels), dtype=torch.float64)
        return Stationarity(math.nan, unknown, unknown, nothing, math.nan, math.nan, math.sqrt(total))
    begin = start.flatten() if start is not None and start.numel() == len(inner[0]) else None
    lam = nonnegative_least_squares(sum(grams), sum(inner), start=begin)
    parts = [max(0.0, norm - (2 * lam @ part - lam @ gram @ lam).item())
             for norm, part, gram in zip(norms, inner, grams, strict=True)]
    # cos(theta_l, s_l) for s_l = sum_i lam_i y_i grad_l f_i, from <theta_l, s_l> and ||s_l||^2.
    cosines = [(lam @ part).item() / math.sqrt(norm * square) if norm and (square := (lam @ gram @ lam).item()) > 0
               else 0.0 for norm, part, gram in zip(norms, inner, grams, strict=True)]
    margins = leads / (total ** (len(norms) / 2) if total else 1.0)
    return Stationarity(
        residual=math.sqrt(sum(parts) / total) if total else 1.0,
        layer_residuals={f"layers.{index}": math.sqrt(part / norm) if norm else 0.0
                         for index, (part, norm) in enumerate(zip(parts, norms, strict=True))},
        alignments={f"layers.{index}": cosine for index, cosine in enumerate(cosines)},
        multipliers=lam if len(lam) == len(labels) else lam.view(len(labels), -1),
        margin=margins.min().item(), median_margin=margins.median().item(), norm=math.sqrt(total))


def _of_one_logit(network: Network, x: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """y f [N], and by layer the products of y_i grad f_i with each other [N, N] and with theta [N], in float64."""
    sign = signs(labels).cpu().double()
    logits, products = gradient_products(network, x)
    return (sign * logits.cpu().double(), [gram * sign[:, None] * sign for gram, _ in products],
            [projection * sign for _, projection in products])


def _of_classes(network: Network, x: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The same of grad (f_y - f_j), for the K rivals j of each sample with the largest outputs: [N K, N K], [N K]."""
    labels = labels.to(x.device).long()
    with torch.no_grad():
        logits = network(x)
    kept = max(1, min(network.outputs - 1, MOST_PAIRS // len(x)))
    own = torch.nn.functional.one_hot(labels, network.outputs).to(logits)
    rivals = logits.masked_fill(own > 0, float("-inf")).topk(kept, dim=1).indices  # [N, K]
    directions = own[:, None] - torch.nn.functional.one_hot(rivals, network.outputs).to(logits)
    _, products = gradient_products(network, x.repeat_interleave(kept, dim=0), directions.flatten(0, 1))
    return (hard_margin(logits, labels).cpu().double(), [gram for gram, _ in products],
            [projection for _, projection in products])


def nonnegative_least_squares(gram: Tensor, inner: Tensor, *, start: Tensor | None = None) -> Tensor:
    """argmin over lam >= 0 of lam^T gram lam - 2 inner^T lam; `gram` [N, N] positive semidefinite, `inner` [N].

    Block principal pivoting (Kim and Park 2011): guess which multipliers are positive, solve for them, and swap
    all that break the optimality conditions; after three rounds without progress only the last one (Murty's rule),
    which cannot cycle. On real networks 1 to 10 Cholesky factorisations, where Lawson and Hanson take one pivot a
    sample; they (SciPy's `nnls`) take over in the rare degenerate case that wants more than `MOST_ROUNDS`.
    """
    count = len(inner)
    # Samples given twice make the matrix singular; the ridge picks one of the equal solutions.
    regular = gram + torch.eye(count, dtype=gram.dtype) * (1e-12 * gram.diagonal().max().clamp_min(1e-300))
    free = start.to(inner) > 0 if start is not None else torch.zeros(count, dtype=torch.bool)
    scale = inner.abs().max().clamp_min(1e-300)
    fewest, patience = count + 1, 3
    for _ in range(MOST_ROUNDS):
        lam = torch.zeros_like(inner)
        if free.any():
            factor = torch.linalg.cholesky(regular[free][:, free])
            lam[free] = torch.cholesky_solve(inner[free][:, None], factor).squeeze(1)
        slope = regular @ lam - inner
        wrong = torch.where(free, lam < -_TOLERANCE * lam.abs().max(), slope < -_TOLERANCE * scale)
        broken = int(wrong.sum())
        if broken == 0:
            return lam.clamp(min=0.0)
        if broken < fewest:
            fewest, patience = broken, 3
        elif patience > 0:
            patience -= 1
        else:
            last = torch.nonzero(wrong).flatten()[-1]
            wrong = torch.zeros_like(wrong)
            wrong[last] = True
        free = free ^ wrong
    values, vectors = torch.linalg.eigh(regular)
    root = values.clamp(min=1e-14 * values[-1]).sqrt()
    factor, target = root[:, None] * vectors.T, (vectors.T @ inner) / root  # factor^T factor = gram
    return torch.from_numpy(nnls(factor.numpy(), target.numpy(), maxiter=100 * count)[0])
