"""Pictures that the worker writes once and pages show as they are."""

import io

import numpy as np
import torch
from PIL import Image


def grid_png(images: torch.Tensor, *, columns: int = 10, cell: int = 112, gap: int = 8) -> bytes:
    """PNG of images [N, C, H, W] in [0, 1] (values outside are clipped), row by row, on transparent ground.

    Cells are enlarged by whole factors without smoothing, so that a pixel stays a pixel.
    """
    pixels = (images.detach().float().cpu().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    count, height, width, channels = pixels.shape
    factor = max(1, cell // max(height, width))
    columns = min(columns, count)
    rows = -(-count // columns)
    sheet = np.zeros((rows * (height * factor + gap) - gap, columns * (width * factor + gap) - gap, 4), np.uint8)
    for index, image in enumerate(pixels):
        top = index // columns * (height * factor + gap)
        left = index % columns * (width * factor + gap)
        big = image.repeat(factor, axis=0).repeat(factor, axis=1)
        sheet[top: top + big.shape[0], left: left + big.shape[1], :3] = big if channels == 3 else big[..., :1]
        sheet[top: top + big.shape[0], left: left + big.shape[1], 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(sheet, "RGBA").save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
