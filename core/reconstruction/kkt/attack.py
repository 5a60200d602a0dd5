"""The attack on trained weights (Haim et al. 2022): images whose features at theta_T add up to theta_T itself.

It takes a checkpoint alone, or an update composed into its base: then the identity speaks of every sample that
formed the weights, the base's own training set first of all, and nothing here tells the private ones apart.
"""

import math
import time

import torch
from torch import Tensor

from core.config.monitor import Monitor
from core.host.compute import choose
from core.io.errors import InputError
from core.io.images import grid_png
from core.models.conv import Network
from core.reconstruction.candidate import Candidate
from core.reconstruction.confidence import confidence, near_best, searched_facts
from core.reconstruction.kkt.knobs import ALPHAS, BOX, KKTKnobs
from core.reconstruction.kkt.limits import ending, first_layer, limits
from core.reconstruction.kkt.objective import first_layer_span, weights_objective
from core.reconstruction.objectives.naive import NaiveConfidence
from core.reconstruction.objectives.ntk import EXACT, signed
from core.reconstruction.objectives.protocol import NeedsHomogeneity, Ranking
from core.reconstruction.priors.penalties import Box, MinLambda, Penalty, Sparsity, TotalVariation
from core.reconstruction.result import AttackResult
from core.reconstruction.solvers.first_order import FIRST_ORDER
from core.reconstruction.solvers.initial import draw_start
from core.reconstruction.solvers.plan import Plan
from core.reconstruction.solvers.protocol import Reconstruction
from core.reconstruction.solvers.search_space import pixels, row_space
from core.reconstruction.solvers.solve import solve
from core.reconstruction.tuning import Setting, Tuning
from core.threat.input_span import InputSpan
from core.threat.observation import Trained, TrainedWeights

REASONS = ("The KKT objective explains the trained weights as a sum of their own features.",
           "The naive baseline: images of which the network is most sure, without the KKT equation.")
ALIKE = 0.9  # two candidates of one label whose pixels correlate more than this are one sample


def attack(observation: Trained, config: KKTKnobs, monitor: Monitor, *, began: float) -> AttackResult:
    """Search with restarts, keep the one of smallest exact residual, and of its candidates the N that count most.

    `began` (of ``time.monotonic``) is when the run began: the time limit counts from there. Known fine-tuning
    coefficients are not used: lam belongs to the weights as a whole, not to an update.
    """
    trained, threat = observation.composed(), observation.threat
    compute = choose(device=config.device, precision=config.precision)
    span = first_layer_span(trained)
    objective = weights_objective(trained, config, compute=compute, span=span)
    samples, candidates, found_by = count(span, threat.samples, config)
    labels = candidate_labels(threat.labels, candidates, classes=classes_of(trained.network))
    monitor.log(f"Threat {threat.level}. {found_by} {candidates} candidates. {compute.describe()}, "
                f"{torch.get_num_threads()} threads.")
    space = pixels(objective.input_mean) if config.search == "pixels" else \
        row_space(objective, compute=compute)
    start = draw_start(objective, space, samples=candidates, restarts=config.restarts,
                       labels=labels, coefficients=None,
                       init_scale=config.init_scale, seed=config.seed, compute=compute, draw=config.init_draw,
                       uniform_lam=config.lambda_start == "uniform")
    seconds_left = (config.max_seconds or math.inf) - (time.monotonic() - began)
    tuning = Tuning(config, monitor, lambda config: setting(config, candidates, mean=space.centre,
                                                            seconds_left=seconds_left))
    reconstruction = solve(objective, tuning.setting.penalties, space=space, start=start,
                           method=FIRST_ORDER[config.optimizer](), plan=tuning.setting.plan, monitor=monitor,
                           retune=tuning)
    return _outcome(trained, objective, reconstruction, samples, found_by, min_lambda=config.min_lambda)


def count(span: InputSpan | None, known: int | None, config: KKTKnobs) -> tuple[int, int, str]:
    """N, the number of candidates, and the sentence that says how N is known."""
    if known is not None:
        samples, found_by = known, f"N = {known} is known."
    elif span is not None:
        samples, found_by = span.samples, span.explanation
    elif config.candidates is not None:
        samples, found_by = config.candidates, "N is not known: every candidate is given back."
    else:
        raise InputError("samples: N is not known and cannot be read off the first layer, which is a convolution or "
                         "holds nothing above the noise of its initialisation; give samples or candidates.")
    candidates = samples if config.candidates is None else config.candidates
    if candidates < samples:
        raise InputError(f"candidates: {candidates} cannot hold the {samples} samples; give at least {samples}, or "
                         "leave it empty.")
    return samples, candidates, found_by


def classes_of(network: Network) -> int:
    """2 of a network of one logit, else its outputs."""
    return max(2, network.outputs)


def candidate_labels(known: Tensor | None, candidates: int, *, classes: int) -> Tensor:
    """Labels [candidates]: those known, repeated; else as many of each class, as published."""
    if known is not None and int(known.max()) >= classes:
        raise InputError(f"labels: {int(known.max())} is not a label of this network, which tells {classes} classes "
                         f"apart; give 0 to {classes - 1}.")
    pattern = torch.arange(classes).flip(0) if known is None else known.cpu().long()
    return pattern.repeat(-(-candidates // len(pattern)))[:candidates]


def setting(config: KKTKnobs, candidates: int, *, mean: Tensor, seconds_left: float) -> Setting:
    """Plan, penalties, and the knobs that count in them."""
    exact, naive = config.kkt_surrogate == "relu", config.kkt_objective == "naive"
    alphas = (EXACT, EXACT) if exact else config.alphas(ALPHAS)
    plan = Plan(iterations=config.iterations, lr_x=config.lr_x, lr_lam=config.lr_coefficients,
                lambda_space=config.lambda_space, lr_schedule=config.lr_schedule, halving=config.halving,
                relu_alpha_start=alphas[0], relu_alpha_end=alphas[1], tolerance=config.tolerance,
                record_every=config.record_every, max_seconds=seconds_left)
    return Setting(plan, penalties(config, candidates, mean=mean), {
        "lr_x": config.lr_x, "lr_coefficients": config.lr_coefficients,
        **({} if exact else {"relu_alpha_start": alphas[0], "relu_alpha_end": alphas[1]}),
        **({} if naive else {"min_lambda": config.min_lambda, "lambda_weight": config.lambda_weight}),
        "box_weight": config.box(BOX),
        "tv_weight": config.tv_weight or 0.0, "sparsity_weight": config.sparsity_weight or 0.0})


def penalties(config: KKTKnobs, candidates: int, *, mean: Tensor) -> list[Penalty]:
    """A penalty is a mean over candidates; the published sum goes with the published, unscaled residual.

    `mean` [C, H, W] is the network's input mean.
    """
    least = 0.0 if config.kkt_objective == "naive" else config.lambda_weight  # its lam count for nothing
    scale = candidates if config.kkt_residual == "published" else 1
    return [Box(scale * config.box(BOX), mean if config.box_range == "centred" else None),
            MinLambda(scale * least, config.min_lambda),
            TotalVariation(scale * (config.tv_weight or 0.0)), Sparsity(scale * (config.sparsity_weight or 0.0))]


def choose_distinct(x: Tensor, labels: Tensor, importance: Tensor, *, samples: int,
                    known: Tensor | None) -> tuple[list[int], int]:
    """Indices of `samples` of the candidates [C, ...], and how many were passed over as copies of a stronger one.

    By falling importance, leaving out candidates that look like one already taken; only where too few are left do
    the copies come back, the strongest first. Where the labels are `known` [N], as many of each are taken.
    """
    flat = x.cpu().double().clamp(0, 1).flatten(1)
    flat = flat - flat.mean(-1, keepdim=True)
    flat = flat / flat.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    alike = (flat @ flat.T > ALIKE) & (labels[:, None] == labels).cpu()
    distinct: list[int] = []
    copies: list[int] = []
    for index in importance.argsort(descending=True).tolist():
        (copies if alike[index, distinct].any() else distinct).append(index)
    ranked = distinct + copies
    if known is None:
        return sorted(ranked[:samples]), len(copies)
    chosen: list[int] = []
    for label, wanted in zip(*known.unique(return_counts=True), strict=True):
        chosen += [index for index in ranked if labels[index] == label][:int(wanted)]
    return sorted(chosen), len(copies)


def _outcome(trained: TrainedWeights, objective: Ranking, reconstruction: Reconstruction,
             samples: int, found_by: str, *, min_lambda: float) -> AttackResult:
    best, candidate = reconstruction.best, reconstruction.candidate
    residual = reconstruction.residuals["residual"]
    winner = Candidate(*(tensor[best: best + 1] for tensor in (candidate.x, candidate.labels, candidate.lam)))
    importance = objective.importance(winner)[0]
    count = candidate.lam.shape[1]
    known = trained.threat.labels
    chosen, copies = choose_distinct(reconstruction.x, candidate.labels[best], importance, samples=samples, known=known)
    naive = isinstance(objective, NaiveConfidence)
    homogeneous = objective.homogeneous if isinstance(objective, NeedsHomogeneity) else True
    status = ending(reconstruction, homogeneous=homogeneous, naive=naive)
    facts = _sample_facts(trained, reconstruction, homogeneous=homogeneous, min_lambda=min_lambda)
    known_of = [facts[index] for index in chosen]
    order = residual.argsort().tolist()
    return AttackResult(
        reason=REASONS[naive], status=status,
        x=reconstruction.x[chosen], labels=candidate.labels[best][chosen],
        coefficients=(signed(candidate) if trained.network.outputs == 1 else candidate.lam)[best][chosen] / count,
        samples_found_by=found_by,
        labels_found_by="known" if known is not None else "as many candidates of each class, the strongest kept",
        confidence=confidence("kkt", known_of, status),
        residuals={name: float(value[best]) for name, value in reconstruction.residuals.items()},
        limits=limits(trained, reconstruction, homogeneous=homogeneous, naive=naive),
        facts={"iterations": reconstruction.iterations, "restarts": len(residual), "best_restart": best,
               "restarts_near_best": len(near_best(residual, best)), "candidates": count, "copies": copies,
               "sample_facts": known_of},
        tensors={"x": candidate.x.float(), "labels": candidate.labels, "lam": candidate.lam, "residuals": residual,
                 "best": torch.tensor(best), "chosen": torch.tensor(chosen)},
        pictures={"restarts.png": grid_png(candidate.x[order].flatten(0, 1), columns=count)})


def _sample_facts(trained: TrainedWeights, reconstruction: Reconstruction, *, homogeneous: bool,
                  min_lambda: float) -> list[dict[str, float]]:
    """Facts of every candidate of the best restart."""
    best, candidate = reconstruction.best, reconstruction.candidate
    others = [float(value[best]) for name, value in reconstruction.residuals.items()
              if name not in ("residual", "residual.layers.0")]
    parameters = sum(part.numel() for part in trained.network.parameters())
    of_all = {"unmoved": max(others, default=0.0), "inhomogeneous": float(not homogeneous),
              "open": candidate.x[best].numel() / parameters}
    lam = candidate.lam[best].abs().tolist()
    return [facts | of_all | {"floor": min_lambda / max(value, 1e-300)} for value, facts in
            zip(lam, searched_facts(candidate, first_layer(reconstruction), best, trained.network.input_mean),
                strict=True)]
