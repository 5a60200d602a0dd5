"""A step replayed from a recording: what a CUDA graph does, with torch.fx as the recorder on a machine without a GPU.

Both record the kernels of one call and run them again on other numbers. So a recording shows whatever a CUDA graph
would get wrong: a branch on a value, a number baked in, a look at a tensor that a device would have to be waited for.
"""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from core.artifacts.factors import Factors
from core.config.monitor import Silent
from core.host.compute import Compute
from core.models.mlp import MLP
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.kkt import KKTStationarity
from core.reconstruction.objectives.naive import NaiveConfidence
from core.reconstruction.objectives.ntk import NTKStationarity
from core.reconstruction.priors.penalties import Box, MinLambda, Penalty, Sparsity, TotalVariation
from core.reconstruction.solvers.first_order import Adam
from core.reconstruction.solvers.gradient import GradientOf, gradient
from core.reconstruction.solvers.initial import Start
from core.reconstruction.solvers.plan import Plan
from core.reconstruction.solvers.search_space import pixels
from core.reconstruction.solvers.solve import solve
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta, TrainedWeights

FLOAT64 = Compute(torch.device("cpu"), torch.float64)
KINDS = ["kkt", "kkt, by matrix", "kkt, hard margin", "kkt, soft margin", "naive", "ntk", "ntk, both ends"]
LOOKS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default}


class NeverLooks(TorchDispatchMode):
    """Raises where a value is read off a tensor: on a GPU everything before it would have to be waited for."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        assert function not in LOOKS, f"{function} waits for the device"
        return function(*arguments, **(options or {}))


class Recordings:
    """torch.fx in the place of CUDA; counts what it made and what was replayed."""

    def __init__(self) -> None:
        self.made, self.replayed = 0, 0

    def __call__(self, function, arguments):
        self.made += 1
        recorded = make_fx(function)(*arguments)

        def replay():
            self.replayed += 1
            return recorded(*arguments)

        return replay


def random_network(outputs: int) -> MLP:
    generator = torch.Generator().manual_seed(2)
    network = MLP([36, 14, 11, outputs], image_shape=(1, 6, 6)).double().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.5, generator=generator)
    return network


def objective(kind: str, monkeypatch):
    if kind.startswith("ntk"):
        generator = torch.Generator().manual_seed(3)
        layers = {f"layers.{level}": Factors(torch.randn(4, n_in, generator=generator, dtype=torch.float64),
                                             torch.randn(n_out, 4, generator=generator, dtype=torch.float64), 1.0)
                  for level, (n_in, n_out) in enumerate([(36, 14), (14, 11), (11, 1)])}
        delta = AdapterDelta(network=random_network(1), threat=ThreatModel(), layers=layers)
        return NTKStationarity(delta, samples=5, whitening=1.0, compute=FLOAT64,
                               features="both" if "both" in kind else "base")
    if kind == "kkt, by matrix":
        monkeypatch.setattr(KKTStationarity, "_matrix_is_cheaper", lambda *_: True)
    trained = TrainedWeights(random_network(3 if "margin" in kind else 1), ThreatModel())
    if kind == "naive":
        return NaiveConfidence(trained, compute=FLOAT64)
    return KKTStationarity(trained, compute=FLOAT64, margin="soft" if "soft" in kind else "hard")


def candidate(seed: int, restarts: int = 3) -> Candidate:
    generator = torch.Generator().manual_seed(seed)
    return Candidate(torch.rand(restarts, 5, 1, 6, 6, generator=generator, dtype=torch.float64) * 1.4 - 0.2,
                     torch.tensor([[0, 1, 0, 1, 1]]).expand(restarts, 5),
                     torch.rand(restarts, 5, generator=generator, dtype=torch.float64) + 0.1)


def penalties(box: float = 2.0) -> list[Penalty]:
    return [Box(box), MinLambda(3.0, 0.5), TotalVariation(0.1), Sparsity(0.0)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_gives_what_the_step_gives(kind, monkeypatch):
    of, recordings = objective(kind, monkeypatch), Recordings()
    recorded, weights = GradientOf(of, Silent(), record=recordings), penalties()
    first = candidate(0)
    for seed, alpha in enumerate((5.0, 40.0, 300.0)):  # other images and another surrogate, not recorded anew
        other = candidate(seed)
        at = Candidate(other.x, first.labels, other.lam)
        got, expected = recorded(at, weights, {"relu_alpha": alpha}), gradient(of, weights, at, {"relu_alpha": alpha})
        assert torch.allclose(got.evaluation.value, expected.evaluation.value, rtol=1e-12)
        assert torch.allclose(got.x, expected.x, rtol=1e-12)
        assert torch.allclose(got.log_lam, expected.log_lam, rtol=1e-12)
        assert got.evaluation.terms.keys() == expected.evaluation.terms.keys()
    assert (recordings.made, recordings.replayed) == (1, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_never_waits_for_the_device(kind, monkeypatch):
    of, at = objective(kind, monkeypatch), candidate(0)
    with NeverLooks():
        gradient(of, penalties(), at, {"relu_alpha": 5.0})
        gradient(of, penalties(), at, {"relu_alpha": float("inf")})
        gradient(of, penalties(), at, {"relu_alpha": torch.tensor(5.0, dtype=torch.float64)})
        with pytest.raises(AssertionError, match="waits"):
            float(at.lam.sum())


def test_what_changes_is_recorded_anew(monkeypatch):
    of, recordings = objective("kkt", monkeypatch), Recordings()
    recorded, weights, at = GradientOf(of, Silent(), record=recordings), penalties(), candidate(0)
    for made, (batch, present, alpha) in enumerate([(at, weights, 5.0), (at, weights, float("inf")),
                                                    (at, penalties(box=7.0), 5.0),
                                                    (candidate(1, restarts=2), weights, 5.0)], start=1):
        got = recorded(batch, present, {"relu_alpha": alpha})
        expected = gradient(of, present, batch, {"relu_alpha": alpha})
        assert torch.allclose(got.x, expected.x, rtol=1e-12)
        assert torch.allclose(got.log_lam, expected.log_lam, rtol=1e-12)
        assert recordings.made == made


def test_where_nothing_can_be_recorded_the_step_is_taken_all_the_same(monkeypatch):
    lines = []

    class Log(Silent):
        def log(self, message):
            lines.append(message)

    def refuse(function, arguments):
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    of, at = objective("kkt", monkeypatch), candidate(0)
    step = GradientOf(of, Log(), record=refuse)
    for _ in range(2):
        expected = gradient(of, penalties(), at, {"relu_alpha": 5.0})
        assert torch.equal(step(at, penalties(), {"relu_alpha": 5.0}).x, expected.x)
    assert lines == ["The step could not be recorded as a CUDA graph and is launched piece by piece: "
                     "CUDA error: operation not permitted when stream is capturing"]


def test_a_search_with_halving_and_turned_knobs_goes_the_same_way_recorded(monkeypatch):
    of, recordings = objective("kkt", monkeypatch), Recordings()
    plan = Plan(iterations=40, lr_x=0.05, lr_lam=0.05, lr_schedule="cosine", relu_alpha_start=5.0,
                relu_alpha_end=500.0, record_every=10, halving=True)
    at = candidate(0, restarts=4)
    start = Start(at.x.flatten(2), at.labels, at.lam)

    def search():
        return solve(of, penalties(), space=pixels(torch.zeros(1, 6, 6).double()), start=start, method=Adam(),
                     plan=plan, retune=lambda step: (plan, penalties(box=9.0)) if step == 30 else None)

    plain = search()
    monkeypatch.setattr("core.reconstruction.solvers.solve.GradientOf",
                        lambda of, monitor: GradientOf(of, monitor, record=recordings))
    recorded = search()
    assert recordings.made == 5  # at the start, at each of three halvings, and for the other box
    assert recordings.replayed == 41
    assert torch.allclose(recorded.candidate.x, plain.candidate.x, rtol=1e-9)
    assert torch.allclose(recorded.candidate.lam, plain.candidate.lam, rtol=1e-9)
