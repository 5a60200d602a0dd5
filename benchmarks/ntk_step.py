"""Time of one NTK attack step against the plain double-backward reference, as ratios in one run.

    python -m benchmarks.ntk_step

The victim is a random 784-1000-1000-1 network with a full-rank adapter of N = 2 samples: the arithmetic
does not depend on what was trained. `reference` is float64 autograd with the update multiplied out
(`benchmarks.reference`). The last line is JSON: {"ratio_vs_reference": reference / ours at one restart,
"restarts_16_vs_1": time of 16 restarts in one batch over that of one}.
"""

import json
import os
import time
from collections.abc import Callable
from statistics import median

import torch

from benchmarks.reference import ntk_value
from core.artifacts.factors import Factors
from core.host.compute import choose
from core.models.mlp import MLP, tangent_features
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.ntk import NTKStationarity
from core.reconstruction.priors.penalties import Box
from core.reconstruction.solvers.first_order import Adam
from core.reconstruction.solvers.initial import draw_start
from core.reconstruction.solvers.plan import Plan
from core.reconstruction.solvers.search_space import row_space
from core.reconstruction.solvers.solve import solve
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta

SAMPLES, RANK, STEPS = 2, 1000, 50


def victim() -> AdapterDelta:
    """float64, at random, with pre-activations of the size of a trained network's."""
    generator = torch.Generator().manual_seed(0)
    network = MLP([784, 1000, 1000, 1]).double().requires_grad_(False)
    for layer in network.layers:
        layer.weight.normal_(0, 1.4 * layer.in_features**-0.5, generator=generator)
    x = torch.rand(SAMPLES, 1, 28, 28, generator=generator, dtype=torch.float64)
    features, k = tangent_features(network, x), torch.tensor([[1e-4], [-1e-4]], dtype=torch.float64)
    layers = {}
    for index in (0, 1):
        h, e = features.inputs[index], features.signals[index]
        A = torch.randn(RANK, h.shape[1], generator=generator, dtype=torch.float64) * h.shape[1] ** -0.5
        layers[f"layers.{index}"] = Factors(A, (k * e).T @ (h @ A.T), 1.0)
    return AdapterDelta(network, layers, ThreatModel(samples=SAMPLES, labels=torch.tensor([1, 0])))


def seconds_a_step(work: Callable[[], None], *, steps: int, repeats: int = 5) -> float:
    """Median over repeats; the first call warms up and is not counted."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) / steps)
    return median(times)


def main() -> None:
    compute = choose()
    observation = victim()
    objective = NTKStationarity(observation, samples=SAMPLES, whitening=1.0, compute=compute)
    space = row_space(objective, compute=compute)
    plan = Plan(iterations=STEPS, lr_x=0.02, lr_lam=0.05, lr_schedule="cosine", relu_alpha_start=20.0,
                relu_alpha_end=50_000.0, record_every=25)

    def batch(restarts: int) -> float:
        start = draw_start(objective, space, samples=SAMPLES, restarts=restarts, labels=observation.threat.labels,
                           coefficients=None, init_scale=0.3, seed=0, compute=compute)
        return seconds_a_step(lambda: solve(objective, [Box(1.0)], space=space, start=start, method=Adam(), plan=plan),
                              steps=STEPS)

    x = torch.rand(1, SAMPLES, 1, 28, 28, dtype=torch.float64, requires_grad=True)
    lam = torch.full((1, SAMPLES), 1e-4, dtype=torch.float64, requires_grad=True)
    candidate = Candidate(x, observation.threat.labels[None], lam)

    def reference() -> None:
        value = ntk_value(observation, candidate, samples=SAMPLES, whitening=0.0, relu_alpha=100.0)
        torch.autograd.grad(value.sum(), [x, lam])

    times = {restarts: batch(restarts) for restarts in (1, 4, 16)}
    plain = seconds_a_step(reference, steps=1)
    print(f"{compute.describe()}, {torch.get_num_threads()} of {os.cpu_count()} cores, N = {SAMPLES}, rank {RANK}")
    print(f"reference, 1 restart: {1e3 * plain:.1f} ms a step")
    for restarts, value in times.items():
        print(f"ours, {restarts:2d} restart{'s' if restarts > 1 else ' '}: {1e3 * value:.1f} ms a step")
    print(json.dumps({"ratio_vs_reference": round(plain / times[1], 2),
                      "restarts_16_vs_1": round(times[16] / times[1], 2)}))


if __name__ == "__main__":
    main()
