"""The index of the reports folder."""

from __future__ import annotations

from pathlib import Path

from benchmarks.cli.escaping import escape_markdown
from benchmarks.report.summary import PAGE as SUMMARY
from kgt.files import write_atomically

_INTRODUCTION = """\
# Reports

Every file here is generated from the records under `results/`; none is edited by hand. A page says
at its end on which machine it was measured and by which command it is regenerated.
"""


_PAGES = (SUMMARY, "table*.md", "study-*.md", "regression.md")
# The profile, and the folder of its pages.
SMOKE = "smoke"
_HEADING = "\n## Smoke tests\n\nThey say whether the chain works, on few cells.\n"


def write_index(folder: Path) -> None:
    """Write README.md: every report with its forms and the command that regenerates it."""
    lines = [_INTRODUCTION, *_list_pages(folder, "")]
    smoke = _list_pages(folder / SMOKE, f"{SMOKE}/")
    lines += [_HEADING, *smoke] if smoke else []
    write_atomically(folder / "README.md", "\n".join(lines) + "\n")


def _list_pages(folder: Path, prefix: str) -> list[str]:
    """A table of the pages in a folder, none where it has none."""
    lines = ["| report | forms | regenerate |", "| --- | --- | --- |"]
    pages = [path for name in _PAGES for path in sorted(folder.glob(name))]
    for page in pages:
        text = page.read_text(encoding="utf-8").splitlines()
        title = escape_markdown(text[0].removeprefix("# ") if text else page.stem)
        command = next((line for line in reversed(text) if line.startswith("Regenerate")), "")
        forms = ", ".join(
            f"[{path.suffix[1:]}]({prefix}{path.name})"
            for suffix in (".csv", ".tex", ".svg")
            if (path := page.with_suffix(suffix)).exists()
        )
        lines.append(f"| [{title}]({prefix}{page.name}) | {forms} | {command.partition(': ')[2]} |")
    return lines if pages else []
