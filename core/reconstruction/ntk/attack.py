"""The attack in the NTK regime: search for images whose tangent features at the base add up to the update."""

import math
import time

import torch

from core.config.monitor import Monitor
from core.diagnostics.spectra import spectra
from core.host.compute import choose
from core.io.images import grid_png
from core.reconstruction.confidence import confidence, near_best, searched_facts
from core.reconstruction.ntk.knobs import ALPHAS, BOX, NTKKnobs
from core.reconstruction.ntk.limits import limits
from core.reconstruction.objectives.ntk import NTKStationarity, signed
from core.reconstruction.priors.penalties import Box, Penalty, Sparsity, TotalVariation
from core.reconstruction.result import AttackResult
from core.reconstruction.solvers.first_order import FIRST_ORDER
from core.reconstruction.solvers.initial import draw_start
from core.reconstruction.solvers.plan import Plan
from core.reconstruction.solvers.protocol import Reconstruction
from core.reconstruction.solvers.search_space import pixels, row_space
from core.reconstruction.solvers.solve import solve
from core.reconstruction.tuning import Setting, Tuning
from core.threat.observation import Update
from core.threat.spectrum import count_samples, tail

LOW_RANK_PRIOR = 1e-3  # measured at ranks 8 and 128: 1e-2 blurs, 0 leaves noise

EXPLAINED = 0.01       # in norm: with as many equations as pixels, less than that left determines the images
INSIDE = 1e-3          # mean distance of their pixels from [0, 1]


def reason(observation: Update) -> str:
    return (f"The released update is {observation.words}: the NTK objective explains it as a sum of tangent features "
            "at the base.")


def attack(observation: Update, config: NTKKnobs, monitor: Monitor, *, began: float) -> AttackResult:
    """Search with restarts and keep the one of smallest exact residual.

    `began` (of ``time.monotonic``) is when the run began: the time limit counts from there. A search that was
    stopped or timed out gives its best images so far.
    """
    compute = choose(device=config.device, precision=config.precision)
    samples, found_by = count(observation)
    monitor.log(f"Threat {observation.threat.level}. {found_by} {compute.describe()}, "
                f"{torch.get_num_threads()} threads.")
    objective = NTKStationarity(observation, samples=samples, whitening=config.whitening, compute=compute,
                                features=config.features)
    threat = observation.threat
    space = pixels(objective.input_mean) if config.search == "pixels" else \
        row_space(objective, compute=compute)
    start = draw_start(objective, space, samples=samples, restarts=config.restarts, labels=threat.labels,
                       coefficients=threat.coefficients, init_scale=config.init_scale, seed=config.seed,
                       compute=compute)
    seconds_left = (config.max_seconds or math.inf) - (time.monotonic() - began)
    tuning = Tuning(config, monitor, lambda config: setting(config, observation, seconds_left=seconds_left))
    reconstruction = solve(objective, tuning.setting.penalties, space=space, start=start,
                           method=FIRST_ORDER[config.optimizer](), plan=tuning.setting.plan, monitor=monitor,
                           retune=tuning)
    return _outcome(observation, reconstruction, samples, found_by)


def setting(config: NTKKnobs, observation: Update, *, seconds_left: float) -> Setting:
    """Plan, penalties, and the knobs that count in them."""
    alphas, fixed = config.alphas(ALPHAS), observation.threat.coefficients is not None
    plan = Plan(iterations=config.iterations, lr_x=config.lr_x, lr_lam=config.lr_coefficients,
                lr_schedule=config.lr_schedule, relu_alpha_start=alphas[0], relu_alpha_end=alphas[1], fixed_lam=fixed,
                tolerance=config.tolerance, record_every=config.record_every, max_seconds=seconds_left)
    found = penalties(config, observation)
    return Setting(plan, found, {
        "lr_x": config.lr_x, **({} if fixed else {"lr_coefficients": config.lr_coefficients}),
        "relu_alpha_start": alphas[0], "relu_alpha_end": alphas[1],
        **{f"{penalty.name}_weight": penalty.weight for penalty in found}})


def penalties(config: NTKKnobs, observation: Update) -> list[Penalty]:
    """The image priors matter where the linear measurements leave pixels open; at full rank they only blur."""
    rank = observation.rank("layers.0")
    determined = "layers.0" in observation.layers and (rank is None or rank >= observation.network.widths[0])
    default = 0.0 if determined else LOW_RANK_PRIOR
    tv, sparsity = (default if weight is None else weight for weight in (config.tv_weight, config.sparsity_weight))
    return [Box(config.box(BOX)), TotalVariation(tv), Sparsity(sparsity)]


def count(observation: Update) -> tuple[int, str]:
    """N and the sentence that says how it is known."""
    if observation.threat.samples is not None:
        return observation.threat.samples, f"N = {observation.threat.samples} is known."
    found = count_samples(observation)
    return found.samples, found.explanation


def _outcome(observation: Update, reconstruction: Reconstruction, samples: int,
             found_by: str) -> AttackResult:
    best, candidate = reconstruction.best, reconstruction.candidate
    residual = reconstruction.residuals["residual"]
    order = residual.argsort().tolist()
    known = [settled(facts | {"tail": tail(observation, samples), "open": _open(observation)}) for facts in
             searched_facts(candidate, residual, best, observation.network.input_mean)]
    return AttackResult(
        reason=reason(observation), status=reconstruction.status, x=reconstruction.x,
        labels=candidate.labels[best], coefficients=signed(candidate)[best], samples_found_by=found_by,
        labels_found_by="known" if observation.threat.labels is not None else
        "smallest residual among the restarts' label patterns",
        confidence=confidence("ntk", known, reconstruction.status),
        residuals={name: float(value[best]) for name, value in reconstruction.residuals.items()},
        limits=limits(observation, reconstruction, samples=samples),
        facts={"iterations": reconstruction.iterations, "restarts": len(residual), "best_restart": best,
               "restarts_near_best": len(near_best(residual, best)), "spectrum": spectra(observation),
               "sample_facts": known},
        tensors={"x": candidate.x.float(), "labels": candidate.labels, "lam": candidate.lam, "residuals": residual,
                 "best": torch.tensor(best)},
        pictures={"restarts.png": grid_png(candidate.x[order].flatten(0, 1), columns=samples)})


def settled(facts: dict[str, float]) -> dict[str, float]:
    """The facts of a sample; what equations determine needs no second restart, and no mean to compare with.

    Under a mean that is not told, images that explain everything leave [0, 1].
    """
    exact = facts["open"] <= 1 and facts["unexplained"] < EXPLAINED and facts["outside"] < INSIDE
    return facts | ({"alone": 0.0, "unsaid": 0.0} if exact else {})


def _open(observation: Update) -> float:
    """Pixels by linear measurement of a sample; 1 where the whole first layer was released."""
    if "layers.0" in observation.layers and observation.rank("layers.0") is None:
        return 1.0
    ranks = [observation.rank(name) or 0 for name in observation.layers if len(observation.matrix(name)) > 1]
    return observation.network.input_mean.numel() / max(1, sum(ranks))
