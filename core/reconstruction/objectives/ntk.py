"""Stationarity in the NTK regime: an update as a sum of tangent features at the base weights.

After T steps of gradient descent near theta_0, with g_i(t) = dL/df(x_i) and k_i = -sum_t lr g_i(t),

    theta_T - theta_0 = sum_i k_i grad f(x_i; theta_0)        (the tangent-kernel form of Loo et al. 2024)

Full fine-tuning releases each layer's part itself: [dW_l | db_l] = sum_i k_i e_{l,i} (h_{l,i}, 1)^T. An
adapter releases it through its factors: with peft's initialisation (B = 0) and A nearly constant,
B_l / scaling = sum_i k_i e_{l,i} (A_l h_{l,i})^T, exactly so at T = 1; with A = 0 and B drawn the other way round,
A_l / scaling = sum_i k_i (B_l^T e_{l,i}) h_{l,i}^T. The update scaling * B A is never multiplied out.
Terms are relative residuals by layer (see `low_rank_target` beside it); the value is their mean.

Features at both ends (``features="both"``). Further from theta_0 features turn while training, and Loo et al.
2024 explain the update by features at theta_0 and at theta_T together, each with coefficients of its own. Here
both share them, k_i / 2 each: the trapezoidal rule for the sum over the steps, no further unknowns, and the
coefficients keep their meaning (a known k_i stays usable). At T = 1 the base alone is exact.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from core.host.compute import Compute
from core.io.errors import InputError
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.low_rank_target import LowRankTarget
from core.reconstruction.objectives.protocol import Evaluation
from core.reconstruction.objectives.surrogate import OfSurrogate, Surrogate, SurrogateFeatures
from core.threat.observation import Update
from core.threat.spectrum import noise_floor, spectrum

EXACT = float("inf")


@dataclass(frozen=True)
class _Side:
    """From a layer's input h [..., n_in], or its signal e [..., n_out], to the factor of its part of the update, and
    back."""

    through: Tensor | None   # [r, n_in] or [r, n_out] of an adapter; None is the identity
    bias: bool = False       # append the constant 1, whose coefficient is the bias

    def factor(self, h: Tensor) -> Tensor:
        z = h if self.through is None else h @ self.through.T
        return torch.cat([z, torch.ones_like(z[..., :1])], dim=-1) if self.bias else z

    def pull_back(self, grad_z: Tensor) -> Tensor:
        grad_z = grad_z[..., :-1] if self.bias else grad_z
        return grad_z if self.through is None else grad_z @ self.through


class NTKStationarity(OfSurrogate):
    """Objective on an update for N samples; raises `InputError` where nothing can be explained."""

    recordable = True

    def __init__(self, observation: Update, *, samples: int, whitening: float, compute: Compute,
                 features: str = "base") -> None:
        networks = [observation.network]
        if features == "both":
            networks.append(observation.composed().network)
        self.compute = compute
        # theta_0, and theta_T where features are taken at both ends.
        self.surrogates = [Surrogate(copy.deepcopy(network).to(dtype=compute.dtype).to(device=compute.device))
                           for network in networks]
        self.surrogate = self.surrogates[0]
        self.lefts: dict[int, _Side] = {}
        self.rights: dict[int, _Side] = {}
        self.targets: dict[int, LowRankTarget] = {}
        self._first_factor: Tensor | None = None
        self._confines = False
        for name in observation.layers:
            level, update, stored = int(name.split(".")[1]), observation.layer_update(name), observation.matrix(name)
            if update is None:
                continue  # a layer that was not trained says nothing
            noise = max(noise_floor(stored), observation.rounding(name) / float(spectrum(stored)[0]))
            self.lefts[level] = _Side(None if update.left is None else compute.place(update.left))
            self.rights[level] = _Side(compute.place(update.A) if update.cut else None, bias=update.with_bias)
            if level == 0:
                self._first_factor = update.A if update.cut else None
                # Blends of more samples than the rank hold a part of their span only; r of them may be of more.
                known = observation.threat.samples is not None
                self._confines = update.left is None or samples < len(update.left) + known
            self.targets[level] = LowRankTarget(update.B, most=samples, noise=noise, whitening=whitening,
                                                compute=compute)
        if not self.targets:
            raise InputError("adapter: every B is zero, so the update is empty and nothing can be reconstructed; name "
                             "an adapter saved after training.")

    def evaluate(self, candidate: Candidate, *, relu_alpha: float | Tensor) -> Evaluation:
        features = self._features(candidate, relu_alpha)
        k = signed(candidate)
        terms: dict[str, Tensor] = {}
        grad_inputs: list[dict[int, Tensor]] = [{} for _ in features]
        grad_signals: list[dict[int, Tensor]] = [{} for _ in features]
        grad_k = torch.zeros_like(k)
        ends, share = len(features), 1 / len(self.targets)
        for level, target in self.targets.items():
            part = target.evaluate(*self._factors(level, features, k))
            terms[f"layers.{level}"] = part.residual
            grad_k += share / ends * sum(part.grad_k.chunk(ends, dim=-1))
            for end, (grad_e, grad_z) in enumerate(zip(part.grad_e.chunk(ends, dim=-2),
                                                       part.grad_z.chunk(ends, dim=-2), strict=True)):
                grad_signals[end][level] = share * self.lefts[level].pull_back(grad_e)
                grad_inputs[end][level] = share * self.rights[level].pull_back(grad_z)
        grad_x = torch.stack([surrogate.pull_back(at, inputs, signals) for surrogate, at, inputs, signals in
                              zip(self.surrogates, features, grad_inputs, grad_signals, strict=True)]).sum(0)
        value = torch.stack(list(terms.values())).mean(0)
        return Evaluation(value, terms, grad_x.view_as(candidate.x), grad_k * k)  # d/dlog(lam) = k d/dk

    def residuals(self, candidate: Candidate) -> dict[str, Tensor]:
        parts = self._exact(self._features(candidate, EXACT), signed(candidate))
        terms = {f"residual.layers.{level}": part for level, part in parts.items()}
        return {"residual": torch.stack(list(terms.values())).mean(0), **terms}

    def gates(self, candidate: Candidate) -> list[Tensor]:
        return [gate > 0 for gate in self.surrogate.features(candidate.x, relu_alpha=EXACT).gates]

    def best_common_lam(self, candidate: Candidate) -> Tensor:
        """The lam > 0, the same for all samples of a restart, that explains most: [R]. A start for the search."""
        # The residual is quadratic in a common factor: 1 - 2 b s + q s^2, read off at two factors.
        scale = max(target.scale for target in self.targets.values())
        features = self._features(candidate, EXACT)
        direction = signed(candidate) / candidate.lam * scale
        one, two = (torch.stack(list(self._exact(features, factor * direction).values())).mean(0) - 1
                    for factor in (1.0, 2.0))
        q, b = (two - 2 * one) / 2, (two - 4 * one) / 4
        return self.compute.place((b / q).clamp(min=1e-4) * scale)

    def allowed_inputs(self) -> tuple[Tensor, Tensor] | None:
        """Orthonormal bases of the centred inputs that the first layer's update allows, float64 on the CPU.

        A h_i lies in the row span V of B_0. The first basis [D, K] spans A^+ V; the second [D, D - r] spans
        what A does not see, and is empty at full rank and for full fine-tuning, where V itself is the span: there V
        is that of the update's rows, as it is of A's rows where A began at zero.
        None where the first layer was not trained, or its rank is below the samples whose blends it holds.
        """
        if not self._confines:
            return None
        V, A = self.targets[0].row_span, self._first_factor
        if A is None:
            V = V[:-1] if self.rights[0].bias else V
            return torch.linalg.qr(V)[0], V.new_zeros(len(V), 0)
        _, S, Wh = torch.linalg.svd(A, full_matrices=True)
        rank = int((S[0] * 1e-9 < S).sum())
        seen = torch.linalg.lstsq(A, V, driver="gelsd").solution
        return torch.linalg.qr(seen)[0], Wh[rank:].T

    def _features(self, candidate: Candidate, relu_alpha: float | Tensor) -> list[SurrogateFeatures]:
        return [surrogate.features(candidate.x, relu_alpha=relu_alpha) for surrogate in self.surrogates]

    def _factors(self, level: int, features: list[SurrogateFeatures], k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients [R, N], left factors [R, N, n_out], right factors [R, N, r]; 2N of each at both ends."""
        k, e, z = ([k / len(features)] * len(features),
                   [self.lefts[level].factor(end.signals[level]) for end in features],
                   [self.rights[level].factor(end.inputs[level]) for end in features])
        return (k[0], e[0], z[0]) if len(features) == 1 else (torch.cat(k, -1), torch.cat(e, -2), torch.cat(z, -2))

    def _exact(self, features: list[SurrogateFeatures], k: Tensor) -> dict[int, Tensor]:
        return {level: target.residual(*self._factors(level, features, k)) for level, target in self.targets.items()}


def signed(candidate: Candidate) -> Tensor:
    """k [R, N]: gradient descent moves a logit towards its label, so the label is the sign of k."""
    return torch.where(candidate.labels > 0, candidate.lam, -candidate.lam)
