"""The naive baseline of Haim et al. 2022: images of which a trained network is most sure.

    L(x) = mean of f(x_i) over y_i = -1  -  mean of f(x_i) over y_i = +1

plus the penalties on pixels. No KKT equation and no multipliers: lam has no gradient here. What it finds are inputs
that excite the network, not the samples that formed it; a reconstruction must be better than this.
"""

import copy

import torch
from torch import Tensor

from core.host.compute import Compute
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.ntk import EXACT
from core.reconstruction.objectives.protocol import Evaluation
from core.reconstruction.objectives.surrogate import OfSurrogate, Surrogate
from core.threat.input_span import input_span
from core.threat.observation import TrainedWeights


class NaiveConfidence(OfSurrogate):
    """Objective on `TrainedWeights` in the place of `core.reconstruction.objectives.kkt.KKTStationarity`."""

    recordable = True

    def __init__(self, observation: TrainedWeights, *, compute: Compute) -> None:
        self.surrogate = Surrogate(copy.deepcopy(observation.network).to(dtype=compute.dtype).to(device=compute.device))
        self._first = observation.network.layers[0]

    def evaluate(self, candidate: Candidate, *, relu_alpha: float | Tensor) -> Evaluation:
        features = self.surrogate.features(candidate.x, relu_alpha=relu_alpha)
        share = self._share(candidate)
        value = -(share * self._logits(features.inputs[-1])).sum(-1)
        # d f / d h of the last layer is its weight; the gates below are the surrogate's
        last = len(self.surrogate.weights) - 1
        grad = self.surrogate.pull_back(features, {last: -share[..., None] * self.surrogate.weights[-1][0]}, {})
        return Evaluation(value, {"logits": value}, grad.view_as(candidate.x), torch.zeros_like(candidate.lam))

    def residuals(self, candidate: Candidate) -> dict[str, Tensor]:
        """The network's own mean loss on the candidates: like the value it falls with the logits, but not below 0."""
        return {"residual": torch.nn.functional.softplus(-self.margins(candidate)).mean(-1)}

    def margins(self, candidate: Candidate) -> Tensor:
        """y_i f(x_i), [R, N] float64 on the CPU."""
        features = self.surrogate.features(candidate.x, relu_alpha=EXACT)
        return self._logits(features.inputs[-1]).cpu().double() * _signs(candidate).cpu().double()

    def importance(self, candidate: Candidate) -> Tensor:
        """How sure the network is of each candidate: [R, N]."""
        return self.margins(candidate)

    def gates(self, candidate: Candidate) -> list[Tensor]:
        return [gate > 0 for gate in self.surrogate.features(candidate.x, relu_alpha=EXACT).gates]

    def allowed_inputs(self) -> tuple[Tensor, Tensor] | None:
        """As `core.reconstruction.objectives.kkt.KKTStationarity.allowed_inputs`."""
        span = input_span(self._first.weight, self._first.bias)
        return None if span is None else (span.basis, span.basis[:, :0])

    def _logits(self, h: Tensor) -> Tensor:
        return torch.nn.functional.linear(h, self.surrogate.weights[-1], self.surrogate.biases[-1])[..., 0]

    def _share(self, candidate: Candidate) -> Tensor:
        """y_i / (candidates of that class), [R, N] where the objective computes: a mean over each class."""
        signs = _signs(candidate)
        counts = (signs[..., :, None] == signs[..., None, :]).sum(-1)
        return signs / counts


def _signs(candidate: Candidate) -> Tensor:
    return (candidate.labels * 2 - 1).to(candidate.x)
