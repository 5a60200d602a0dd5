"""Numbers and times as people read them."""

import math
import time
from typing import Any

NONE = "–"


def number(value: Any, digits: int = 3) -> str:
    """`digits` significant ones, thousands separated, powers of ten only where they help; ``–`` for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        return minus(f"{value:,}")
    if math.isinf(value):
        return minus("∞" if value > 0 else "-∞")
    size = abs(value)
    if size != 0 and (size < 1e-3 or size >= 1e6):
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return minus(f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}")
    if size >= 10 ** (digits - 1):
        return minus(f"{value:,.0f}")
    places = digits - 1 - (math.floor(math.log10(size)) if size else 0)
    text = f"{value:.{places}f}"
    return minus(text.rstrip("0").rstrip(".") if "." in text else text)


def fixed(value: float | None, places: int = 2) -> str:
    """For columns of numbers that are compared: always the same places."""
    return NONE if value is None or math.isnan(value) else minus(f"{value:,.{places}f}")


def percent(fraction: float | None) -> str:
    """A share in [0, 1]: ``12 %``, ``0.4 %``."""
    return NONE if fraction is None else f"{number(100 * fraction, 2)} %"


def duration(seconds: float | None) -> str:
    """``0.8 s``, ``42 s``, ``3 min 05 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds is None:
        return NONE
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def ago(moment: float | None, now: float | None = None) -> str:
    """How long before `now` (default: the clock) a Unix time lies, roughly."""
    if not moment:
        return NONE
    seconds = max(0.0, (time.time() if now is None else now) - moment)
    if seconds < 45:
        return "just now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size or unit == "min":
            return f"{max(1, round(seconds / size))} {unit} ago"
    raise AssertionError("unreachable: minutes always match")


def clock(moment: float) -> str:
    """A Unix time on this machine's clock: ``23 Nov 16:27``."""
    return time.strftime("%d %b %H:%M", time.localtime(moment)).lstrip("0")


def size(amount: float) -> str:
    """Bytes: ``812 MB``, ``1.4 GB``."""
    return f"{amount / 1e9:.1f} GB" if amount >= 1e9 else f"{amount / 1e6:.0f} MB"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """``1 step``, ``2 steps``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def minus(text: str) -> str:
    """A real minus sign, except in an exponent, which people copy into fields."""
    return "−" + text[1:] if text.startswith("-") else text
