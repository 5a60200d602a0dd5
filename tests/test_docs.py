"""The documentation builds, its links lead somewhere, and what it says of the code's structure is so. No network."""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
import torch
from torch import nn

from core.cli.main import build_parser
from core.config.monitor import Silent
from core.models.layer_types import factored_gradients
from core.models.mlp import MLP
from core.reconstruction.method import ADAPTER

ROOT = Path(__file__).parents[1]
TOP = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")


class _Page(HTMLParser):
    """Addresses that a page asks for, and anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value and not (tag == "link" and value.startswith("http")):
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Not with --quiet: warnings that are not printed do not count, and --strict passes all."""
    return subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d",
                           str(site)], cwd=ROOT, capture_output=True, text=True, check=False,
                          env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})


def dead(site: Path) -> list[str]:
    """Links of built pages to files or anchors that are not there. Links to the web are left alone."""
    pages = {path: _Page(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}
    found = []
    for path, page in pages.items():
        for link in page.links:
            address = urlsplit(link)
            if address.scheme:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (address.fragment and target in pages
                                       and unquote(address.fragment) not in pages[target].anchors):
                found.append(f"{path.relative_to(site)}: {link}")
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    answer = build(ROOT / "mkdocs.yml", folder)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder


def test_the_pages_build_without_a_warning_and_have_no_dead_link(site):
    assert (site / "methods/algebraic.html").exists()
    assert dead(site) == []


def test_built_pages_ask_nothing_of_the_web(site):
    """Scripts, styles, fonts and pictures are the site's own."""
    wanted = re.compile(r"<(?:script|img|iframe)[^>]+src=.(?:https?:)?//|<link[^>]+stylesheet[^>]+href=.(?:https?:)?//")
    assert [path.name for path in site.rglob("*.html") if wanted.search(path.read_text())] == []


def test_dead_links_are_found(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# A page\n\n[1](nowhere.md) [2](index.md#nowhere) [3](picture.png)\n")
    checks = (ROOT / "mkdocs.yml").read_text().partition("\nvalidation:")
    (tmp_path / "mkdocs.yml").write_text("site_name: A" + checks[1] + checks[2])
    answer = build(tmp_path / "mkdocs.yml", tmp_path / "built")
    assert answer.returncode == 1
    assert "Aborted with 3 warnings in strict mode" in answer.stdout + answer.stderr
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text('<h1 id="here"></h1><a href="#here"></a><a href="#there"></a>'
                                              '<img src="missing.png"><a href="https://example.org"></a>')
    assert dead(tmp_path / "site") == ["index.html: #there", "index.html: missing.png"]


@pytest.mark.parametrize("name", TOP)
def test_links_of_the_files_at_the_top(name):
    text = (ROOT / name).read_text()
    links = [link for link in LINK.findall(text) if not urlsplit(link).scheme]
    assert [link for link in links if not (ROOT / link.split("#")[0]).exists()] == []
    assert links or name == "CHANGELOG.md"


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text().split()) <= 1050


def test_the_plan_of_rooms_is_the_one_that_is_enforced():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    rows = re.findall(r"^\| (`.*?`(?:, `.*?`)*) \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    assert [re.findall(r"`(\w+)`", row) for row in rows] == [layer.split(" | ") for layer in layers]


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_paths_that_the_pages_name_exist():
    folders = re.compile(r"`((?:core|pages|tests|scripts|benchmarks|docs|assets)/[\w./-]*)`")
    named = {(path.name, name) for path in documents() for name in folders.findall(path.read_text())}
    assert len(named) > 10
    assert [item for item in sorted(named) if not (ROOT / item[1]).exists()] == []


def commands() -> dict[str, argparse.ArgumentParser]:
    return next(action.choices for action in build_parser()._actions if isinstance(action.choices, dict))


def test_commands_and_benchmarks_that_the_pages_name_exist():
    text = "\n".join(path.read_text() for path in documents())
    assert set(re.findall(r"python -m core ([a-z]+)", text)) - set(commands()) == set()
    modules = set(re.findall(r"python -m ((?:benchmarks|scripts)\.\w+)", text))
    assert len(modules) > 4
    assert [name for name in sorted(modules) if not (ROOT / f"{name.replace('.', '/')}.py").exists()] == []


def test_knobs_that_the_pages_of_methods_name_exist():
    options = {option.removeprefix("--").replace("-", "_") for option in commands()["attack"]._option_string_actions}
    tables = [re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", path.read_text(), re.MULTILINE)
              for path in sorted((ROOT / "docs/methods").glob("*.md"))]
    assert all(tables)
    assert {name for table in tables for row in table for name in re.findall(r"`(\w+)`", row)} - options == set()


def example(page: str, folder: Path) -> ModuleType:
    """The Python of a page as a module of its own."""
    file = folder / "example.py"
    file.write_text(re.search(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)[1])
    specification = importlib.util.spec_from_file_location("example", file)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_method_of_the_page_is_one(tmp_path):
    method = example("docs/add-a-method.md", tmp_path).METHOD
    network = MLP([36, 5, 1], image_shape=(1, 6, 6))
    observation = SimpleNamespace(kind=ADAPTER, network=network)
    result = method.attack(observation, method.knobs(guesses=3), Silent(), began=0.0)
    assert result.method == "mean"
    assert result.x.shape == (3, 1, 6, 6)


def test_the_layer_type_of_the_page_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr("core.models.layer_types.LAYER_TYPES", {})
    turned = example("docs/add-a-layer-type.md", tmp_path).Turned(4, 1)
    x = torch.rand(3, 2, 4)
    _, layers = factored_gradients(nn.Sequential(turned, nn.Flatten()), x, directions=torch.ones(3, 2))
    assert torch.allclose(layers["0"].places.gradients()[:, 0], x.sum(1))
