"""The training image nearest to each reconstruction, for the reader's eyes, after the score."""

import torch
from torch import Tensor

from core.artifacts.checkpoint import Checkpoint
from core.assessment.nearest import nearest
from core.data.problems import problem_of
from core.io.errors import InputError
from core.io.files import write_atomic
from core.io.images import grid_png
from core.runs.directory import Run
from core.runs.recorder import Recorder
from core.runs.reports.score import Nearest

MOST_IMAGES = 1000  # reconstructions: each is compared with every training image


def write_nearest(run: Run, x: Tensor, sets: dict[str, Tensor]) -> list[Nearest]:
    """``nearest.png``, one picture for each of `x` [M, C, H, W] in order, and for each the set that it is from, its
    place there and its SSIM. `sets` are training images by name, each [P, C, H, W]; [] where there is nothing to
    compare."""
    sets = {name: images for name, images in sets.items() if len(images) and images.shape[1:] == x.shape[1:]}
    if not sets or not len(x) or len(x) > MOST_IMAGES:
        return []
    pool = torch.cat([images.cpu().float() for images in sets.values()])
    places, values = nearest(x.cpu().float(), pool)
    write_atomic(run.file("nearest.png"), grid_png(pool[places]))
    names = [(name, index) for name, images in sets.items() for index in range(len(images))]
    return [Nearest(set=names[place][0], index=names[place][1], ssim=value)
            for place, value in zip(places, values, strict=True)]


def base_images(checkpoint: Checkpoint, recorder: Recorder) -> Tensor:
    """What a base of this laboratory was trained on; none of any other file, and where the data are out of reach."""
    empty = torch.empty(0)
    if not checkpoint.facts.get("indices"):
        return empty
    try:
        return problem_of(checkpoint.facts).images(torch.tensor(checkpoint.facts["indices"]))
    except InputError as error:
        recorder.log(f"The base's training images are not at hand: {error}")
        return empty
