"""How near a network is to a KKT point of the maximum-margin problem.

Gradient flow on a homogeneous network drives the weights to a direction with
theta = sum_i lam_i y_i grad f(x_i), lam >= 0 (Lyu and Li 2020; Ji and Telgarsky 2020): the identity that the
KKT attack of Haim et al. 2022 inverts. The residual measured here, with its best lam, is a floor for that attack.

Of a fully connected network no per-sample gradient is ever formed: with the factored features (h_l, e_l) of
`core.models.mlp.tangent_features`, <grad f_i, grad f_j> = sum_l (e_i . e_j)(h_i . h_j + bias) and
<theta, grad f_i> = sum_l e_i . z_i, z_l the pre-activation of layer l. Of any other network they are formed
(`core.diagnostics.jacobian`).
"""

import math
from dataclasses import dataclass

import torch
from scipy.optimize import nnls
from torch import Tensor

from core.diagnostics.jacobian import jacobian_products
from core.models.conv import Network
from core.models.mlp import MLP, TangentFeatures, tangent_features
from core.training.losses import signs

_ACTIVE = 1e-6   # a multiplier below this share of the largest counts as zero
_TOLERANCE = 1e-10
MOST_ROUNDS = 60


@dataclass(frozen=True)
class Stationarity:
    """min over lam >= 0 of ||theta - sum_i lam_i y_i grad f_i|| / ||theta||, and what belongs to it."""

    residual: float                  # in [0, 1]; 0 is a KKT point, 1 means that the samples explain nothing
    layer_residuals: dict[str, float]  # the same lam, each layer's part relative to that layer's norm
    alignments: dict[str, float]     # the same lam, cosine between a layer and its part of the sum; 1 at a KKT point
    multipliers: Tensor              # lam [N] >= 0, float64
    margin: float                    # min_i y_i f(x_i) / ||theta||^L, L the number of layers
    median_margin: float             # the median over i in its place
    norm: float                      # ||theta||

    @property
    def active(self) -> Tensor:
        """Indices of the samples with lam > 0: the support vectors, all that a KKT attack can see."""
        return torch.nonzero(self.multipliers > _ACTIVE * self.multipliers.max().clamp_min(1e-300)).flatten()


def stationarity(network: Network, x: Tensor, labels: Tensor, *, start: Tensor | None = None) -> Stationarity:
    """Measure `network` on images `x` [N, C, H, W] in [0, 1] with `labels` [N] in {0, 1}.

    `start` [N]: multipliers of an earlier call, which save work while training. One forward and backward pass in
    the network's precision and on its device; the products in float64 on the CPU (MPS has no float64). Weights so
    large that these overflow give NaN.
    """
    sign = signs(labels).cpu().double()
    logits, products = (factored_products if isinstance(network, MLP) else jacobian_products)(network, x)
    grams = [gram * sign[:, None] * sign for gram, _ in products]
    inner = [projection * sign for _, projection in products]
    norms = [sum(parameter.detach().cpu().double().square().sum().item() for parameter in layer.parameters())
             for layer in network.layers]
    total = sum(norms)
    if not torch.isfinite(sum(grams)).all():  # exploding weights; NaN in the curve says so and training goes on
        unknown = {f"layers.{index}": math.nan for index in range(len(norms))}
        return Stationarity(math.nan, unknown, unknown, torch.zeros(len(sign), dtype=torch.float64), math.nan, math.nan,
                            math.sqrt(total))
    lam = nonnegative_least_squares(sum(grams), sum(inner), start=start)
    parts = [max(0.0, norm - (2 * lam @ part - lam @ gram @ lam).item())
             for norm, part, gram in zip(norms, inner, grams, strict=True)]
    # cos(theta_l, s_l) for s_l = sum_i lam_i y_i grad_l f_i, from <theta_l, s_l> and ||s_l||^2.
    cosines = [(lam @ part).item() / math.sqrt(norm * square) if norm and (square := (lam @ gram @ lam).item()) > 0
               else 0.0 for norm, part, gram in zip(norms, inner, grams, strict=True)]
    margins = sign * logits.cpu().double() / (total ** (len(norms) / 2) if total else 1.0)
    return Stationarity(
        residual=math.sqrt(sum(parts) / total) if total else 1.0,
        layer_residuals={f"layers.{index}": math.sqrt(part / norm) if norm else 0.0
                         for index, (part, norm) in enumerate(zip(parts, norms, strict=True))},
        alignments={f"layers.{index}": cosine for index, cosine in enumerate(cosines)}, multipliers=lam,
        margin=margins.min().item(), median_margin=margins.median().item(), norm=math.sqrt(total))


def factored_products(network: MLP, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Logits [N], and by layer its share of <grad f_i, grad f_j> [N, N] and of <theta, grad f_i> [N], in float64."""
    features = tangent_features(network, x)
    return features.logits, [_layer_products(features, index, network) for index in range(len(network.layers))]


def _layer_products(features: TangentFeatures, index: int, network: MLP) -> tuple[Tensor, Tensor]:
    layer = network.layers[index]
    signal = features.signals[index].cpu().double()
    inputs = features.inputs[index].cpu().double()
    similarity = inputs @ inputs.T
    if layer.bias is not None:
        similarity += 1.0  # the bias is a weight on a constant input 1
    hidden = index < len(network.layers) - 1
    outputs = (features.preactivations[index] if hidden else features.logits[:, None]).cpu().double()
    return (signal @ signal.T) * similarity, (signal * outputs).sum(1)


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
