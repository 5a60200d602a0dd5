"""Pictures that the worker writes once and pages show as they are."""

import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from core.io.errors import InputError

if TYPE_CHECKING:  # pages cut grids apart without torch, which takes seconds to import
    from torch import Tensor

PICTURED = 2  # targets in a thumbnail
LAYOUT = "afterimage-grid"  # PNG text chunk that remembers where the cells are


def grid_png(images: "Tensor", *, columns: int = 10, cell: int = 112, gap: int = 8,
             names: Sequence[str] = ()) -> bytes:
    """PNG of images [N, C, H, W] in [0, 1] (values outside are clipped), row by row, on transparent ground.

    Cells are enlarged by whole factors without smoothing, so that a pixel stays a pixel. `tiles` takes them
    apart again, `row_names` reads what each row is called.
    """
    pixels = (images.detach().float().cpu().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    count, height, width, channels = pixels.shape
    factor = max(1, cell // max(height, width))
    columns = max(1, min(columns, count))
    rows = max(1, -(-count // columns))  # no images at all: one empty cell, and no tiles
    sheet = np.zeros((rows * (height * factor + gap) - gap, columns * (width * factor + gap) - gap, 4), np.uint8)
    for index, image in enumerate(pixels):
        top = index // columns * (height * factor + gap)
        left = index % columns * (width * factor + gap)
        big = image.repeat(factor, axis=0).repeat(factor, axis=1)
        sheet[top: top + big.shape[0], left: left + big.shape[1], :3] = big if channels == 3 else big[..., :1]
        sheet[top: top + big.shape[0], left: left + big.shape[1], 3] = 255
    layout = PngInfo()
    layout.add_text(LAYOUT, json.dumps({"count": count, "columns": columns, "width": width * factor,
                                        "height": height * factor, "gap": gap, "factor": factor, "names": [*names]}))
    buffer = io.BytesIO()
    Image.fromarray(sheet, "RGBA").save(buffer, "PNG", optimize=True, pnginfo=layout)
    return buffer.getvalue()


def row_names(png: bytes) -> list[str]:
    """What the rows of a grid from `grid_png` are called; [] where they have no names."""
    return _opened(png)[1].get("names", [])


def tiles(png: bytes) -> list[bytes]:
    """The single pictures of a grid from `grid_png`, in order, each a PNG of the original resolution."""
    sheet, layout = _opened(png)
    return [_png(np.asarray(_tile(sheet, layout, index))) for index in range(layout["count"])]


def _tile(sheet: Image.Image, layout: dict[str, Any], index: int) -> Image.Image:
    left = index % layout["columns"] * (layout["width"] + layout["gap"])
    top = index // layout["columns"] * (layout["height"] + layout["gap"])
    single = sheet.crop((left, top, left + layout["width"], top + layout["height"])).convert("RGB")
    return single.resize((layout["width"] // layout["factor"], layout["height"] // layout["factor"]),
                         Image.Resampling.NEAREST)


def thumbnail(truth: bytes, found: bytes, assignment: Sequence[int | None], *, most: int = PICTURED) -> bytes:
    """PNG of the first targets, each beside what was found of it (black where nothing was), out of two grids.

    `assignment` names the found picture of each target.
    """
    (targets, places), (images, found_places) = _opened(truth), _opened(found)
    cells = []
    for index, own in enumerate(assignment[:most]):
        target = np.asarray(_tile(targets, places, index))
        cells += [target, np.zeros_like(target) if own is None else np.asarray(_tile(images, found_places, own)),
                  np.full((len(target), 3, 3), 128, np.uint8)]
    return _png(np.concatenate(cells[:-1], axis=1))


def _opened(png: bytes) -> tuple[Image.Image, dict[str, Any]]:
    try:
        sheet = Image.open(io.BytesIO(png))
        return sheet, json.loads(sheet.text[LAYOUT])
    except (OSError, AttributeError, KeyError, json.JSONDecodeError) as error:
        raise InputError("picture: this file is damaged or not a grid of this program; run the run again.") from error


def difference(one: bytes, other: bytes) -> bytes:
    """PNG of |one - other| for two PNG of the same size: black where they agree."""
    first, second = (np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.int16) for png in (one, other))
    return _png(np.abs(first - second).astype(np.uint8))


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
