"""What limits a reconstruction, in plain sentences with the numbers behind them."""

import torch
from torch import Tensor

from core.config.thresholds import POOR_FIT, VISIBLE_WITHIN
from core.reconstruction.solvers.protocol import Reconstruction, Status
from core.threat.observation import Update
from core.threat.spectrum import noise_floor, signal

TAIL = 0.05  # share of an update beyond N directions from which the fine-tuning has visibly left the NTK regime
LOUD = 1e-3  # of the update: rounding above this hides samples that are only somewhat weaker than the largest


def limits(observation: Update, reconstruction: Reconstruction, *, samples: int) -> list[str]:
    """Sentences for the report; empty where nothing is in the way. Never looks at the truth."""
    found = [*_rank(observation, samples), *_tail(observation, samples),
             *_precision(observation), *_coefficients(reconstruction), *_search(reconstruction)]
    if "layers.0" not in observation.layers:
        found.append("The first layer was not trained, so nothing linear in the pixels was released; images are known "
                     "only through the activations of deeper layers.")
    return found


def _rank(observation: Update, samples: int) -> list[str]:
    rank, pixels = observation.rank("layers.0"), observation.network.widths[0]
    if rank is None or rank >= pixels:
        return []
    hidden = [name for name in observation.layers if len(observation.matrix(name)) > 1]  # one logit says little
    equations = sum(observation.rank(name) or 0 for name in hidden)
    text = (f"Rank {rank}: each sample is known by {equations} linear measurements for {pixels} pixels; between them "
            "the images are fixed only by the activation patterns, which a gradient-based search finds in part.")
    if rank < samples:
        text += f" With fewer ranks than the {samples} samples, the samples cannot be separated linearly either."
    return [text]


def _tail(observation: Update, samples: int) -> list[str]:
    """Energy beyond N directions: what no sum of N features at theta_0 can explain."""
    shares = {}
    for name, values, floor in signal(observation):
        beyond = values[samples:][values[samples:] > floor]
        shares[name] = float((beyond.square().sum() / values.square().sum()).sqrt())
    worst = max(shares, key=shares.get, default=None)
    if worst is None or shares[worst] < TAIL:
        return []
    return [f"{shares[worst]:.0%} of the update of {worst} lies beyond {samples} direction"
            f"{'s' if samples > 1 else ''}: neurons flipped or features moved while fine-tuning (many or large steps, "
            "an adaptive optimiser), or N is larger."]


def _precision(observation: Update) -> list[str]:
    if observation.stores_network:
        floor = min((floor / float(values[0]) for _, values, floor in signal(observation)), default=0.0)
        return [] if floor < LOUD else [
            f"The whole network is stored, not its update, and rounding the weights makes up to {floor:.1g} of the "
            "update: weaker samples drown in it."]
    coarse = max((factors.B.dtype for factors in observation.layers.values()),
                 key=lambda dtype: torch.finfo(dtype).eps)
    if torch.finfo(coarse).eps <= torch.finfo(torch.float32).eps:
        return []
    floor = max(noise_floor(factors.B) for factors in observation.layers.values())
    return [f"The adapter is stored as {str(coarse).removeprefix('torch.')}: samples below about {floor:.0e} of the "
            "largest coefficient drown in rounding."]


def _coefficients(reconstruction: Reconstruction) -> list[str]:
    lam: Tensor = reconstruction.candidate.lam[reconstruction.best]
    weak = [index for index, value in enumerate(lam.tolist()) if value * VISIBLE_WITHIN < float(lam.max())]
    if not weak:
        return []
    names = ", ".join(str(index + 1) for index in weak)
    return [f"Sample {names} of {len(lam)} came out with a coefficient more than {VISIBLE_WITHIN:.0f}x below the "
            "largest: such samples leave little trace in the update."]


def _search(reconstruction: Reconstruction) -> list[str]:
    found = []
    residual = float(reconstruction.residuals["residual"][reconstruction.best])
    if reconstruction.status in (Status.STOPPED, Status.TIME_LIMIT, Status.DIVERGED):
        found.append(reconstruction.status.value)
    if residual > POOR_FIT:
        found.append(f"The best restart leaves {residual:.0%} of the update unexplained: more restarts or iterations "
                     "may help, or the update is no sum of features at the base.")
    return [*found, *dead_restarts(reconstruction)]


def dead_restarts(reconstruction: Reconstruction) -> list[str]:
    """That some restarts became non-finite, where others are left."""
    if not reconstruction.diverged or reconstruction.status is Status.DIVERGED:
        return []
    return [f"{len(reconstruction.diverged)} of {len(reconstruction.candidate.x)} restarts became non-finite "
            "and were left out; lower the learning rates."]
