"""The layers of a trained network that an objective explains, and what each counts.

A layer is a module that owns parameters: its weight and its bias are one matrix to explain.
"""

from torch import nn

from core.io.errors import InputError


def parameters_by_layer(network: nn.Module) -> dict[str, list[str]]:
    """Names of parameters by layer, ``{"layers.0": ["layers.0.weight", "layers.0.bias"], …}``, in their order."""
    layers: dict[str, list[str]] = {}
    for name, _ in network.named_parameters():
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    return layers


def squared_norms(network: nn.Module) -> dict[str, float]:
    """||[W_l | b_l]||^2 by layer; raises `InputError` where there is nothing that could be explained."""
    norms = {layer: float(sum(network.get_parameter(name).detach().cpu().double().square().sum() for name in names))
             for layer, names in parameters_by_layer(network).items()}
    for layer, norm in norms.items():
        if not norm < float("inf"):
            raise InputError(f"checkpoint: {layer} holds NaN or infinite weights; the training diverged or the file "
                             "is damaged.")
        if norm == 0:
            raise InputError(f"checkpoint: every weight of {layer} is zero, so the network was not trained and carries "
                             "no sample; name a trained network.")
    return norms


def layer_weights(norms: dict[str, float], *, residual: str, layers: list[str] | None) -> dict[str, float]:
    """By chosen layer, what its relative squared residual counts in the value: "published" adds up the squares as
    they are, "relative" is the mean over the layers."""
    if missing := [name for name in layers or [] if name not in norms]:
        raise InputError(f"kkt_layers: {missing[0]} is not a layer of this network; choose from {', '.join(norms)}.")
    chosen = [name for name in norms if layers is None or name in layers]
    return {name: norms[name] if residual == "published" else 1 / len(chosen) for name in chosen}
