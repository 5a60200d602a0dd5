"""The pictures of faces that ship with scikit-image: no network, no colours."""

from functools import lru_cache

import torch

from core.data.samples import Samples


@lru_cache(maxsize=1)
def load_faces() -> Samples:
    """200 pictures 25x25: 100 faces of Labeled Faces in the Wild, then 100 cut-outs without one."""
    from skimage.data import lfw_subset

    pictures = torch.from_numpy(lfw_subset()).float()  # [200, 25, 25] in [0, 1], faces first
    return Samples(pictures[:, None], (torch.arange(len(pictures)) < len(pictures) // 2).long(), "scikit-image",
                   f"{len(pictures)} pictures of 25 x 25 pixels that scikit-image ships, half of them faces")
