"""The one loop of all first-order attacks.

It owns the order of things: change of plan, halving, gradient, look, end, step, checkpoint. Schedules (`plan`), the
batch (`search`), best iterates (`best`) and what is recorded (`watch`) are pieces beside it; an objective and an
update rule know nothing of these.
"""

import time
from collections.abc import Callable

from core.config.monitor import Monitor, Silent
from core.reconstruction.objectives.protocol import Objective
from core.reconstruction.priors.penalties import Penalty
from core.reconstruction.solvers.gradient import GradientOf
from core.reconstruction.solvers.initial import Start
from core.reconstruction.solvers.plan import Plan
from core.reconstruction.solvers.protocol import FirstOrder, Reconstruction, Status
from core.reconstruction.solvers.search import Search
from core.reconstruction.solvers.search_space import SearchSpace
from core.reconstruction.solvers.watch import Watch

CHECKPOINT_SECONDS = 5.0


def solve(objective: Objective, penalties: list[Penalty], *, space: SearchSpace, start: Start, method: FirstOrder,
          plan: Plan, monitor: Monitor | None = None,
          retune: Callable[[int], tuple[Plan, list[Penalty]] | None] | None = None) -> Reconstruction:
    """Minimise objective + penalties over `space` from `start`, all restarts as one batch.

    Restarts are ranked by the exact residual alone. Continues from the monitor's checkpoint where there is one; the
    result is that of an uninterrupted run. `retune` is asked at each step, and may give another plan and other
    penalties from there on, of the same length and space.
    """
    monitor = monitor or Silent()
    search = Search(space, start, method, signed_lam=plan.lambda_space == "linear")
    if (saved := monitor.load_checkpoint()) is not None:
        search.restore(*saved)
    earlier, began, saved_at = search.seconds, time.monotonic(), time.monotonic()
    watch, gradient_of = Watch(objective, plan, monitor), GradientOf(objective, monitor)
    status = None
    while status is None:
        search.seconds = earlier + time.monotonic() - began
        if retune is not None and search.step < plan.iterations and (other := retune(search.step)) is not None:
            plan, penalties = other
            watch.plan = plan
        if search.halvings < plan.halvings(search.step):
            search.halve(objective.residuals(search.candidate)["residual"])
        gradient = gradient_of(search.candidate, penalties, plan.annealed(search.step))
        due = search.step % plan.record_every == 0 or search.step == plan.iterations
        if due and search.looked < search.step:
            status = watch.look(search, gradient.evaluation, penalties)
        if search.step >= plan.iterations:
            status = status or Status.ITERATIONS
        elif monitor.should_stop():
            status = Status.STOPPED
        elif search.seconds >= plan.max_seconds:
            status = Status.TIME_LIMIT
        if status is not None:
            break
        search.advance(gradient, plan)
        monitor.progress(search.step, plan.iterations)
        if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            saved_at = time.monotonic()
            monitor.save_checkpoint(search.tensors(), search.meta())
    if status in (Status.STOPPED, Status.TIME_LIMIT):
        search.keep_best(objective.residuals(search.candidate)["residual"])
        monitor.save_checkpoint(search.tensors(), search.meta())
    best = search.best
    return Reconstruction(best.candidate, objective.residuals(best.candidate), best.winner, status, search.step,
                          search.seconds, best.dead)
