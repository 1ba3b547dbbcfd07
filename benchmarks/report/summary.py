"""One page that sums up the studies of the key-graph, from their records alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from benchmarks.cli.escaping import escape_markdown
from benchmarks.plan.specs import TableSpec, get_spec
from benchmarks.records.cell import Cell
from benchmarks.records.record import RecordStore
from benchmarks.report.claims import answer_study, judge_claims
from benchmarks.report.judgment import VerdictLabel
from benchmarks.report.series import Records
from kgt.files import write_atomically

PAGE = "key-graph.md"
STUDIES = ("keys", "distance", "k", "window", "sharing", "fair")
_VERDICTS: tuple[VerdictLabel, ...] = ("HOLDS", "FAILS", "UNCLEAR")

_HEADING = """\
# What the key-graph buys

Six studies ask what it buys that a token attends to selected keys: whether it restores better,
whether it costs less, and when it does not matter. Each answer below is made of the records of its
study alone, whatever it is; a study without records is not measured yet.
"""
_LIMITS = """\
## Limits

- Small-scale: networks of 0.15 to 0.4 million parameters after minutes of training on 200
  photographs (in `distance`, on drawn patterns). The networks of the papers are tens of times
  larger and were trained a thousand times longer; what holds here need not hold there.
- A verdict takes three seeds of each arm and 18 images. It is over both, and about the recipe, not
  about one training. Differences below 0.1 dB often stay undecided.
- Each task and set is judged for itself, at 99 %: of a hundred rows, one may err.
- Learning rates are chosen among three for a family of networks, with one seed each, by [the study
  `rates`](study-rates-cpu.md).
- Motion blur and weather are synthetic; their scores stand for no published set.
- Times are those of one CPU. On a GPU the order may differ.
"""


def write_summary(results: Path, reports: Path) -> Path:
    """Write the page of what is recorded in `results/records`; returns its path."""
    lines = [_HEADING, "| study | question | measured | verdicts |", "| --- | --- | --- | --- |"]
    sections = []
    for name in STUDIES:
        spec = get_spec(name, "study")
        cells, records = _read(spec, results)
        link = _link(spec, records)
        verdicts = _count_verdicts(spec, records)
        lines.append(f"| {link} | {spec.title} | {_cover(cells, records)} | {verdicts} |")
        answer = escape_markdown(answer_study(spec, records))
        sections += [f"## {spec.title}", "", answer, "", f"Study {link}.", ""]
    command = "python -m benchmarks.reproduce --summary"
    text = "\n".join([*lines, "", *sections, _LIMITS])
    write_atomically(reports / PAGE, f"{text}\nRegenerate from the records: `{command}`\n")
    return reports / PAGE


def _read(spec: TableSpec, results: Path) -> tuple[list[Cell], Records]:
    """The cells of the default profile, and the records that its page is made of."""
    name, profile = spec.profile(None)
    cells = profile.cells()
    return cells, RecordStore(results / "records" / f"{spec.file_stem(name)}.jsonl").newest(cells)


def _link(spec: TableSpec, records: Records) -> str:
    """The name of a study, with its page where it has one."""
    name = f"`{spec.name}`"
    return f"[{name}]({spec.file_stem(spec.default_profile)}.md)" if records else name


def _cover(cells: list[Cell], records: Records) -> str:
    valued = sum(record.status == "ok" for record in records.values())
    return f"{valued:,} of {len(cells):,} cells" if valued else "not yet"


def _count_verdicts(spec: TableSpec, records: Records) -> str:
    claims = spec.profile(None)[1].claims
    counts = Counter(judgment.verdict for judgment in judge_claims(claims, records))
    return (
        ", ".join(f"{counts[verdict]} {verdict}" for verdict in _VERDICTS if counts[verdict]) or "-"
    )
