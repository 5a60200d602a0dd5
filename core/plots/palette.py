"""Colours of traces, chosen once for both themes.

Each keeps a contrast of at least 3:1 against the light and the dark page (a test computes it),
and neighbours differ in lightness as well as in hue, for readers who see hues less well.
"""

COLOURS = ("#3b82f6", "#d9730d", "#0f9d7a", "#c2528b", "#7f6be8", "#a8810a", "#5d8796", "#d64545")
STRONG, ACCENT, GOOD, QUIET = COLOURS[0], COLOURS[1], COLOURS[2], "#8b8fa3"
BACKGROUNDS = {"light": "#ffffff", "dark": "#12141c"}  # of .streamlit/config.toml


def colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def contrast(first: str, second: str) -> float:
    """WCAG contrast ratio of two ``#rrggbb`` colours, 1 to 21."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(hexadecimal: str) -> float:
    channels = [int(hexadecimal[start:start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
