"""The programme of the algebraic attack by three interior-point methods: ours, Clarabel's and PIQP's.

    pip install clarabel piqp
    python -m benchmarks.programme_solvers [--base FILE] [--ranks 1,8,64] [--seed 0] [--solvers own,clarabel,piqp]

Victims are one private digit, one SGD step, plain peft adapters on the two hidden layers of a base trained with the
default config (or named), attacked released-only. The attack runs once with each solver in the place of
`core.reconstruction.algebraic.programme.solve_programme`, everything else alike. Both libraries get the quadratic
programme in (v, y, p, s): y = sqrt(w) (E v - b), |differences of x| <= p, G v + g + s >= 0 and s >= 0, sparse, with
their own scaling, and our tolerance of each call for the duality gap. Printed for each call: CPU seconds of the process
(one thread), the objective reached, from v alone, and iterations; then the attack's SSIM. The last line is JSON.
"""

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from core.cli.launch import run_here
from core.config.finetune import FinetuneConfig
from core.config.knob import RunConfig
from core.config.pretrain import PretrainConfig
from core.reconstruction.algebraic import recovery
from core.reconstruction.algebraic.programme import Programme, Solution, solve_programme, variation
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.store import RunStore

Solver = Callable[..., Solution]


class Quadratic:
    """min 1/2 z^T P z + q^T z  subject to  equal z = right,  inequal z <= most,  z over (v, y, p, s)."""

    def __init__(self, problem: Programme) -> None:
        D = problem.E.shape[1] - 1
        index = np.arange(D).reshape(problem.shape)
        first = np.concatenate([index[:, :, 1:].ravel(), index[:, 1:].ravel()])
        second = np.concatenate([index[:, :, :-1].ravel(), index[:, :-1].ravel()])
        K, J, edges = len(problem.b), len(problem.g), len(first)
        root = problem.weights.sqrt()[:, None].numpy()
        E, b = root * problem.E.numpy(), root[:, 0] * problem.b.numpy()
        step = np.ones(edges)
        B = sparse.coo_matrix((np.concatenate([step, -step]), (np.tile(np.arange(edges), 2),
                                                              np.concatenate([first, second]))), (edges, D + 1))
        no, eye = sparse.coo_matrix, sparse.identity
        self.P = sparse.block_diag([no((D + 1, D + 1)), eye(K), no((edges + J, edges + J))]).tocsc()
        self.q = np.concatenate([problem.cost.numpy(), np.zeros(K), np.full(edges, problem.tv),
                                 np.full(J, problem.sign_weight)])
        self.equal = sparse.hstack([sparse.csc_matrix(E), -eye(K), no((K, edges + J))]).tocsc()
        self.right = b
        self.inequal = sparse.vstack([
            sparse.hstack([B, no((edges, K)), -eye(edges), no((edges, J))]),
            sparse.hstack([-B, no((edges, K)), -eye(edges), no((edges, J))]),
            sparse.hstack([sparse.csc_matrix(-problem.G.numpy()), no((J, K + edges)), -eye(J)])]).tocsc()
        self.most = np.concatenate([np.zeros(2 * edges), problem.g.numpy()])
        self.low = np.concatenate([np.zeros(D + 1), np.full(K + edges, -np.inf), np.zeros(J)])
        self.high = np.concatenate([np.ones(D), np.full(1 + K + edges + J, np.inf)])


def clarabel(problem: Programme, *, tolerance: float, **_: object) -> Solution:
    import clarabel as library

    form, D = Quadratic(problem), problem.E.shape[1] - 1
    bounded, capped = np.flatnonzero(form.low > -np.inf), np.flatnonzero(form.high < np.inf)
    eye = sparse.identity(len(form.q)).tocsr()
    rows = sparse.vstack([form.equal, form.inequal, -eye[bounded], eye[capped]]).tocsc()
    right = np.concatenate([form.right, form.most, -form.low[bounded], form.high[capped]])
    settings = library.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs, settings.tol_gap_rel, settings.tol_feas = tolerance, 1e-6, 1e-6
    found = library.DefaultSolver(form.P, form.q, rows, right, [
        library.ZeroConeT(len(form.right)), library.NonnegativeConeT(len(right) - len(form.right))], settings).solve()
    dual = np.asarray(found.z)[len(form.right) + len(form.most):]
    return _solution(problem, np.asarray(found.x)[:D + 1], dual[:D], found.iterations,
                     str(found.status) in ("Solved", "AlmostSolved"))


def piqp(problem: Programme, *, tolerance: float, **_: object) -> Solution:
    import piqp as library

    form, D = Quadratic(problem), problem.E.shape[1] - 1
    solver = library.SparseSolver()
    solver.settings.verbose = False
    solver.settings.eps_abs, solver.settings.eps_rel = 1e-6, 1e-6
    solver.settings.check_duality_gap = True
    solver.settings.eps_duality_gap_abs, solver.settings.eps_duality_gap_rel = tolerance, 1e-6
    least = np.full(len(form.most), -np.inf)
    solver.setup(form.P, form.q, form.equal, form.right, form.inequal, least, form.most, form.low, form.high)
    status = solver.solve()
    return _solution(problem, solver.result.x[:D + 1], solver.result.z_bl[:D], solver.result.info.iter,
                     status == library.PIQP_SOLVED)


def _solution(problem: Programme, v: np.ndarray, bound: np.ndarray, iterations: int, converged: bool) -> Solution:
    found = torch.tensor(v, dtype=torch.float64)
    found[:-1].clamp_(0, 1)
    slack = float((-(problem.G @ found + problem.g)).clamp(min=0).sum())
    return Solution(found, slack, torch.tensor(bound, dtype=torch.float64), iterations, converged)


SOLVERS: dict[str, Solver] = {"own": solve_programme, "clarabel": clarabel, "piqp": piqp}


def objective(problem: Programme, v: torch.Tensor) -> float:
    rest = problem.E @ v - problem.b
    violated = float((-(problem.G @ v + problem.g)).clamp(min=0).sum())
    return float(problem.cost @ v + 0.5 * (problem.weights * rest.square()).sum()) + problem.sign_weight * violated \
        + problem.tv * variation(v[:-1], problem.shape)


@contextlib.contextmanager
def solving_by(solver: Solver) -> Iterator[list[dict]]:
    """The attack's programmes go to `solver`; gives what each call took and reached."""
    calls: list[dict] = []

    def watched(problem: Programme, **options: object) -> Solution:
        began = time.process_time()
        found = solver(problem, **options)
        calls.append({"seconds": round(time.process_time() - began, 2), "objective": objective(problem, found.v),
                      "iterations": found.iterations, "converged": found.converged})
        return found

    recovery.solve_programme = watched
    try:
        yield calls
    finally:
        recovery.solve_programme = solve_programme


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", help="a checkpoint file")
    parser.add_argument("--ranks", default="1,8,64")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--solvers", default=",".join(SOLVERS))
    chosen = parser.parse_args()
    table: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(folder)
        base = Path(chosen.base).absolute() if chosen.base else \
            _run(store, PretrainConfig()).file("result.safetensors")
        for rank in map(int, chosen.ranks.split(",")):
            victim = _run(store, FinetuneConfig(base=str(base), samples=1, rank=rank, seed=chosen.seed))
            for name in chosen.solvers.split(","):
                with solving_by(SOLVERS[name]) as calls:
                    attack = _run(store, AttackConfig(finetune=victim.id, method="algebraic",
                                                      threat="released-only"))
                score = json.loads(attack.file("report.json").read_text())["score"]
                table.setdefault(str(rank), {})[name] = {"ssim": round(score["mean_ssim"], 3), "calls": calls}
                for call in calls:
                    print(f"rank {rank:3d} {name:9s} {call['seconds']:7.2f} s, objective {call['objective']:.6g}, "
                          f"{call['iterations']} iterations{'' if call['converged'] else ', not converged'}")
                print(f"rank {rank:3d} {name:9s} SSIM {score['mean_ssim']:.3f}", flush=True)
    print(json.dumps(table))


def _run(store: RunStore, config: RunConfig) -> Run:
    run = store.create(config)
    if run_here(run) != 0:
        raise SystemExit(f"{config.kind} failed: {run.status().message}")
    return run


if __name__ == "__main__":
    main()
