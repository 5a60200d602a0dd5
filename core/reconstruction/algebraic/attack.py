"""The algebraic attack: what one step of training gives away, solved for instead of searched for.

Separation first (`core.reconstruction.algebraic.separation`), then each sample's image from its own equations and signs
(`core.reconstruction.algebraic.recovery`). Nothing but the published files is used. A known learning rate would fix
each image's scale, but measured at rank 8 the scale that its own programme finds gives the better images.
"""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch

from core.config.monitor import Monitor
from core.diagnostics.spectra import spectra
from core.io.errors import InputError
from core.models.mlp import MLP, pixel_scale
from core.reconstruction.algebraic.closed_form import coefficient, single_input
from core.reconstruction.algebraic.drift import drift_over_steps, many_steps
from core.reconstruction.algebraic.knobs import AlgebraicKnobs
from core.reconstruction.algebraic.limits import algebraic_limits
from core.reconstruction.algebraic.null_directions import separate_first_layer
from core.reconstruction.algebraic.polish import STEPS, Polished, polish
from core.reconstruction.algebraic.recovery import MISMATCH, Estimate, Prior, recover
from core.reconstruction.algebraic.sample_facts import sample_facts
from core.reconstruction.algebraic.separation import (
    MISFIT,
    Separation,
    first_alone,
    separable,
    separate,
    strongest_first,
)
from core.reconstruction.algebraic.system import System, build_system
from core.reconstruction.algebraic.updates import layer_updates
from core.reconstruction.certificate.audit import audited, first_layer
from core.reconstruction.certificate.projector import Certificate
from core.reconstruction.confidence import confidence, image_facts
from core.reconstruction.ntk.attack import count
from core.reconstruction.result import AttackResult
from core.reconstruction.solvers.protocol import Status
from core.threat.layer_update import LayerUpdate
from core.threat.observation import Update
from core.threat.spectrum import count_samples

CLEAN = 0.05                # of the neurons of a sample: a separation that misreads fewer needs no other N beside it
SCANNED = 10                # most samples looked for where the spectrum's N does not separate cleanly
SIGN_WEIGHT = 1000.0        # price of a violated sign beside a prior of 1 a pixel
RECOUNTED = "That does not come apart cleanly"
DRIFTED_VISIBLY = 0.3       # relative drift of the first layer's A that the report speaks of


@dataclass(frozen=True)
class Found:
    """The samples of an update, None where they do not come apart, and the sentence that says how N was found."""

    separation: Separation | None
    by: str


def attack(observation: Update, config: AlgebraicKnobs, monitor: Monitor, *, began: float,
           found: Found | None = None) -> AttackResult:
    """Images of all samples that can be separated; a typed status and no images where none can.

    `found` where the separation was made before.
    """
    clock = time.monotonic()
    network, updates = observation.network, layer_updates(observation)
    if not updates:
        raise InputError("adapter: every B is zero, so the update is empty and nothing can be reconstructed; name "
                         "an adapter saved after training.")
    if why := separable(network, updates):
        return _refused(observation, Status.NOT_SEPARABLE, count(observation)[1], [why])
    if updates.get(0) and updates[0].with_bias and count(observation)[0] == 1:
        return _closed_form(observation, updates[0])
    found = found or find_samples(observation)
    separation, found_by = found.separation, found.by
    if separation is None:
        return _refused(observation, Status.NOT_SEPARABLE, found_by, algebraic_limits(observation, None, []))
    timings = {"separation": time.monotonic() - clock}
    N = separation.samples
    monitor.log(f"Threat {observation.threat.level}. {found_by} Patterns of {N} samples separated in "
                f"{timings['separation']:.1f} s.")
    drift = drift_over_steps(updates[0], separation, steps=observation.threat.steps)
    audit = first_layer(observation)
    systems = [build_system(network, updates, separation, sample, drift=drift, certificate=audit)
               for sample in range(N)]
    ends = began + config.max_seconds if config.max_seconds else math.inf
    work = _Work(systems, _prior(config, network), network.image_shape, monitor, ends,
                 _only_label(observation))
    clock = time.monotonic()
    work.run()
    if first_alone(network, updates):
        work.estimates = [_labelled(network, estimate, separation, system, sample) for sample, (estimate, system)
                          in enumerate(zip(work.estimates, systems, strict=True))]
    timings["images"] = time.monotonic() - clock
    polished = _polish(observation, config, monitor, work, separation)
    return _outcome(observation, separation, work, found_by, timings, drift, audit, polished)


def find_samples(observation: Update) -> Found:
    """The separation and how N was found: the spectrum's N where it separates cleanly, else the N that does best."""
    samples, found_by = count(observation)
    updates = layer_updates(observation)
    certain = observation.threat.samples is not None or count_samples(observation).certain

    if first_alone(observation.network, updates):
        found = separate_first_layer(updates[0], samples=samples)
        return Found(None if found is None else strongest_first(found), found_by)

    def tried(N: int) -> Separation | None:
        found = separate(observation.network, updates, samples=N)
        return None if found is None or float(found.misfit.max()) > MISFIT else found

    best = tried(samples)
    # A rank of the first layer is N whatever happened since: fewer than that are looked for only where it fails.
    if observation.threat.samples is None and (best is None or not (certain or float(best.misfit.max()) <= CLEAN)):
        most = min(SCANNED, *(min(update.B.shape) for level, update in updates.items()
                              if level < len(observation.network.layers) - 1))
        others = {N: found for N in range(1, most + 1) if samples != N and (found := tried(N)) is not None}
        clean = {N: float(found.misfit.max()) for N, found in others.items()}
        if clean and (best is None or min(clean.values()) < float(best.misfit.max())):
            N = min(clean, key=clean.get)
            best = others[N]
            hidden = certain and samples > N
            found_by += f" {RECOUNTED}; N = {N} does, so " + (
                f"{N} of them are looked for and the others stay hidden." if hidden else f"N = {N} it is.")
    return Found(None if best is None else strongest_first(best), found_by)


def _polish(observation: Update, config: AlgebraicKnobs, monitor: Monitor, work: "_Work",
            separation: Separation) -> Polished | None:
    """Images of the first-order polish, where it is asked for or, by default, where it helps."""
    there = [estimate for estimate in work.estimates if estimate is not None]
    steps, first = config.polish, layer_updates(observation)[0]
    if first.blurred:  # what the update allows is then not the span of the inputs
        return None
    if steps is None:
        helps = first.A.shape[0] >= first.A.shape[1] and not all(estimate.exact for estimate in there) and \
            many_steps(first, separation, steps=observation.threat.steps)
        steps = STEPS if helps else 0
    if not steps or len(there) < len(work.systems):
        return None
    return polish(observation, config, monitor, steps=steps, ends=work.ends,
                  x=torch.stack([estimate.x for estimate in there]).view(-1, *work.shape),
                  coefficients=torch.tensor([estimate.coefficient for estimate in there]))


def _labelled(network: MLP, estimate: Estimate | None, separation: Separation, system: System,
              sample: int) -> Estimate | None:
    """The label of a sample whose step was known up to a factor: from the features of its image."""
    if estimate is None:
        return None
    k = coefficient(network, estimate.x, separation.layers[0].signal[sample], estimate.coefficient)
    return replace(estimate, coefficient=k, label=int(k > 0))


def _closed_form(observation: Update, update: LayerUpdate) -> AttackResult:
    """One sample and a bias gradient: x = dW_j / db_j, exact (Geiping et al. 2020, proposition 3.1)."""
    network = observation.network
    x = single_input(update) * pixel_scale(network).double().flatten() + network.input_mean.double().flatten()
    k = coefficient(network, x, update.B @ update.A[:, -1], 1.0)
    image = x.clamp(0, 1).view(1, *network.image_shape).float()
    outside = float((x - x.clamp(0, 1)).abs().max())
    label, size = torch.tensor([int(k > 0)]), torch.tensor([abs(k)])
    status = Status.CONTRADICTORY if outside > MISMATCH else Status.SOLVED
    known = [facts | {"residual": 0.0, "outside": outside, "contradiction": float(outside > MISMATCH), "unsaid": 0.0}
             for facts in image_facts(image, network.input_mean)]
    return AttackResult(
        reason="One sample with a first-layer bias gradient: its pixels are a quotient.",
        status=status, x=image, labels=label, coefficients=torch.tensor([k]),
        samples_found_by=count(observation)[1], labels_found_by="sign of the sample's step",
        confidence=confidence("algebraic", known, status), residuals={"residual": outside}, limits=[],
        facts={"spectrum": spectra(observation), "exact": [True], "unknowns": x.numel(), "closed_form": True,
               "sample_facts": known},
        tensors={"x": image[None], "labels": label[None], "lam": size[None]})


class _Work:
    """The programmes of all samples, on as many cores as there are."""

    def __init__(self, systems: list[System], prior: Prior, shape: tuple[int, int, int], monitor: Monitor,
                 ends: float, label: int | None) -> None:
        self.systems, self.prior, self.shape, self.monitor, self.ends = systems, prior, shape, monitor, ends
        self.label = label
        self.estimates: list[Estimate | None] = [None] * len(systems)
        self.done = 0
        self.workers = torch.get_num_threads()  # this run's share of the cores

    def over(self) -> bool:
        return self.monitor.should_stop() or time.monotonic() >= self.ends

    def run(self) -> None:
        """Solve all samples; those left when the time is over stay None."""
        together = max(1, min(self.workers, len(self.systems)))
        torch.set_num_threads(max(1, self.workers // together))  # two samples at once beat one on two threads
        try:
            with ThreadPoolExecutor(max_workers=together) as pool:
                for sample, estimate in enumerate(pool.map(self._solve, self.systems)):
                    self.estimates[sample] = estimate
                    self._tell()
        finally:
            torch.set_num_threads(self.workers)

    def _solve(self, system: System) -> Estimate | None:
        if self.over():
            return None
        return recover(system, self.prior, shape=self.shape, label=self.label, should_stop=self.over)

    def _tell(self) -> None:
        self.done += 1
        there = [estimate for estimate in self.estimates if estimate is not None]
        self.monitor.progress(self.done, len(self.systems))
        if there:
            self.monitor.record(self.done, residual=max(estimate.residual for estimate in there),
                                mean_slack=sum(estimate.slack for estimate in there) / len(there),
                                coefficients=[abs(estimate.coefficient) for estimate in there])
            self.monitor.snapshot(self.done, torch.stack([estimate.x for estimate in there]).view(-1, *self.shape))


def _only_label(observation: Update) -> int | None:
    """A known label of a single sample; of several, nobody knows which is whose."""
    labels = observation.threat.labels
    return int(labels[0]) if labels is not None and len(labels) == 1 else None


def _prior(config: AlgebraicKnobs, network: MLP) -> Prior:
    D = network.input_mean.numel()
    tv, sparsity = (1.0 if weight is None else weight for weight in (config.tv_weight, config.sparsity_weight))
    return Prior(torch.full((D,), sparsity, dtype=torch.float64), tv, config.scale_reward, SIGN_WEIGHT)


def _refused(observation: Update, status: Status, found_by: str, sentences: list[str]) -> AttackResult:
    shape = observation.network.image_shape
    none = torch.zeros(0)
    return AttackResult(reason=REASON, status=status, x=torch.zeros(0, *shape), labels=none.long(),
                   coefficients=none, samples_found_by=found_by, labels_found_by="no sample was separated",
                   confidence=[], residuals={"residual": 1.0}, limits=sentences,
                   facts={"spectrum": spectra(observation)}, tensors={"x": torch.zeros(1, 0, *shape)})


REASON = "One step of training leaks each sample's activation patterns: they separate, and the rest is linear."


def _outcome(observation: Update, separation: Separation, work: _Work, found_by: str,
             timings: dict[str, float], drift: float, audit: Certificate | None,
             polished: Polished | None) -> AttackResult:
    kept = [index for index, estimate in enumerate(work.estimates) if estimate is not None]
    there: list[Estimate] = [work.estimates[index] for index in kept]
    if not there:
        status = Status.STOPPED if work.monitor.should_stop() else Status.TIME_LIMIT
        return _refused(observation, status, found_by, [status.value])
    noise = separation.layers[0].noise / separation.layers[0].measured.norm(dim=1) * \
        separation.layers[0].measured.shape[1] ** 0.5
    misfit = separation.misfit
    x = torch.stack([estimate.x for estimate in there]).view(-1, *work.shape).float()
    labels = torch.tensor([estimate.label for estimate in there])
    k = torch.tensor([estimate.coefficient for estimate in there], dtype=torch.float64)
    if polished is not None:
        x, k = polished.x.float(), polished.coefficients.double()
    status = Status.SOLVED
    if len(kept) < len(work.systems) or (work.over() and not all(estimate.converged for estimate in there)):
        status = Status.STOPPED if work.monitor.should_stop() else Status.TIME_LIMIT
    elif any(estimate.contradictory for estimate in there):
        status = Status.CONTRADICTORY
    known = sample_facts(observation, separation, dict(zip(kept, there, strict=True)), drifted=drift > DRIFTED_VISIBLY,
                         recounted=RECOUNTED in found_by)
    return AttackResult(
        reason=REASON, status=status, x=x, labels=labels, coefficients=k,
        samples_found_by=found_by,
        labels_found_by="sign of each sample's step: with the other sign no image meets its equations and signs",
        confidence=confidence("algebraic", known, status),
        residuals={"residual": max(estimate.residual for estimate in there), "misfit": float(misfit.max())},
        limits=algebraic_limits(observation, separation, there, drifted=drift > DRIFTED_VISIBLY),
        facts={"spectrum": spectra(observation),
               "separation": {"misfit": misfit.tolist(), "certain": {
                   f"layers.{level}": layer.certain.double().mean(1).tolist()
                   for level, layer in separation.layers.items()}},
               "equations": work.systems[0].equations, "signs": len(work.systems[0].G), "unknowns": x[0].numel(),
               "exact": [estimate.exact for estimate in there], "drifted": drift > DRIFTED_VISIBLY,
               "certificate": None if audit is None else audited(audit, observation.network, x),
               "background": [estimate.background for estimate in there],
               "slack": [estimate.slack for estimate in there],
               "free": [estimate.free for estimate in there], "noise": noise[kept].tolist(), "timings": timings,
               "polish": None if polished is None else polished.facts(), "sample_facts": known},
        tensors={"x": x[None], "labels": labels[None], "lam": k.abs()[None],
                 **{f"patterns.layers.{level}": layer.on[kept].to(torch.uint8)
                    for level, layer in separation.layers.items()},
                 **{f"certain.layers.{level}": layer.certain[kept].to(torch.uint8)
                    for level, layer in separation.layers.items()}})
