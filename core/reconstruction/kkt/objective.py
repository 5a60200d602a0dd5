"""Which KKT objective explains a network: written out where it is fully connected, by autograd elsewhere."""

from typing import Any

from core.host.compute import Compute
from core.io.errors import InputError
from core.reconstruction.kkt.knobs import KKTKnobs
from core.reconstruction.objectives.kkt import KKTStationarity
from core.reconstruction.objectives.kkt_autograd import KKTAutograd
from core.reconstruction.objectives.naive import NaiveConfidence
from core.reconstruction.objectives.protocol import Ranking
from core.threat.input_span import InputSpan, input_span
from core.threat.observation import TrainedWeights


def first_layer_span(trained: TrainedWeights) -> InputSpan | None:
    """Of a fully connected first layer; a convolution sees patches, which span nothing less than themselves."""
    if not trained.network.fully_connected:
        return None
    first = trained.network.layers[0]
    return input_span(first.weight, first.bias)


def weights_objective(trained: TrainedWeights, config: KKTKnobs, *, compute: Compute,
                      span: InputSpan | None) -> Ranking:
    """Confined to `span` where the search is."""
    written_out = trained.network.fully_connected
    if config.kkt_objective == "naive":
        if not written_out:
            raise InputError("kkt_objective: naive is there for fully connected networks only; choose stationarity.")
        if trained.network.outputs > 1:
            raise InputError(f"kkt_objective: naive drives one logit apart, and this network has "
                             f"{trained.network.outputs}; choose stationarity.")
        return NaiveConfidence(trained, compute=compute)
    options: dict[str, Any] = {"compute": compute, "residual": config.kkt_residual, "layers": config.kkt_layers,
               "margin": config.kkt_margin}
    if not written_out:
        return KKTAutograd(trained, **options)
    confined = config.search == "row-space" and span is not None
    return KKTStationarity(trained, **options, basis=span.basis if confined else None)
