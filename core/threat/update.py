"""What full fine-tuning releases: the difference of two networks, apart from what rounding makes of it."""

import torch
from torch import Tensor

from core.io.errors import InputError
from core.models.mlp import MLP, layer_names
from core.threat.model import ThreatModel
from core.threat.observation import WeightDelta

STORED = (torch.bfloat16, torch.float16, torch.float32, torch.float64)  # coarsest first


def weight_delta(base: MLP, tuned: MLP, threat: ThreatModel) -> WeightDelta:
    """theta_T - theta_0 in float64. What rounding alone would explain counts as not changed."""
    if base.widths != tuned.widths or [a.bias is None for a in base.layers] != [b.bias is None for b in tuned.layers]:
        raise InputError(f"tuned: its layers {tuned.widths} or their biases are not those of the base {base.widths}; "
                         "name the checkpoint that was fine-tuned from this base.")
    eps = torch.finfo(stored_as(tuned)).eps
    layers, biases, noise = {}, {}, {}
    for name, old, new in zip(layer_names(base), base.layers, tuned.layers, strict=True):
        weight, bias = _change(old.weight, new.weight, eps), _change(old.bias, new.bias, eps)
        if weight is None and bias is None:
            continue
        layers[name] = torch.zeros_like(old.weight, dtype=torch.float64) if weight is None else weight
        if bias is not None:
            biases[name] = bias
        # A matrix of independent entries of deviation s has norm s (sqrt(n) + sqrt(m)); rounding has s = 0.29 eps
        # |theta|, and the rest is room for the rounding of every step but the last.
        spread = float(new.weight.double().square().mean().sqrt())
        noise[name] = eps * spread * sum(side ** 0.5 for side in new.weight.shape)
    if not layers:
        raise InputError("tuned: its weights are those of the base (up to rounding), so the update is empty and "
                         "nothing can be reconstructed; name a checkpoint saved after training.")
    return WeightDelta(base, layers, biases, threat, noise)


def stored_as(network: MLP) -> torch.dtype:
    """The coarsest precision that holds every weight exactly: what they were rounded to, whatever the file says."""
    parameters = list(network.parameters())
    return next(dtype for dtype in STORED
                if all(torch.equal(parameter.to(dtype).to(parameter.dtype), parameter) for parameter in parameters))


def _change(old: Tensor | None, new: Tensor | None, eps: float) -> Tensor | None:
    if old is None or new is None:
        return None
    change = new.detach().cpu().double() - old.detach().cpu().double()
    return change if float(change.norm()) > eps / 2 * float(new.detach().cpu().double().norm()) else None
