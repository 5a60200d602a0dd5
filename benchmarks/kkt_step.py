"""Time of one KKT attack step against the plain double-backward reference, as ratios in one run.

    python -m benchmarks.kkt_step

The victim is a random 784-1000-1000-1 network with a bias in the first layer: the arithmetic does not depend on
what was trained. A step is the objective with its gradients, the penalties and Adam's update. Ours is timed inside
`solve`, with everything that it does besides and its look at the exact residual every 25 steps; `reference` is
the same step in float64 as the published code takes it, and nothing else (`benchmarks.reference`). Both run on the
GPU where there is one, and ours takes float32 products by the library that a run would choose, which the second line
names (`core.host.products`). They take turns, and each time is the least of its rounds, the one that other work on
the machine disturbed least. The last line is JSON:
{"ratio_vs_reference": reference / ours by the number of candidates, both over pixels; "ratio_confined": the same
reference over ours as the attack runs by default, confined to the span of the first layer's samples (as many as
candidates, 500 for 1,000, drawn at random here); "restarts_16_vs_1": time of 16 restarts of 20 candidates in one
batch over that of one, over pixels}.
"""

import copy
import json
import os
import time

import torch

from benchmarks.reference import kkt_steps
from core.config.monitor import Silent
from core.host.compute import choose
from core.host.products import choose_products, using
from core.models.mlp import MLP
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.kkt import KKTStationarity
from core.reconstruction.priors.penalties import Box, MinLambda
from core.reconstruction.solvers.first_order import Adam
from core.reconstruction.solvers.initial import Start, draw_start
from core.reconstruction.solvers.plan import Plan
from core.reconstruction.solvers.search_space import SearchSpace, pixels, row_space
from core.reconstruction.solvers.solve import solve
from core.threat.model import ThreatModel
from core.threat.observation import TrainedWeights

CANDIDATES = (2, 20, 100, 1000)
MOST_SAMPLES = 500
RECORD_EVERY, ROUNDS = 25, 4
BOX, LAMBDA, MIN_LAMBDA, LR_X, LR_LAM, ALPHA = 1.0, 5.0, 0.1, 0.05, 0.05, 150.0


class _Stopwatch(Silent):
    """Notes when the first and the last step ended."""

    def __init__(self) -> None:
        self.ended: list[float] = []

    def progress(self, step: int, total: int) -> None:
        if step in (1, total):
            self.ended.append(_now())


def _now() -> float:
    """Seconds, once the device has nothing left to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def victim() -> MLP:
    """float64, at random, with pre-activations of the size of a trained network's."""
    generator = torch.Generator().manual_seed(0)
    network = MLP([784, 1000, 1000, 1]).double().requires_grad_(False)
    for layer in network.layers:
        layer.weight.normal_(0, 1.4 * layer.in_features**-0.5, generator=generator)
    network.layers[0].bias.normal_(0, 0.05, generator=generator)
    return network


class Comparison:
    """Ours and the reference at one number of candidates, from the same start; `span`: ours in so many dimensions."""

    def __init__(self, network: MLP, *, candidates: int, restarts: int = 1, span: int | None = None) -> None:
        compute = choose()
        generator = torch.Generator().manual_seed(1)
        basis = None if span is None else torch.linalg.qr(torch.randn(784, span, generator=generator).double())[0]
        self.objective = KKTStationarity(TrainedWeights(network, ThreatModel()), compute=compute,
                                         residual="published", basis=basis)
        self.space: SearchSpace = (pixels(self.objective.input_mean) if span is None else
                                   row_space(self.objective, compute=compute))
        self.start: Start = draw_start(self.objective, self.space, samples=candidates, restarts=restarts,
                                       labels=torch.arange(candidates) % 2, coefficients=None, init_scale=0.3, seed=0,
                                       compute=compute)
        images = self.space.images(self.start.coordinates).double()
        self.step, _ = kkt_steps(copy.deepcopy(network).to(compute.device),
                                 Candidate(images, self.start.labels, self.start.lam.double()), relu_alpha=ALPHA,
                                 box_weight=BOX, lambda_weight=LAMBDA, min_lambda=MIN_LAMBDA, lr_x=LR_X, lr_lam=LR_LAM)

    def ours(self) -> float:
        """Seconds a step, over as many steps as hold one look; the first step and the looks at both ends are out."""
        watch = _Stopwatch()
        plan = Plan(iterations=RECORD_EVERY + 1, lr_x=LR_X, lr_lam=LR_LAM, lr_schedule="cosine",
                    relu_alpha_start=ALPHA, relu_alpha_end=ALPHA, record_every=RECORD_EVERY)
        solve(self.objective, [Box(BOX), MinLambda(LAMBDA, MIN_LAMBDA)], space=self.space, start=self.start,
              method=Adam(), plan=plan, monitor=watch)
        return (watch.ended[-1] - watch.ended[0]) / RECORD_EVERY

    def reference(self, steps: int = 3) -> float:
        began = _now()
        for _ in range(steps):
            self.step()
        return (_now() - began) / steps


def main() -> None:
    print(f"{choose().describe()}, {torch.get_num_threads()} threads on {os.cpu_count()} cores")
    products = choose_products(choose())
    print(products.reason)
    with using(products):
        compare(victim())


def compare(network: MLP) -> None:
    ratios, confined_ratios = {}, {}
    for candidates in CANDIDATES:
        pair = Comparison(network, candidates=candidates)
        confined = Comparison(network, candidates=candidates, span=min(candidates, MOST_SAMPLES))
        pair.ours(), confined.ours(), pair.reference()  # warm up
        times = [(pair.ours(), confined.ours(), pair.reference()) for _ in range(ROUNDS)]
        ours, inside, plain = (min(column) for column in zip(*times, strict=True))
        ratios[str(candidates)], confined_ratios[str(candidates)] = round(plain / ours, 2), round(plain / inside, 2)
        print(f"{candidates:4d} candidates: reference {1e3 * plain:.1f}, ours {1e3 * ours:.1f}, confined "
              f"{1e3 * inside:.1f} ms a step", flush=True)
    one, many = Comparison(network, candidates=20), Comparison(network, candidates=20, restarts=16)
    one.ours(), many.ours()
    times = [(one.ours(), many.ours()) for _ in range(ROUNDS)]
    single, batch = (min(column) for column in zip(*times, strict=True))
    print(f"  20 candidates: 1 restart {1e3 * single:.1f}, 16 restarts {1e3 * batch:.1f} ms a step")
    print(json.dumps({"ratio_vs_reference": ratios, "ratio_confined": confined_ratios,
                      "restarts_16_vs_1": round(batch / single, 2)}))


if __name__ == "__main__":
    main()
