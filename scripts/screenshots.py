"""A browser to drive, and when a page of the dashboard is ready for a picture.

Needs chromium: $AFTERIMAGE_CHROMIUM, or chromium / chromium-browser / google-chrome in the PATH.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync"]

STILL = """quiet => new Promise(done => {
    let timer = setTimeout(done, quiet);
    const seen = new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(done, quiet); });
    seen.observe(document.body, { childList: true, subtree: true });
    setTimeout(done, 10_000 + quiet);  // a page may never be still
})"""


def find_chromium() -> str | None:
    """The browser to drive; None where there is none."""
    named = os.environ.get("AFTERIMAGE_CHROMIUM")
    if named:
        return named if Path(named).exists() else None
    return next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
                None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's browser under playwright; playwright's own download is not used."""
    path = find_chromium()
    if path is None:
        raise FileNotFoundError("no chromium found; install it or set AFTERIMAGE_CHROMIUM to its path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def settle(page: Page, *, fade: int = 700) -> None:
    """Wait until the page has drawn itself: its script has ended once, every chart has its curves, and for `fade`
    milliseconds nothing came or went, as plots and images fade in and widgets are mounted twice."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=60_000)
    page.locator("[data-testid=stHeading]").first.wait_for(timeout=60_000)
    page.wait_for_function("() => [...document.querySelectorAll('.ai-plot')]"
                           ".every(plot => plot.querySelector('.main-svg'))", timeout=60_000)
    # A fresh server sends the code of each kind of widget at its first use; until then a grey bar stands in.
    page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')", timeout=60_000)
    page.evaluate(STILL, fade)
