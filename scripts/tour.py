"""The pictures of README and docs: a dashboard of its own, the guided demo and one experiment in it, a picture each.

    python -m scripts.tour [--out docs/screenshots]

Takes about four minutes on two cores. Needs chromium, as scripts/screenshots.py does.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

from scripts.screenshots import chromium, settle
from scripts.server import dashboard

DEMO_MS = 300_000
PAGE_MS = 60_000


def picture(page: Page, out: Path, name: str, *, at: str = "") -> None:
    """Of the window, from the heading `at` on."""
    settle(page)
    if at:
        page.get_by_text(at, exact=True).first.evaluate("element => element.scrollIntoView({block: 'start'})")
        page.mouse.wheel(0, -80)  # below the menu
        page.wait_for_timeout(500)
    path = out / f"{name}.png"
    page.screenshot(path=path)
    print(path, flush=True)


def tour(page: Page, out: Path) -> None:
    page.goto("/demo")
    page.get_by_role("button", name="Start the demo").click()
    expect(page.get_by_text("6 runs in")).to_be_visible(timeout=DEMO_MS)
    picture(page, out, "guided-demo", at="3 · Exact recovery")
    page.goto("/evidence")
    page.get_by_role("button", name="Test it", exact=True).first.click()  # goes on while the others are taken
    page.wait_for_url(re.compile("experiments.*run="))
    page.goto("/")
    picture(page, out, "overview")
    page.goto("/attack")
    picture(page, out, "choose")
    picture(page, out, "knobs", at="Forecast")
    page.get_by_role("link", name="Guided demo: gradient matching").first.click()
    page.wait_for_url(re.compile("run="))
    page.get_by_text("Nearest training image").first.click()
    picture(page, out, "attack")
    page.goto("/compare")
    picture(page, out, "compare")
    page.goto("/compare?view=all&over=rank")
    picture(page, out, "all-attacks")
    page.goto("/evidence")
    for _ in range(DEMO_MS // PAGE_MS):  # the page shows verdicts, and does not wait for them
        if page.get_by_text("Our verdict").count():
            break
        page.wait_for_timeout(PAGE_MS)
        page.reload()
        settle(page)
    picture(page, out, "evidence")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots"), help="folder of the pictures")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        runs.mkdir()
        with dashboard(runs, Path(folder) / "server.log") as (_, address), chromium() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light", base_url=address)
            page.set_default_timeout(PAGE_MS)
            tour(page, chosen.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
