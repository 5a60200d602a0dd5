"""The patch attack: what the adapter of a transformer's first block gives away of each patch, solved for.

Equations first (`core.reconstruction.patches.equations`), then the patches of one image (`.single`) or of several
(`.several`). Nothing but the published files is used. A patch counts as proven where equations are left over that it
meets to their rounding, and where the scale, which they see as a number of its own, is that of the patch.
"""

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from core.config.monitor import Monitor
from core.reconstruction.confidence import confidence
from core.reconstruction.patches.equations import PatchEquations, patch_equations
from core.reconstruction.patches.knobs import PatchKnobs
from core.reconstruction.patches.labels import label_by_step
from core.reconstruction.patches.limits import out_of_reach, patch_limits
from core.reconstruction.patches.several import several_images
from core.reconstruction.patches.single import single_image
from core.reconstruction.patches.vertices import Vertex
from core.reconstruction.result import AttackResult
from core.reconstruction.solvers.protocol import Status
from core.threat.observation import TransformerAdapter

REASON = ("The adapter of a transformer's first block annihilates what it was given, which is linear in the pixels of "
          "each patch.")
TV, SPARSITY = 0.1, 1.0
OUTSIDE = 0.02   # mean distance from [0, 1] of the pixels of a solution beyond which it is no image
FLAT = 0.1       # of the range of pixels: a patch with less contrast is flat


def attack(observation: TransformerAdapter, config: PatchKnobs, monitor: Monitor, *, began: float) -> AttackResult:
    """Images of all private samples as far as their patches follow; a status and none where nothing follows."""
    clock = time.monotonic()
    equations = patch_equations(observation)
    if why := out_of_reach(observation, equations):
        monitor.log(why)
        return _refused(observation, equations, why)
    N = observation.threat.samples or max(1, equations.images)
    by = "as given" if observation.threat.samples else \
        f"the ranks of {', '.join(f'{p.name} ({p.rank})' for p in equations.projections if p.rank)} " \
        f"take {N} image{'s' if N > 1 else ''} of {len(equations.right)} patches at least"
    monitor.log(f"N = {N}: {by}. {len(equations.left)} equations for the {equations.unknowns} unknowns of each patch.")
    ends = began + config.max_seconds if config.max_seconds else math.inf

    def over() -> bool:
        return monitor.should_stop() or time.monotonic() >= ends

    background = ""
    if N == 1:
        found = single_image(equations, tv=TV if config.tv_weight is None else config.tv_weight,
                             sparsity=SPARSITY if config.sparsity_weight is None else config.sparsity_weight,
                             starts=config.starts, should_stop=over, found_one=_shown(monitor, equations, 1))
        x, proven, background, paired = found.x[None], found.proven[None], found.background, False
        near = found.near[None]
        contradictory = found.outside > OUTSIDE
    else:
        many = several_images(equations, N, starts=config.starts, should_stop=over,
                              found_one=_shown(monitor, equations, N))
        x, proven, paired, contradictory = many.x, many.proven, many.paired, False
        near = proven
    x = x.float()
    adaptive = any(projection.first_step for projection in equations.projections)
    steps = [label_by_step(observation, image, adaptive=adaptive) for image in x]
    status = Status.STOPPED if monitor.should_stop() else Status.TIME_LIMIT if over() else \
        Status.CONTRADICTORY if contradictory else Status.SOLVED if bool(proven.all()) else Status.PARTLY
    # What is proven needs no witness; of the rest, the step that it would have caused is one.
    facts = [{"unproven": share, "guessed": float(paired), "contradiction": float(contradictory),
              "unlike_step": (1 - max(0.0, cosine)) * (1 - float(own.float().mean()))}
             for share, own, (_, cosine) in zip(_unproven(equations, x, near), proven, steps, strict=True)]
    limits = patch_limits(equations, N=N, near=int(near.sum()), patches=proven.numel(),
                          paired=paired, background=background)
    return AttackResult(
        reason=REASON, status=status, x=x, labels=torch.tensor([label for label, _ in steps]),
        coefficients=torch.zeros(0), samples_found_by=f"N = {N}: {by}.",
        labels_found_by="the class whose simulated step is most like the released one",
        confidence=confidence("patches", facts, status),
        residuals={"residual": _residual(equations, x)}, limits=limits,
        facts={"equations": len(equations.left), "unknowns": equations.unknowns, "sample_facts": facts,
               "patches_proven": [int(own.sum()) for own in proven], "patches": proven.shape[1],
               "patches_near": [int(own.sum()) for own in near],
               "step_cosine": [cosine for _, cosine in steps],
               "timings": {"images": time.monotonic() - clock}},
        tensors={"x": x[None], "proven": proven.to(torch.uint8)})


def _shown(monitor: Monitor, equations: PatchEquations, N: int) -> Callable[[int, dict[int, list[Vertex]]], None]:
    """Progress by place, and what is proven so far as a snapshot."""
    T, D = len(equations.right), equations.inputs.embedding.shape[1]

    def show(place: int, found: dict[int, list[Vertex]]) -> None:
        patches = np.zeros((N, T, D))
        for where, vertices in found.items():
            for image, vertex in enumerate(vertices):
                patches[image, where] = vertex.patch
        known = sum(map(len, found.values()))
        monitor.progress(place + 1, T)
        monitor.record(place + 1, proven=known)
        monitor.snapshot(place + 1, equations.inputs.images(torch.from_numpy(patches)).float())
    return show


def _unproven(equations: PatchEquations, x: Tensor, near: Tensor) -> list[float]:
    """Of each image, the share of its patches that are neither proven nor known up to noise; known ones that are flat
    count for nothing, since a blank border says little of a picture."""
    patches = equations.inputs.patches(x)
    drawn = (patches.amax(-1) - patches.amin(-1) > FLAT) & near
    open_ = (~near).sum(1)
    return (open_ / (open_ + drawn.sum(1)).clamp(min=1)).tolist()


def _residual(equations: PatchEquations, x: Tensor) -> float:
    """|left (x, s) - right| of the images [N, C, H, W], their own scales taken, relative to |right|."""
    patches = equations.inputs.patches(x.double())
    z = torch.cat([patches, equations.inputs.scale(patches)[..., None]], dim=-1)
    right = equations.right.expand(len(x), -1, -1)
    return float((z @ equations.left.T - right).norm() / right.norm())


def _refused(observation: TransformerAdapter, equations: PatchEquations, why: str) -> AttackResult:
    shape, none = observation.network.image_shape, torch.zeros(0)
    return AttackResult(
        reason=REASON, status=Status.NO_EQUATIONS, x=torch.zeros(0, *shape), labels=none.long(), coefficients=none,
        samples_found_by="No equation shows how many samples there are.", labels_found_by="no image was found",
        confidence=[],
        residuals={"residual": 1.0}, limits=[why], facts={"equations": 0, "unknowns": equations.unknowns},
        tensors={"x": torch.zeros(1, 0, *shape)})
