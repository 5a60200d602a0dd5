"""Stationarity in the NTK regime: a LoRA update as a sum of tangent features at the base weights.

After T steps of gradient descent near theta_0, with g_i(t) = dL/df(x_i) and k_i = -sum_t lr g_i(t),

    theta_T - theta_0 = sum_i k_i grad f(x_i; theta_0)        (the tangent-kernel form of Loo et al. 2024)

An adapter releases each layer's part through its factors: with peft's initialisation (B = 0) and A
nearly constant, B_l / scaling = sum_i k_i e_{l,i} (A_l h_{l,i})^T, exactly so at T = 1. The update
scaling * B A is never multiplied out. Terms are relative residuals by layer (see
`core.objectives.low_rank_target`); the value is their mean.
"""

import copy

import torch
from torch import Tensor

from core.candidate import Candidate
from core.compute import Compute
from core.errors import InputError
from core.objectives.low_rank_target import LowRankTarget
from core.objectives.protocol import Evaluation
from core.objectives.surrogate import Surrogate, SurrogateFeatures
from core.threat.observation import AdapterDelta
from core.threat.spectrum import noise_floor

EXACT = float("inf")


class NTKStationarity:
    """Objective on an `AdapterDelta` for N samples; raises `InputError` where nothing can be explained."""

    def __init__(self, observation: AdapterDelta, *, samples: int, whitening: float, compute: Compute) -> None:
        network = observation.network
        self.compute = compute
        self.surrogate = Surrogate(copy.deepcopy(network).to(dtype=compute.dtype).to(device=compute.device))
        self.projections: dict[int, Tensor] = {}
        self.targets: dict[int, LowRankTarget] = {}
        for name, factors in observation.layers.items():
            if not factors.B.any():
                continue  # a layer that was not trained says nothing
            level = int(name.split(".")[1])
            self.projections[level] = compute.place(factors.A)
            if level == 0:
                self._first_factor = factors.A.cpu().double()
            self.targets[level] = LowRankTarget(factors.B.double() / factors.scaling, most=samples,
                                                noise=noise_floor(factors.B), whitening=whitening, compute=compute)
        if not self.targets:
            raise InputError("adapter: every B is zero, so the update is empty and nothing can be reconstructed; name "
                             "an adapter saved after training.")

    def evaluate(self, candidate: Candidate, *, relu_alpha: float) -> Evaluation:
        features = self.surrogate.features(candidate.x, relu_alpha=relu_alpha)
        k = signed(candidate)
        terms: dict[str, Tensor] = {}
        grad_inputs: dict[int, Tensor] = {}
        grad_signals: dict[int, Tensor] = {}
        grad_k = torch.zeros_like(k)
        share = 1 / len(self.targets)
        for level, target in self.targets.items():
            A = self.projections[level]
            part = target.evaluate(k, features.signals[level], features.inputs[level] @ A.T)
            terms[f"layers.{level}"] = part.residual
            grad_signals[level] = share * part.grad_e
            grad_inputs[level] = share * (part.grad_z @ A)
            grad_k += share * part.grad_k
        grad_x = self.surrogate.pull_back(features, grad_inputs, grad_signals)
        value = torch.stack(list(terms.values())).mean(0)
        return Evaluation(value, terms, grad_x.view_as(candidate.x), grad_k * k)  # d/dlog(lam) = k d/dk

    def residuals(self, candidate: Candidate) -> dict[str, Tensor]:
        features = self.surrogate.features(candidate.x, relu_alpha=EXACT)
        terms = {f"residual.layers.{level}": part for level, part in self._exact(features, signed(candidate)).items()}
        return {"residual": torch.stack(list(terms.values())).mean(0), **terms}

    def gates(self, candidate: Candidate) -> list[Tensor]:
        return [gate > 0 for gate in self.surrogate.features(candidate.x, relu_alpha=EXACT).gates]

    def best_common_lam(self, candidate: Candidate) -> Tensor:
        """The lam > 0, the same for all samples of a restart, that explains most: [R]. A start for the search."""
        # The residual is quadratic in a common factor: 1 - 2 b s + q s^2, read off at two factors.
        scale = max(target.scale for target in self.targets.values())
        features = self.surrogate.features(candidate.x, relu_alpha=EXACT)
        direction = signed(candidate) / candidate.lam * scale
        one, two = (torch.stack(list(self._exact(features, factor * direction).values())).mean(0) - 1
                    for factor in (1.0, 2.0))
        q, b = (two - 2 * one) / 2, (two - 4 * one) / 4
        return self.compute.place((b / q).clamp(min=1e-4) * scale)

    def allowed_inputs(self) -> tuple[Tensor, Tensor] | None:
        """Orthonormal bases of the centred inputs that the first adapter allows, float64 on the CPU.

        A h_i lies in the row span V of B_0. The first basis [D, K] spans A^+ V; the second [D, D - r] spans
        what A does not see, and is empty at full rank. None where the first layer has no adapter.
        """
        if 0 not in self.targets:
            return None
        A, V = self._first_factor, self.targets[0].row_span
        _, S, Wh = torch.linalg.svd(A, full_matrices=True)
        rank = int((S[0] * 1e-9 < S).sum())
        seen = torch.linalg.lstsq(A, V, driver="gelsd").solution
        return torch.linalg.qr(seen)[0], Wh[rank:].T

    def _exact(self, features: SurrogateFeatures, k: Tensor) -> dict[int, Tensor]:
        return {level: target.residual(k, features.signals[level], features.inputs[level] @ self.projections[level].T)
                for level, target in self.targets.items()}


def signed(candidate: Candidate) -> Tensor:
    """k [R, N]: gradient descent moves a logit towards its label, so the label is the sign of k."""
    return torch.where(candidate.labels > 0, candidate.lam, -candidate.lam)
