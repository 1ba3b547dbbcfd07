"""The pages: links lead somewhere, examples run, and the README stays short."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tests.kgt.pictures.test_raw import take_photograph
from tests.test_imports import FLOORS

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITH_EXAMPLES = [page for page in PAGES if PYTHON.search(page.read_text())]


def _name(page):
    return page.relative_to(ROOT).as_posix()


def _anchors(page):
    """The names by which a page's headings can be linked."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def find_dead_links(page):
    """Relative links of a page to files or headings that do not exist."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_resolve(page):
    assert find_dead_links(page) == []


def test_a_dead_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A title\n[a](#a-title) [b](#none) [c](page.md) [d](gone.md) [e](https://x)")
    assert find_dead_links(page) == ["#none", "gone.md"]


def test_every_page_is_reached_from_the_index():
    index = ROOT / "docs" / "README.md"
    linked = {
        (index.parent / link).resolve()
        for link in re.findall(r"\]\(([^)]+\.md)\)", index.read_text())
    }
    assert set(PAGES[3:]) - {index} <= linked


def test_readme_is_short_and_keeps_the_command_that_ci_runs():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    (command,) = re.findall(r"<!-- test -->\n    (.+)\n<!-- end -->", text)
    assert "-m pytest" in command


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=_name)
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (48, 40), "gray").save("photo.jpg")
    take_photograph("photo.dng", np.full((48, 40, 3), 128, np.uint8))
    torch.manual_seed(0)
    names = {}
    for example in PYTHON.findall(page.read_text()):
        exec(compile(example, _name(page), "exec"), names)


def test_citation_names_this_software_and_both_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert [paper["url"][-10:] for paper in citation["references"]] == ["2402.02634", "2405.20008"]


@pytest.mark.parametrize("package", sorted(FLOORS))
def test_the_page_of_the_architecture_has_the_floors_that_imports_are_held_to(package):
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.partition(f"## The floors of {package}")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert named == [
        floor for floor in FLOORS[package] if not re.match(r"__|conftest|test_", floor)
    ]
