"""Stationarity of any trained ReLU network by autograd twice: the objective of `kkt` beside it, not written out.

    theta = sum_i k_i grad f(x_i; theta),    k_i = y_i lam_i / N,  lam_i >= 0        (Haim et al. 2022)

The sum is autograd's own gradient of sum_i k_i f(x_i) for the parameters; its distance from them is differentiated
once more, for the images and for k. The ReLU's derivative is sigmoid(alpha z) in both (`modified_relu`). It takes any
module whose forward maps images [N, C, H, W] to logits, [N] or [N, classes], and that has a buffer ``input_mean``
[C, H, W]; of several outputs the margin takes the place of y f (`core.models.margin`). On fully connected networks it
is slower than what is written out, and its reference.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad, grad_and_value, vmap
from torch.utils._pytree import tree_map

from core.host.compute import Compute
from core.io.errors import InputError
from core.models.homogeneous import homogeneous
from core.models.margin import hard_margin, soft_margin
from core.models.mlp import pixel_scale
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.layers import layer_weights, parameters_by_layer, squared_norms
from core.reconstruction.objectives.modified_relu import softened
from core.reconstruction.objectives.ntk import EXACT, signed
from core.reconstruction.objectives.protocol import Evaluation
from core.threat.observation import TrainedWeights

MOST_NUMBERS = 2**25  # of per-sample gradients at a time


class KKTAutograd:
    """Objective on `TrainedWeights` in the place of `kkt.KKTStationarity`, with the same options."""

    def __init__(self, observation: TrainedWeights, *, compute: Compute, residual: str = "relative",
                 layers: list[str] | None = None, margin: str = "hard") -> None:
        network = observation.network
        self.compute = compute
        self.margin = soft_margin if margin == "soft" else hard_margin
        self.homogeneous = homogeneous(network)
        self.network = copy.deepcopy(network).to(dtype=compute.dtype).to(device=compute.device).eval()
        self.network.requires_grad_(False)
        self.norms = squared_norms(network)
        self.weights = layer_weights(self.norms, residual=residual, layers=layers)
        self._names = {layer: names for layer, names in parameters_by_layer(network).items() if layer in self.weights}
        chosen = [name for names in self._names.values() for name in names]
        self._parameters = {name: self.network.get_parameter(name).detach() for name in chosen}
        self._exact = {name: network.get_parameter(name).detach().cpu().double() for name in chosen}
        self._check()

    @property
    def input_mean(self) -> Tensor:
        return self.network.input_mean

    @property
    def pixel_scale(self) -> Tensor:
        return pixel_scale(self.network)

    def evaluate(self, candidate: Candidate, *, relu_alpha: float) -> Evaluation:
        k = self._signed(candidate) / candidate.lam.shape[1]

        def value(x: Tensor, k: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            terms = self._relative(self._parameters, self._explained(x, k, labels))
            terms = {layer: self.weights[layer] * term for layer, term in terms.items()}
            return torch.stack(list(terms.values())).sum(), terms

        with softened(relu_alpha):
            slopes, (total, terms) = _each_restart(grad_and_value(value, (0, 1), has_aux=True), candidate.x, k,
                                                   candidate.labels)
        return Evaluation(total, terms, slopes[0], slopes[1] * k)  # d/dlog(lam) = k d/dk

    def residuals(self, candidate: Candidate) -> dict[str, Tensor]:
        terms = self._relative(self._exact, self._sums(candidate, self._signed(candidate) / candidate.lam.shape[1]))
        total = sum(self.weights.values())
        return {"residual": sum(self.weights[layer] / total * term for layer, term in terms.items()),
                **{f"residual.{layer}": term for layer, term in terms.items()}}

    def gates(self, candidate: Candidate) -> list[Tensor]:
        """By ReLU in the order of the calls, each [R, N, n]; n counts every place of a feature map."""
        preactivations: list[Tensor] = []
        with torch.no_grad(), softened(EXACT, preactivations):
            self.network(candidate.x.flatten(0, 1))
        return [(z > 0).reshape(*candidate.lam.shape, -1) for z in preactivations]

    def best_common_lam(self, candidate: Candidate) -> Tensor:
        """The lam > 0, the same for all samples of a restart, that explains most: [R]. A start for the search."""
        sums = self._sums(candidate, self._signed(candidate).sign() / candidate.lam.shape[1])
        linear, quadratic = torch.zeros_like(candidate.lam[:, 0]), torch.zeros_like(candidate.lam[:, 0])
        for layer, names in self._names.items():
            share = self.weights[layer] / self.norms[layer]
            linear += share * sum((self._exact[name] * sums[name]).flatten(1).sum(-1) for name in names)
            quadratic += share * sum(sums[name].square().flatten(1).sum(-1) for name in names)
        return self.compute.place((linear / quadratic).nan_to_num(0.0).clamp(min=1e-2))

    def importance(self, candidate: Candidate) -> Tensor:
        """How much each candidate puts into the sum, |k_i| ||grad f(x_i)||, layers weighed as in the value: [R, N]."""
        def size(x: Tensor, label: Tensor) -> Tensor:
            slopes = self._explained(x[None], torch.ones_like(x[:1, 0, 0]), label[None])
            return sum(self.weights[layer] / self.norms[layer] * sum(slopes[name].square().sum() for name in names)
                       for layer, names in self._names.items())

        numbers = sum(parameter.numel() for parameter in self._parameters.values())
        squares = vmap(size, chunk_size=max(1, MOST_NUMBERS // numbers))(candidate.x.flatten(0, 1),
                                                                                  candidate.labels.flatten())
        return squares.view(candidate.lam.shape).cpu().double().sqrt() * candidate.lam.cpu().double()

    def _signed(self, candidate: Candidate) -> Tensor:
        """k N: of several outputs the margin holds the label."""
        return candidate.lam if self.several else signed(candidate)

    def _explained(self, x: Tensor, k: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """sum_i k_i grad f(x_i) by parameter, for the images [N, C, H, W], k [N] and labels [N] of one restart."""
        def total(parameters: dict[str, Tensor]) -> Tensor:
            logits = functional_call(self.network, parameters, (x,))
            return (k * (self.margin(logits, labels) if self.several else logits)).sum()

        return grad(total)(self._parameters)

    def _sums(self, candidate: Candidate, k: Tensor) -> dict[str, Tensor]:
        """The same of all restarts with the exact ReLU, float64 on the CPU."""
        sums = _each_restart(self._explained, candidate.x, k, candidate.labels)
        return {name: part.cpu().double() for name, part in sums.items()}

    def _relative(self, parameters: dict[str, Tensor], sums: dict[str, Tensor]) -> dict[str, Tensor]:
        """||theta_l - sum_l||^2 / ||theta_l||^2 by layer, over whatever axes `sums` has in front."""
        def square(name: str) -> Tensor:
            axes = tuple(range(-parameters[name].ndim, 0))
            return (parameters[name] - sums[name]).square().sum(axes)

        return {layer: sum(square(name) for name in names) / self.norms[layer] for layer, names in self._names.items()}

    def _check(self) -> None:
        preactivations: list[Tensor] = []
        with torch.no_grad(), softened(EXACT, preactivations):
            logits = self.network(self.input_mean[None])
        if logits.shape != (1,) and (logits.ndim != 2 or logits.shape[1] < 2):
            raise InputError(f"checkpoint: the network maps one image to {list(logits.shape)}; one logit an image, or "
                             "one a class, is needed.")
        self.several = logits.ndim == 2
        if not preactivations:
            raise InputError("checkpoint: the network calls no ReLU, so that there is no activation pattern to search; "
                             "the KKT attack needs a ReLU network.")


def _each_restart(function: Callable[..., Any], *tensors: Tensor) -> Any:
    """`function` of each restart's part of `tensors` [R, ...], as one batch; what comes back has [R, ...] as well."""
    if len(tensors[0]) == 1:  # without the batch's overhead
        return tree_map(lambda part: part[None], function(*(tensor[0] for tensor in tensors)))
    return vmap(function)(*tensors)
