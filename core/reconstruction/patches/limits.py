"""What keeps the patch attack from an image, or limits one, in sentences."""

import torch

from core.io.wording import counted
from core.reconstruction.patches.equations import BLOCK, PROJECTIONS, PatchEquations
from core.threat.observation import TransformerAdapter

MORE = ("A training folder (two checkpoints, or the optimiser's state) would say more than the adapter alone.")


def out_of_reach(observation: TransformerAdapter, equations: PatchEquations) -> str:
    """Why no image follows; empty where one may."""
    if not equations.projections:
        adapted = ", ".join(name for name in observation.layers)
        return ("The adapter trains none of query, key and value of the first block, which alone are given the patches "
                f"as they are; it trains {adapted[:200]}.")
    if any(projection.rank is not None for projection in equations.projections):
        return ""
    tokens = len(equations.inputs.offset) + 1
    r = max(projection.r for projection in equations.projections)
    names = " and ".join(projection.name for projection in equations.projections)
    if r <= tokens:
        return (f"Rank {r} is not above the {tokens} inputs (patches and class token) that one image alone gives each "
                f"projection, so the B of {names} is full and no equation is left over. {MORE}")
    B = next(factors.B for name in PROJECTIONS if (factors := observation.factors(BLOCK + name)) is not None)
    if B.dtype in (torch.bfloat16, torch.float16):
        return (f"The B of {names} is stored in {str(B.dtype).removeprefix('torch.')}, whose rounding is as large as "
                f"its smaller singular values: no rank shows, and no equation is left over. {MORE}")
    return (f"The B of {names} has full rank {r}, more than the {tokens} inputs of one image: the optimiser was "
            f"adaptive (AdamW scales every entry by itself), or there are more than {(r - 2) // (tokens - 1)} images, "
            f"or noise was added. No equation is left over. {MORE}")


def patch_limits(equations: PatchEquations, *, N: int, near: int, patches: int, paired: bool,
                 background: str) -> list[str]:
    """Sentences for the report of images that were found."""
    said = []
    unread = [projection.name for projection in equations.projections if projection.rank is None]
    if unread:
        said.append(f"The B of {' and '.join(unread)} shows no rank and gives no equations.")
    if any(projection.first_step for projection in equations.projections):
        said.append("The optimiser was adaptive, and this its first step: the gradient was read through its epsilon, "
                    "which is good to a few thousandths, so patches are known up to that noise.")
    if near < patches:
        rest = f"they are what is preferred on {background} paper" if background else "they are left black"
        said.append(f"{counted(patches - near, 'patch', 'patches')} of {patches} not proven: their equations leave "
                    f"room in [0, 1], and {rest}.")
    if paired:
        said.append("Which patch belongs to which image the equations do not say: they were put together by their "
                    "borders, which is a guess.")
    if N > 1 and near < patches:
        said.append("Where one patch was found for several images it may be shared by them, or hide another one.")
    return said
