"""The files of a site: pages from templates, in memory until all are made."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from kgt.files import make_folder

_HERE = Path(__file__).parent
_CODE = re.compile("`([^`]+)`")
# A sign before a number; a hyphen within a name, a date or an exponent is none.
_SIGN = re.compile(r"(?<![\w.-])-(?=\d)")
# What a folder holds that a build may replace as a whole.
MARKER = "kgt-site.txt"
# Pages that the head of every page leads to.
NAVIGABLE = {
    "tables.html": "Tables",
    "claims.html": "Claims",
    "tasks.html": "Tasks",
    "models.html": "Models",
    "speed.html": "Speed",
    "method.html": "Method",
    "explorer.html": "Explorer",
    "reviewers.html": "Questions",
    "history.html": "History",
    "machines.html": "Machines",
}
_MARKED = "python -m benchmarks.report site made this folder and replaces all of it\n"


class Site:
    """Files by their path from the site's folder on.

    Text that pages are given is escaped by the templates, whatever it holds.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {MARKER: _MARKED.encode()}
        self._beside = ProcessPoolExecutor(1, get_context("spawn"))
        self._made_beside: list[tuple[str, Future[str]]] = []
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=write_signs,
        )
        self._templates.filters |= {"text": keep_quotes, "prose": mark_code, "signs": write_signs}
        self._templates.globals["navigable"] = NAVIGABLE

    def add(self, path: str, content: str | bytes) -> str:
        """Add a file; returns its path.

        Raises:
            ValueError: two files would have one path.
        """
        data = content.encode() if isinstance(content, str) else content
        if self.files.get(path, data) != data:
            raise ValueError(f"two files of a site have the path {path}")
        self.files[path] = data
        return path

    def add_beside(self, path: str, make: Callable[..., str], *source: object) -> None:
        """Add what a function makes of a source, in a process beside the making of pages."""
        self._made_beside.append((path, self._beside.submit(make, *source)))

    def finish(self) -> None:
        """Add what was made beside the pages, when it is there.

        Raises:
            ValueError: two files would have one path.
        """
        with self._beside:
            for path, made in self._made_beside:
                self.add(path, made.result())

    def add_page(self, path: str, template: str, **values: object) -> str:
        """Add a page, whose template has the way up to the site's folder as `root`."""
        root = "../" * path.count("/")
        content = self._templates.get_template(template).render(root=root, here=path, **values)
        return self.add(path, content)

    def add_assets(self) -> None:
        """Add styles, scripts and the files of others with their licenses."""
        for folder in ("assets", "vendor"):
            for file in sorted((_HERE / folder).iterdir()):
                self.add(f"{folder}/{file.name}", file.read_bytes())

    def write(self, folder: Path) -> None:
        """Put the files in the place of a folder; nothing of an earlier build is left.

        Raises:
            ValueError: the folder holds something else than a site.
            OSError: it cannot be written.
        """
        if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).is_file():
            raise ValueError(
                f"{folder} holds files that are no site, and a site would replace them; "
                "--out names another folder"
            )
        make_folder(folder.parent)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as parts:
            new, old = Path(parts) / "new", Path(parts) / "old"
            for path, data in self.files.items():
                target = new / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            if folder.exists():
                shutil.move(folder, old)
            shutil.move(new, folder)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))


def write_signs(value: object) -> object:
    """Text with minus signs before its numbers; what is markup, such as JSON, or a number stays."""
    if isinstance(value, Markup | int | float):
        return value
    return _SIGN.sub("\N{MINUS SIGN}", str(value))


def keep_quotes(text: object) -> Markup:
    """Text between tags, where quotation marks need not be escaped and would take much room."""
    if isinstance(text, Markup):
        return text
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Markup(escaped)


def mark_code(text: str) -> Markup:
    """Text of a specification, in which backticks stand around code; the rest is escaped."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))
