"""The loop, on objectives whose answer is known."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from core.config.monitor import Silent
from core.reconstruction.candidate import Candidate
from core.reconstruction.objectives.protocol import Evaluation
from core.reconstruction.priors.penalties import Box, MinLambda
from core.reconstruction.solvers.first_order import SGD, Adam
from core.reconstruction.solvers.initial import Start
from core.reconstruction.solvers.plan import Plan
from core.reconstruction.solvers.protocol import Status
from core.reconstruction.solvers.search_space import pixels
from core.reconstruction.solvers.solve import solve

TARGET = torch.linspace(0.1, 0.9, 4).view(1, 1, 1, 2, 2)


class Bowl:
    """Distance to a known image, and of lam to 1; NaN for restarts whose first pixel exceeds `poison`."""

    def __init__(self, poison: float = float("inf")) -> None:
        self.poison = poison

    def value(self, candidate: Candidate) -> torch.Tensor:
        value = (candidate.x - TARGET).square().sum((1, 2, 3, 4)) + candidate.lam.log().square().sum(1)
        return torch.where(candidate.x[:, 0, 0, 0, 0] > self.poison, torch.nan, value)

    def evaluate(self, candidate: Candidate, *, relu_alpha: float) -> Evaluation:
        poisoned = (candidate.x[:, :1, :1, :1, :1] > self.poison)
        grad = torch.where(poisoned, torch.nan, 2 * (candidate.x - TARGET))
        value = self.value(candidate)
        return Evaluation(value, {"layers.0": value}, grad, 2 * candidate.lam.log())

    def residuals(self, candidate: Candidate) -> dict[str, torch.Tensor]:
        return {"residual": self.value(candidate).double()}

    def gates(self, candidate: Candidate) -> list[torch.Tensor]:
        return [candidate.x.flatten(2) > 0.5]


class Notes(Silent):
    """Remembers rows, snapshots and the checkpoint; asks to stop after a number of steps."""

    def __init__(self, stop_after: int | None = None, saved=None) -> None:
        self.rows, self.snaps, self.saved, self.stop_after, self.steps = [], [], saved, stop_after, 0
        self.switched = {}

    def progress(self, step, total):
        self.steps += 1

    def record(self, step, **values):
        self.rows.append({"step": step, **values})

    def snapshot(self, step, images, *, restarts=None, numbers=()):
        self.snaps.append((step, images))

    def gates(self, step, switched):
        self.switched[step] = switched["layers.0"]

    def should_stop(self):
        return self.stop_after is not None and self.steps >= self.stop_after

    def save_checkpoint(self, tensors, meta):
        self.saved = ({name: tensor.clone() for name, tensor in tensors.items()}, dict(meta))

    def load_checkpoint(self):
        return self.saved


SPACE = pixels(torch.zeros(1, 2, 2))


def start(restarts: int = 3, seed: int = 0) -> Start:
    x = torch.rand(restarts, 1, 4, generator=torch.Generator().manual_seed(seed))
    return Start(x, torch.ones(restarts, 1, dtype=torch.long), torch.full((restarts, 1), 0.5))


PLAN = Plan(iterations=300, lr_x=0.05, lr_lam=0.05, lr_schedule="cosine", relu_alpha_start=20.0, relu_alpha_end=500.0,
            record_every=10)


@pytest.mark.parametrize("method", [Adam(), SGD(momentum=0.5)])
def test_finds_the_known_answer(method):
    notes = Notes()
    found = solve(Bowl(), [Box(1.0)], space=SPACE, start=start(), method=method, plan=PLAN, monitor=notes)
    assert found.status is Status.ITERATIONS
    assert found.iterations == 300
    assert torch.allclose(found.x, TARGET[0], atol=1e-3)
    assert torch.allclose(found.candidate.lam, torch.ones(3, 1), atol=1e-2)
    assert [row["step"] for row in notes.rows] == list(range(0, 301, 10))
    assert notes.snaps[-1][0] == 300
    assert set(notes.rows[-1]) >= {"loss", "residual", "box", "relu_alpha", "coefficients", "restart_losses",
                                   "flips.layers.0"}


def test_known_coefficients_stay():
    found = solve(Bowl(), [], space=SPACE, start=start(), method=Adam(), plan=replace(PLAN, fixed_lam=True))
    assert torch.equal(found.candidate.lam, start().lam)


def test_stop_then_resume_is_the_uninterrupted_run():
    whole = solve(Bowl(), [Box(1.0)], space=SPACE, start=start(), method=Adam(), plan=PLAN)
    notes = Notes(stop_after=137)
    first = solve(Bowl(), [Box(1.0)], space=SPACE, start=start(), method=Adam(), plan=PLAN, monitor=notes)
    assert first.status is Status.STOPPED
    assert first.iterations == 137
    second = solve(Bowl(), [Box(1.0)], space=SPACE, start=start(seed=5), method=Adam(), plan=PLAN,
                   monitor=Notes(saved=notes.saved))
    assert second.iterations == 300
    assert torch.equal(second.candidate.x, whole.candidate.x)
    assert torch.equal(second.candidate.lam, whole.candidate.lam)


def test_the_best_iterate_survives_a_search_that_gets_worse():
    """A constant step size far too large overshoots: what was best on the way is returned."""
    wild = replace(PLAN, lr_x=1.2, lr_schedule="constant", iterations=40, record_every=1)
    notes = Notes()
    found = solve(Bowl(), [], space=SPACE, start=start(), method=SGD(momentum=0.0), plan=wild, monitor=notes)
    seen = [min(row["restart_losses"]) for row in notes.rows]
    assert found.residuals["residual"].min().item() == pytest.approx(min(seen))
    assert min(seen) < seen[-1]


def test_a_restart_that_becomes_non_finite_is_left_out_and_reported():
    initial = start()
    initial.coordinates[1, 0, 0] = 5.0
    found = solve(Bowl(poison=4.0), [], space=SPACE, start=initial, method=Adam(), plan=PLAN)
    assert found.diverged == [1]
    assert found.best != 1
    assert torch.allclose(found.x, TARGET[0], atol=1e-3)


def test_all_restarts_non_finite_is_a_typed_status():
    found = solve(Bowl(poison=-1.0), [], space=SPACE, start=start(), method=Adam(), plan=PLAN)
    assert found.status is Status.DIVERGED
    assert found.candidate.x.isfinite().all()


def test_tolerance_and_time_limit_end_early():
    assert solve(Bowl(), [], space=SPACE, start=start(), method=Adam(), plan=replace(PLAN, tolerance=0.05)).status \
        is Status.CONVERGED
    late = solve(Bowl(), [], space=SPACE, start=start(), method=Adam(), plan=replace(PLAN, max_seconds=0.0))
    assert late.status is Status.TIME_LIMIT
    assert late.iterations == 0


def test_a_long_run_keeps_few_snapshots_most_of_them_early():
    notes = Notes()
    solve(Bowl(), [], space=SPACE, start=start(), method=Adam(), plan=replace(PLAN, iterations=1000, record_every=1),
          monitor=notes)
    steps = [step for step, _ in notes.snaps]
    assert len(steps) <= 150
    assert steps[:5] == [0, 1, 2, 3, 4]
    assert steps[-1] == 1000
    assert 985 <= steps[-2] < 1000
    assert len(notes.rows) == 1001


def test_gates_that_switched_since_the_last_snapshot_are_shown():
    notes = Notes()
    solve(Bowl(), [], space=SPACE, start=start(restarts=1), method=Adam(), plan=PLAN, monitor=notes)
    pictured = [(step, images.flatten(1) > 0.5) for step, images in notes.snaps]
    assert list(notes.switched) == [step for step, _ in pictured[1:]]
    for (_, before), (step, after) in itertools.pairwise(pictured):
        assert torch.equal(notes.switched[step], before != after)
    assert any(pairs.any() for pairs in notes.switched.values())


def test_a_penalty_on_the_multipliers_moves_them_and_is_reported():
    """The bowl alone wants lam = 1; the last row shows where log^2 lam and w (2 - lam)+^2 balance."""
    notes, weight = Notes(), 5.0
    solve(Bowl(), [MinLambda(weight, 2.0)], space=SPACE, start=start(), method=Adam(), plan=PLAN, monitor=notes)
    lam = notes.rows[-1]["coefficients"][0]
    assert lam > 1.5
    assert math.log(lam) == pytest.approx(weight * lam * (2 - lam), rel=1e-2)
    assert notes.rows[0]["min_lambda"] == pytest.approx(weight * 1.5**2)


HALVED = replace(PLAN, halving=True)


def test_halving_leaves_the_worse_restarts_and_changes_nothing_of_the_others():
    notes, all_along = Notes(), Notes()
    found = solve(Bowl(), [], space=SPACE, start=start(restarts=8), method=Adam(), plan=HALVED, monitor=notes)
    whole = solve(Bowl(), [], space=SPACE, start=start(restarts=8), method=Adam(), plan=PLAN, monitor=all_along)
    counts = {row["step"]: sum(loss is not None for loss in row["restart_losses"]) for row in notes.rows}
    assert (counts[30], counts[40], counts[70], counts[80], counts[150], counts[300]) == (8, 4, 4, 2, 2, 2)
    stay = [index for index, loss in enumerate(notes.rows[-1]["restart_losses"]) if loss is not None]
    assert found.best in stay
    assert torch.equal(found.candidate.x[stay], whole.candidate.x[stay])
    at_first = solve(Bowl(), [], space=SPACE, start=start(restarts=8), method=Adam(), monitor=Notes(stop_after=38),
                     plan=replace(PLAN, record_every=1)).residuals["residual"]
    kept = [index for index, loss in enumerate(notes.rows[4]["restart_losses"]) if loss is not None]
    assert sorted(kept) == sorted(at_first.argsort()[:4].tolist())
    assert found.residuals["residual"][at_first.argmax()] <= at_first.max()  # at the best it reached


@pytest.mark.parametrize("stop", [38, 60, 75, 200])
def test_a_halved_search_resumes_as_if_never_stopped(stop):
    whole = solve(Bowl(), [], space=SPACE, start=start(restarts=8), method=Adam(), plan=HALVED)
    notes = Notes(stop_after=stop)
    solve(Bowl(), [], space=SPACE, start=start(restarts=8), method=Adam(), plan=HALVED, monitor=notes)
    second = solve(Bowl(), [], space=SPACE, start=start(restarts=8), method=Adam(), plan=HALVED,
                   monitor=Notes(saved=notes.saved))
    assert torch.equal(second.candidate.x, whole.candidate.x)
    assert second.best == whole.best


def test_a_restart_that_died_is_the_first_to_leave():
    initial = start(restarts=4)
    initial.coordinates[0, 0, 0] = 5.0
    notes = Notes()
    found = solve(Bowl(poison=4.0), [], space=SPACE, start=initial, method=Adam(), plan=HALVED, monitor=notes)
    assert found.diverged == [0]
    assert notes.rows[-1]["restart_losses"][0] is None
