"""Stationarity of a trained network: its weights as a sum of its own tangent features (Haim et al. 2022).

A homogeneous network trained to a small loss nears a KKT point of the maximum-margin problem, where every
parameter is a combination of the samples' gradients there (Lyu and Li 2020; Haim et al. 2022):

    theta = sum_i k_i grad f(x_i; theta),    k_i = y_i lam_i / N,  lam_i >= 0,  N the number of candidates

(1/N as in the published code: lam stays near 1 whatever the number of candidates). With C >= 2 outputs and labels in
0 … C-1 (Buzaglo et al. 2023) the margin takes the place of f, and k_i = lam_i / N:

    theta = sum_i k_i grad [f_{y_i}(x_i) - max_{j != y_i} f_j(x_i)]

or, with `margin` "soft", the sum that a cross-entropy with weight decay leaves (`core.models.margin`). A layer
with its bias is the matrix M_l = [W_l | b_l], and a feature is e_i [h_i; 1]^T, so that

    ||M_l - sum_i k_i e_i [h_i; 1]^T||^2 = ||M_l||^2 - 2 sum_i k_i e_i . z_i + sum_ij k_i k_j (e_i . e_j)(h_i . h_j + 1)

with z_i = W_l h_i + b_l, the pre-activation: for few candidates no matrix of the size of a layer is formed. For
many, and for the last layer with its one row, it is cheaper to form what is left, D_l = M_l - sum_i k_i e_i [h_i; 1]^T.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from core.host.compute import Compute
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.layers import layer_weights, squared_norms
from core.reconstruction.objectives.ntk import EXACT, signed
from core.reconstruction.objectives.protocol import Evaluation
from core.reconstruction.objectives.surrogate import OfSurrogate, Surrogate, SurrogateFeatures
from core.threat.input_span import input_span
from core.threat.observation import TrainedWeights


@dataclass(frozen=True)
class _Products:
    """One layer's share: its relative residual is 1 - 2 linear + quadratic."""

    gram_e: Tensor   # [R, N, N]
    gram_h: Tensor   # [R, N, N], the bias' constant input included
    cross: Tensor    # [R, N], e_i . z_i: of each feature with the layer's weights
    mixed: Tensor    # [R, N], of each feature with the whole sum


class KKTStationarity(OfSurrogate):
    """Objective on `TrainedWeights`; raises `InputError` where there is nothing to explain.

    `residual` weighs the layers. "relative": each by its own norm, the mean of the layers. "published": the
    unscaled sum, in which layers count by their squared norm; its value is then no share, but `residuals` are.
    `layers` limits it to some layers, ``layers.i``; None takes all. `basis` [D, K], orthonormal: the candidates'
    centred images will lie in its span, so that the first layer's products are of K columns. `margin`, "hard" or
    "soft", counts with several outputs only.
    """

    recordable = True

    def __init__(self, observation: TrainedWeights, *, compute: Compute, residual: str = "relative",
                 layers: list[str] | None = None, basis: Tensor | None = None, margin: str = "hard") -> None:
        network = observation.network
        self.compute, self.soft, self.several = compute, margin == "soft", network.outputs > 1
        norms = squared_norms(network)
        weights = layer_weights(norms, residual=residual, layers=layers)
        self.levels = [level for level, name in enumerate(norms) if name in weights]
        self.surrogate = Surrogate(copy.deepcopy(network).to(dtype=compute.dtype).to(device=compute.device),
                                   basis=None if basis is None else compute.place(basis))
        self._exact_weights = [layer.weight.detach().cpu().double() for layer in network.layers]
        self._exact_biases = [None if layer.bias is None else layer.bias.detach().cpu().double()
                              for layer in network.layers]
        self._norms = list(norms.values())
        self._basis = basis
        self._outside = [0.0] * len(self._norms)  # what of a layer's square no candidate can reach
        if basis is not None:
            whole = self._exact_weights[0]
            self._exact_weights[0] = whole @ basis
            self._outside[0] = float(whole.square().sum() - self._exact_weights[0].square().sum())
        self.weights = dict(zip(self.levels, weights.values(), strict=True))

    @property
    def homogeneous(self) -> bool:
        """Biases beyond the first layer break the identity: theta is then no sum of features, however trained."""
        return all(bias is None for bias in self._exact_biases[1:])

    def evaluate(self, candidate: Candidate, *, relu_alpha: float | Tensor) -> Evaluation:
        features = self._features(candidate, relu_alpha=relu_alpha)
        k = self._signed(candidate) / candidate.lam.shape[1]
        terms: dict[str, Tensor] = {}
        grad_inputs: dict[int, Tensor] = {}
        grad_signals: dict[int, Tensor] = {}
        grad_preactivations: dict[int, Tensor] = {}
        grad_k = torch.zeros_like(k)
        for level in self.levels:
            if self._matrix_is_cheaper(level, k.shape[1]):
                relative, slope_k, grad_inputs[level], grad_signals[level] = self._by_matrix(features, k, level)
            else:
                (relative, slope_k, grad_inputs[level], grad_signals[level],
                 grad_preactivations[level]) = self._by_products(features, k, level)
            terms[f"layers.{level}"] = self.weights[level] * relative
            grad_k += slope_k
        grad_x = self.surrogate.pull_back(features, grad_inputs, grad_signals, grad_preactivations)
        value = torch.stack(list(terms.values())).sum(0)
        return Evaluation(value, terms, grad_x.view_as(candidate.x), grad_k * k)  # d/dlog(lam) = k d/dk

    def _matrix_is_cheaper(self, level: int, candidates: int) -> bool:
        """By multiplications: 4 products with [N, N] matrices against 3 with [n_out, n_in]."""
        n_out, n_in = self.surrogate.weights[level].shape
        return 2 * candidates * (n_in + n_out) > 3 * n_in * n_out

    def _by_products(self, features: SurrogateFeatures, k: Tensor,
                     level: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """A layer's relative residual [R] and its weighed gradients for k, h, e and z."""
        e, h, z = features.signals[level], features.inputs[level], self._preactivation(features, level)
        at = _products(k, e, h, (e * z).sum(-1), self.surrogate.biases[level] is not None)
        scale = 2 * self.weights[level] / self._norms[level]
        pairs = k[..., :, None] * k[..., None, :]
        # e . z has a slope for z, which goes down with what the layers above send, in one product
        return (self._relative(k, at, level), scale * (at.mixed - at.cross), scale * ((pairs * at.gram_e) @ h),
                scale * ((pairs * at.gram_h) @ e - k[..., None] * z), -scale * k[..., None] * e)

    def _by_matrix(self, features: SurrogateFeatures, k: Tensor,
                   level: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same from what is left of the layer, D [R, n_out, n_in]; nothing cancels in its square."""
        e, h = features.signals[level], features.inputs[level]
        weight, bias = self.surrogate.weights[level], self.surrogate.biases[level]
        scale = 2 * self.weights[level] / self._norms[level]
        part = k[..., None] * e
        square, left, left_bias = _left(weight, bias, part, h)
        reached = h @ left.mT if left_bias is None else torch.baddbmm(left_bias[:, None].expand_as(e), h, left.mT)
        slope_k = -scale * (e * reached).sum(-1)
        return ((square + self._outside[level]) / self._norms[level], slope_k, part.mul_(-scale) @ left,
                reached.mul_(-scale * k[..., None]))

    def residuals(self, candidate: Candidate) -> dict[str, Tensor]:
        k = self._signed(candidate).cpu().double() / candidate.lam.shape[1]
        features = self._features(candidate)
        terms = {}
        for level in self.levels:
            e, h = features.signals[level].cpu().double(), features.inputs[level].cpu().double()
            if self._matrix_is_cheaper(level, k.shape[1]):
                square, *_ = _left(self._exact_weights[level], self._exact_biases[level], k[..., None] * e, h)
                terms[level] = (square + self._outside[level]) / self._norms[level]
            else:
                terms[level] = self._relative(k, self._exact_products(k, e, h, level), level).clamp(min=0)
        total = sum(self.weights.values())
        return {"residual": sum(self.weights[level] / total * term for level, term in terms.items()),
                **{f"residual.layers.{level}": term for level, term in terms.items()}}

    def gates(self, candidate: Candidate) -> list[Tensor]:
        return [gate > 0 for gate in self._features(candidate).gates]

    def best_common_lam(self, candidate: Candidate) -> Tensor:
        """The lam > 0, the same for all samples of a restart, that explains most: [R]. A start for the search."""
        k = self._signed(candidate).cpu().double().sign() / candidate.lam.shape[1]
        linear, quadratic = torch.zeros(len(k), dtype=k.dtype), torch.zeros(len(k), dtype=k.dtype)
        for level, at in self._exact(candidate, k=k).items():
            share = self.weights[level] / self._norms[level]
            linear += share * (k * at.cross).sum(-1)
            quadratic += share * (k * at.mixed).sum(-1)
        # 0 / 0 where no candidate reaches the output through any neuron
        return self.compute.place((linear / quadratic).nan_to_num(0.0).clamp(min=1e-2))

    def importance(self, candidate: Candidate) -> Tensor:
        """How much each candidate puts into the sum, |k_i| ||grad f(x_i)||, layers weighed as in the value: [R, N]."""
        parts = self._exact(candidate)
        squares = sum(self.weights[level] / self._norms[level] * (at.gram_e * at.gram_h).diagonal(dim1=-2, dim2=-1)
                      for level, at in parts.items())
        return squares.sqrt() * candidate.lam.cpu().double()

    def allowed_inputs(self) -> tuple[Tensor, Tensor] | None:
        """Orthonormal basis [D, K] of the inputs that the first layer carries, float64 on the CPU, and an empty one.

        A layer that began tiny ends in the span of its training inputs; None where its spectrum shows no gap.
        """
        if self._basis is not None:
            return self._basis, self._basis[:, :0]
        span = input_span(self._exact_weights[0], self._exact_biases[0])
        return None if span is None else (span.basis, span.basis[:, :0])

    def _features(self, candidate: Candidate, *, relu_alpha: float | Tensor = EXACT) -> SurrogateFeatures:
        return self.surrogate.features(candidate.x, relu_alpha=relu_alpha, labels=candidate.labels, soft=self.soft)

    def _signed(self, candidate: Candidate) -> Tensor:
        """k N: of several outputs the margin's direction holds the label."""
        return candidate.lam if self.several else signed(candidate)

    def _preactivation(self, features: SurrogateFeatures, level: int) -> Tensor:
        if level < len(features.preactivations):
            return features.preactivations[level]
        return torch.nn.functional.linear(features.inputs[level], self.surrogate.weights[level],
                                          self.surrogate.biases[level])

    def _exact(self, candidate: Candidate, *, k: Tensor | None = None) -> dict[int, _Products]:
        """Exact ReLU, the products in float64."""
        features = self._features(candidate)
        k = self._signed(candidate).cpu().double() / candidate.lam.shape[1] if k is None else k
        return {level: self._exact_products(k, features.signals[level].cpu().double(),
                                            features.inputs[level].cpu().double(), level) for level in self.levels}

    def _exact_products(self, k: Tensor, e: Tensor, h: Tensor, level: int) -> _Products:
        """In float64: the expanded square cancels near 0."""
        bias = self._exact_biases[level]
        z = torch.nn.functional.linear(h, self._exact_weights[level], bias)
        return _products(k, e, h, (e * z).sum(-1), bias is not None)

    def _relative(self, k: Tensor, at: _Products, level: int) -> Tensor:
        return 1 + (k * (at.mixed - 2 * at.cross)).sum(-1) / self._norms[level]


def _products(k: Tensor, e: Tensor, h: Tensor, cross: Tensor, has_bias: bool) -> _Products:
    gram_e, gram_h = e @ e.mT, h @ h.mT
    if has_bias:
        gram_h = gram_h + 1  # the bias is a weight on a constant input 1
    return _Products(gram_e, gram_h, cross, ((gram_e * gram_h) @ k[..., None])[..., 0])


def _left(weight: Tensor, bias: Tensor | None, part: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """What k_i e_i = `part` [R, N, n_out] leave of a layer: ||D||^2 [R], D [R, n_out, n_in] and its bias [R, n_out]."""
    left = torch.baddbmm(weight.expand(len(part), *weight.shape), part.mT, h, alpha=-1)
    square = left.flatten(1).square().sum(-1)
    if bias is None:
        return square, left, None
    left_bias = bias - part.sum(1)
    return square + left_bias.square().sum(-1), left, left_bias
