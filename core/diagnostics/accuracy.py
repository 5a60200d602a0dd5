"""How often a network is right."""

import torch
from torch import Tensor

from core.models.conv import Network


def accuracy(network: Network, images: Tensor, labels: Tensor, *, batch_size: int = 2000) -> float:
    """Share of `images` [M, C, H, W] in [0, 1] whose logit has the sign of its label {0, 1}, or whose largest output
    is that of its label 0 … C-1; NaN for none.

    The images may be on the CPU and of any precision: a batch at a time goes to where the network is.
    """
    place = next(network.parameters())
    with torch.no_grad():
        logits = torch.cat([network(part.to(place.dtype).to(place.device)).cpu()
                            for part in images.split(batch_size)])
    found = (logits > 0).long() if logits.ndim == 1 else logits.argmax(1)
    return (found == labels.cpu()).double().mean().item()
