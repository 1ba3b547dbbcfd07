"""A page per network that ships: its card, its curve, what it takes, and where it is seen."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path

import altair as alt
from markdown_it import MarkdownIt
from markupsafe import Markup

from baselines import registry
from baselines.catalog import list_any_models
from benchmarks.records.cell import NetworkCell
from benchmarks.records.result import CostResult, NetworkLatency, NetworkMemory
from benchmarks.report.series import select
from benchmarks.report.signs import LEVELS, shade, sign_of_model
from benchmarks.report.site.charts import Chart, add_chart
from benchmarks.report.site.library import Library
from benchmarks.report.site.tables import Cell, make_view
from benchmarks.report.site.writer import Site
from benchmarks.tasks import TASKS
from kgt import zoo
from kgt.checkpoints import read_checkpoint
from kgt.pretrained import find_weights

_MIB = 2**20
_MOST_POINTS = 120
_PICTURE = re.compile(r"^!\[.*\]\(.*\)$", re.MULTILINE)
_HEADER = ("model", "quantity", "value", "input", "k", "backend", "threads", "report")


def add(site: Site, library: Library) -> None:
    """Add the pages."""
    shipped = find_weights(zoo.WEIGHTS) | find_weights(registry.WEIGHTS)
    taken = _list_taken(library)
    rows = []
    for name, weights in shipped.items():
        card = weights.path.with_suffix(".md")
        metadata = read_checkpoint(weights.path).metadata
        tasks = metadata["tasks"].split()
        path = site.add_page(
            f"model/{name}.html",
            "model.html",
            name=name,
            card=_render_card(card),
            chart=_add_curve(site, name, weights.path.with_suffix(".csv")),
            view=make_view("taken", _HEADER, taken.get(name, []), ("quantity", "input")),
            families=dict.fromkeys(TASKS[task].family for task in tasks if task in TASKS),
        )
        rows.append([Cell(name, path, style="pin"), Cell(", ".join(tasks)), Cell(metadata["data"])])
    others = [
        row for name in list_any_models() if name not in shipped for row in taken.get(name, [])
    ]
    site.add_page(
        "models.html",
        "models.html",
        shipped=make_view("shipped", ("model", "tasks", "trained on"), rows),
        others=make_view("others", _HEADER, others, ("model", "quantity", "input")),
    )


def _add_curve(site: Site, name: str, log: Path) -> Chart:
    """The loss of a training by step, and the PSNR of held-out images."""
    with log.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    thinned = rows[:: max(len(rows) // _MOST_POINTS, 1)]
    loss = [{"step": int(row["step"]), "loss": float(row["loss"])} for row in thinned]
    held = [
        {"step": int(row["step"]), "PSNR": float(value), "task": key.removeprefix("psnr ")}
        for row in rows
        for key, value in row.items()
        if key.startswith("psnr ") and value
    ]
    left = (
        alt.Chart(alt.Data(values=loss))
        .mark_line(color=sign_of_model(name).color)
        .encode(x="step:Q", y=alt.Y("loss:Q", scale=alt.Scale(type="log")))
    )
    tasks = list(dict.fromkeys(point["task"] for point in held))
    shades = [shade(LEVELS, index, len(tasks)) for index in range(len(tasks))]
    right = (
        alt.Chart(alt.Data(values=held))
        .mark_line(point=True)
        .encode(
            x="step:Q",
            y=alt.Y("PSNR:Q", title="PSNR, dB", scale=alt.Scale(zero=False)),
            color=alt.Color("task:N", scale=alt.Scale(domain=tasks, range=shades)),
        )
    )
    panels = [panel.properties(width=260, height=180) for panel in (left, right)]
    about = "Loss of the training by step, and PSNR of images that were held out."
    return add_chart(site, f"curve-{name}", about, alt.hconcat(*panels))


def _render_card(path: Path) -> Markup:
    """A card as HTML; its own markup is text, and its headings begin one level lower.

    Its picture of the training is left out, since the page draws it.
    """
    parser = MarkdownIt("js-default", {"html": False})
    tokens = parser.parse(_PICTURE.sub("", path.read_text(encoding="utf-8")))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1]) + 1}"
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def _list_taken(library: Library) -> dict[str, list[list[Cell]]]:
    """What calls take, by model: seconds per megapixel of input, memory, parameters, FLOPs."""
    rows: dict[str, list[list[Cell]]] = defaultdict(list)
    for exhibit in library.exhibits:
        if exhibit.profile_name == "smoke":
            continue

        def show(cell: NetworkCell, name: str, value: float, digits: int = 2) -> None:
            path = library.path_of(exhibit.records[cell])  # noqa: B023  (called at once)
            report = f"{exhibit.spec.kind} {exhibit.spec.name}"  # noqa: B023
            rows[cell.model].append(
                [
                    Cell(cell.model, path, style="pin"),
                    Cell(name),
                    Cell(f"{value:,.{digits}f}", path, value),
                    Cell(cell.input),
                    Cell(str(cell.k or "")),
                    Cell(cell.backend or ""),
                    Cell(str(cell.threads or "")),
                    Cell(report, exhibit.path),  # noqa: B023
                ]
            )

        for cell, timed in select(exhibit.records, NetworkCell, NetworkLatency).items():
            show(cell, "seconds per megapixel of input", timed.latency.value * 1e3 / cell.pixels)
        for cell, held in select(exhibit.records, NetworkCell, NetworkMemory).items():
            if held.peak:
                show(cell, "peak memory of a call, MiB", held.peak.value / _MIB, 0)
        for cell, cost in select(exhibit.records, NetworkCell, CostResult).items():
            show(cell, "parameters, M", cost.parameters.value / 1e6)
            show(cell, "GFLOP of a call", cost.flops.value / 1e9)
    return rows
