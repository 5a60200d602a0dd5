"""Pictures of the running dashboard for the README.

    python scripts/screenshots.py --url http://127.0.0.1:8501 --out assets/screenshots

Needs chromium: $AFTERIMAGE_CHROMIUM, or chromium / chromium-browser / google-chrome in the PATH.
Shows the newest finished run of each kind; pages without runs are shown as they are.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync"]
PAGES = ("overview", "pretrain", "finetune", "attack", "experiments", "search", "compare")


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
    """Wait until the page has drawn itself: its script has ended once and every chart has its curves; then `fade`
    milliseconds more, as plots and images fade in."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=60_000)
    page.locator("[data-testid=stHeading]").first.wait_for(timeout=60_000)
    page.wait_for_function("() => [...document.querySelectorAll('[data-testid=stPlotlyChart]')]"
                           ".every(chart => chart.querySelector('.main-svg'))", timeout=60_000)
    # A fresh server sends the code of each kind of widget at its first use; until then a grey bar stands in.
    page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')", timeout=60_000)
    page.wait_for_timeout(fade)


def addresses(url: str, runs: Path | None) -> dict[str, str]:
    """Picture name to address: each page, and the newest finished run of each kind where `runs` has one."""
    found = {page: f"{url}/{page if page != 'overview' else ''}" for page in PAGES}
    if runs is not None:
        from core.runs.store import RunStore

        for run in reversed(RunStore(runs).list()):
            if run.status().state == "done":
                kind = run.config().kind
                found[f"{kind}-run"] = f"{url}/{'experiments' if kind == 'experiment' else kind}?run={run.id}"
    return found


def take(url: str, out: Path, *, runs: Path | None, size: tuple[int, int], schemes: list[str], only: list[str],
         whole: bool) -> list[Path]:
    """Write ``NAME-SCHEME.png`` files; returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    with chromium() as browser:
        for scheme in schemes:
            page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
            for name, address in addresses(url, runs).items():
                if only and name not in only:
                    continue
                page.goto(address)
                settle(page)
                if whole:  # the page scrolls inside a container, so the window grows to its content
                    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
                    page.set_viewport_size({"width": size[0], "height": max(size[1], height)})
                    page.wait_for_timeout(600)
                path = out / f"{name}-{scheme}.png"
                page.screenshot(path=path)
                written.append(path)
                page.set_viewport_size({"width": size[0], "height": size[1]})
            page.close()
    return written


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8501", help="address of the running dashboard")
    parser.add_argument("--out", type=Path, default=Path("assets/screenshots"), help="folder of the pictures")
    parser.add_argument("--runs", type=Path, help="its runs folder, to show finished runs as well")
    parser.add_argument("--size", default="1280x900", help="window, WIDTHxHEIGHT")
    parser.add_argument("--scheme", choices=("light", "dark", "both"), default="both")
    parser.add_argument("--only", nargs="*", default=[], help="names of pictures, such as overview attack-run")
    parser.add_argument("--whole", action="store_true", help="the whole length of each page")
    chosen = parser.parse_args()
    width, _, height = chosen.size.partition("x")
    schemes = ["light", "dark"] if chosen.scheme == "both" else [chosen.scheme]
    try:
        for path in take(chosen.url.rstrip("/"), chosen.out, runs=chosen.runs, size=(int(width), int(height)),
                         schemes=schemes, only=chosen.only, whole=chosen.whole):
            print(path)
    except (FileNotFoundError, ValueError) as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    sys.exit(main())
