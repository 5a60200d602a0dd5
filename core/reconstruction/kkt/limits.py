"""What limits a reconstruction from trained weights, in plain sentences with the numbers behind them."""

import math

from torch import Tensor, nn

from core.config.thresholds import POOR_FIT, UNMOVED
from core.reconstruction.ntk.limits import dead_restarts
from core.reconstruction.solvers.protocol import Reconstruction, Status
from core.threat.observation import TrainedWeights

NAIVE = ("The naive baseline finds what the network is most sure of, which need not resemble any training image; it is "
         "here to compare with.")


def ending(reconstruction: Reconstruction, *, homogeneous: bool, naive: bool) -> Status:
    """How the search ended; where it ran to its end, also whether there was anything to find."""
    if reconstruction.status not in (Status.ITERATIONS, Status.CONVERGED):
        return reconstruction.status
    if not homogeneous:
        return Status.NOT_HOMOGENEOUS
    if not naive and float(first_layer(reconstruction)[reconstruction.best]) > UNMOVED:
        return Status.NOT_STATIONARY
    return reconstruction.status


def first_layer(reconstruction: Reconstruction) -> Tensor:
    """Residual [R] of the first layer that is explained: the one that sees pixels. How much of the others'
    initialisation is left says nothing of these. Where there are no layers, the residual."""
    parts = [value for name, value in reconstruction.residuals.items() if name != "residual"]
    return parts[0] if parts else reconstruction.residuals["residual"]


def limits(trained: TrainedWeights, reconstruction: Reconstruction, *, homogeneous: bool,
           naive: bool = False) -> list[str]:
    """Sentences for the report; empty where nothing is in the way. Never looks at the truth."""
    found = []
    if reconstruction.status in (Status.STOPPED, Status.TIME_LIMIT, Status.DIVERGED):
        found.append(reconstruction.status.value)
    if not homogeneous:
        found.append(Status.NOT_HOMOGENEOUS.value)
    if naive:
        return [*found, NAIVE, *dead_restarts(reconstruction)]
    if trained.base is not None:
        found.append(f"The update moved the weights by {_moved(trained.network, trained.base):.2g} of their norm: what "
                     "the KKT identity explains is foremost the base's own training set, not the private samples.")
    return [*found, *_count(trained, reconstruction), *_fit(reconstruction)]


def _count(trained: TrainedWeights, reconstruction: Reconstruction) -> list[str]:
    """Each parameter is one equation."""
    _, candidates, *shape = reconstruction.candidate.x.shape
    equations, unknowns = sum(part.numel() for part in trained.network.parameters()), candidates * math.prod(shape)
    if equations >= unknowns:
        return []
    return [f"The network's {equations:,} parameters are fewer than the {unknowns:,} pixels of {candidates} "
            "candidates: many other images explain it as well."]


def _fit(reconstruction: Reconstruction) -> list[str]:
    best = reconstruction.best
    parts = {name.removeprefix("residual."): float(value[best]) for name, value in reconstruction.residuals.items()}
    found = []
    if parts.pop("residual") > POOR_FIT:
        left = ", ".join(f"{value:.0%} of {name}" for name, value in parts.items())
        found.append(f"The best restart leaves unexplained {left}: the network is not at a KKT point, or more "
                     "restarts, iterations or candidates are needed.")
    if still := [name for name, value in parts.items() if value > UNMOVED]:
        found.append(f"{' and '.join(still)} kept most of the initialisation, which no sample explains; the images "
                     "come from the other layers.")
    return [*found, *dead_restarts(reconstruction)]


def _moved(network: nn.Module, base: nn.Module) -> float:
    """||theta_T - theta_0|| / ||theta_0||."""
    pairs = list(zip(network.parameters(), base.parameters(), strict=True))
    moved = sum((one.double() - other.double()).square().sum() for one, other in pairs)
    return float((moved / sum(other.double().square().sum() for _, other in pairs)).sqrt())
