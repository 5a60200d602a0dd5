"""A curve the size of a word, as SVG."""

from core.plots.palette import STRONG
from core.plots.series import Series, downsample


def sparkline_svg(series: Series, *, width: int = 280, height: int = 56) -> str:
    """SVG of a curve that stretches with its box; empty text where there are fewer than two points."""
    points = [(x, y) for x, y in zip(*downsample(series.x, series.y, 120), strict=True) if y is not None]
    if len(points) < 2:
        return ""
    left, right = points[0][0], points[-1][0]
    low, high = min(y for _, y in points), max(y for _, y in points)
    path = " ".join(f"{(x - left) / ((right - left) or 1) * (width - 6) + 3:.1f},"
                    f"{height - 4 - (y - low) / ((high - low) or 1) * (height - 8):.1f}" for x, y in points)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
            f'<polyline points="{path}" fill="none" stroke="{STRONG}" stroke-width="2" '
            'vector-effect="non-scaling-stroke" stroke-linejoin="round"/></svg>')
