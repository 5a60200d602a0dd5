"""What AppTest saw of a page."""

from streamlit.testing.v1 import AppTest

PROSE = ("title", "subheader", "markdown", "caption", "info", "warning", "error", "html")


def check(app: AppTest) -> None:
    """No exception anywhere on the page."""
    assert not app.exception, [item.value for item in app.exception]


def text(app: AppTest) -> str:
    """All that a reader sees, but for widgets."""
    return "\n".join(str(item.value) for kind in PROSE for item in app.get(kind))
