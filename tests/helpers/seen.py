"""What AppTest saw of a page."""

import json
import re
from typing import Any

from streamlit.testing.v1 import AppTest

PROSE = ("title", "subheader", "markdown", "caption", "info", "warning", "error", "html")


def check(app: AppTest) -> None:
    """No exception anywhere on the page, and nothing that Streamlit's magic printed."""
    assert not app.exception, [item.value for item in app.exception]
    assert not app.get("write")
    assert {item.proto.body[:12] for item in app.get("json")} <= {'{"torch": "2'}  # the environment of a run


def plots(app: AppTest) -> list[dict[str, Any]]:
    """The figures that the page hands to plotly.js."""
    return [json.loads(json.loads(item.proto.json)["figure"]) for item in app.get("bidi_component")
            if item.proto.component_name == "plot"]


def text(app: AppTest) -> str:
    """All that a reader sees, but for widgets and what is said at the pointer."""
    return re.sub("</?abbr[^>]*>", "", "\n".join(str(item.value) for kind in PROSE for item in app.get(kind)))
