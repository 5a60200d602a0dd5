"""What the algebraic attack knows of each sample without the truth: the facts that its confidence rests on."""

import torch

from core.reconstruction.algebraic.recovery import Estimate
from core.reconstruction.algebraic.separation import Separation
from core.reconstruction.confidence import correlation, image_facts
from core.threat.observation import Update
from core.threat.spectrum import tail


def sample_facts(observation: Update, separation: Separation, estimates: dict[int, Estimate], *,
                 drifted: bool, recounted: bool) -> list[dict[str, float]]:
    """Facts of the samples that have an image, by their number in the separation."""
    network = observation.network
    first = separation.layers[0]
    noise = first.noise / first.measured.norm(dim=1).clamp(min=1e-300) * first.measured.shape[1] ** 0.5
    certain = torch.cat([layer.certain.double() for layer in separation.layers.values()], dim=1)
    size = [abs(estimate.coefficient) for estimate in estimates.values()]
    beyond = tail(observation, separation.samples)
    images = torch.stack([estimate.x for estimate in estimates.values()]).view(-1, *network.image_shape)
    shown = image_facts(images, network.input_mean)
    for (sample, estimate), facts in zip(estimates.items(), shown, strict=True):
        exact = estimate.exact
        # of a collapsed estimate there is nothing but the prior
        alike = 0.0 if estimate.collapsed else max(0.0, correlation(estimate.unscaled, estimate.driven))
        facts |= {
            "residual": estimate.residual, "slack": estimate.slack / len(estimate.x), "noise": float(noise[sample]),
            "misfit": float(separation.misfit[sample]), "uncertain": 1 - float(certain[sample].mean()), "tail": beyond,
            "contradiction": float(estimate.contradictory), "drift": float(drifted), "recount": float(recounted),
            # what is determined does not hang on measurements, signs and prior that it has no need of
            "open": 0.0 if exact else estimate.free / max(1, estimate.equations),
            "signs": 0.0 if exact else estimate.free / max(1.0, float(certain[sample].sum())),
            "prior": 0.0 if exact else 1 - alike,
            **({"rough": 0.0, "unlike": 0.0, "unsaid": 0.0} if exact else {}),
            "weak": max(size) / max(abs(estimate.coefficient), 1e-300)}
    return shown
