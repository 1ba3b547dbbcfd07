"""A page per network that ships: its card, its curve, what it takes, and where it is seen."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path

import altair as alt
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from baselines import registry
from baselines.catalog import list_any_models
from benchmarks.data.manifest import MANIFEST
from benchmarks.records.cell import NetworkCell, QualityCell
from benchmarks.records.result import CostResult, NetworkLatency, NetworkMemory, QualityResult
from benchmarks.report.series import select
from benchmarks.report.signs import LEVELS, shade, sign_of_model
from benchmarks.report.site.charts import Chart, add_chart
from benchmarks.report.site.library import Exhibit, Library
from benchmarks.report.site.pages.tasks import describe_slider
from benchmarks.report.site.pictures import SIDE, Restored
from benchmarks.report.site.tables import Cell, make_view
from benchmarks.report.site.writer import Site, write_signs
from benchmarks.tasks import TASKS
from kgt import zoo
from kgt.checkpoints import read_checkpoint
from kgt.pretrained import find_weights

_MIB = 2**20
_MOST_POINTS = 120
_PICTURE = re.compile(r"^!\[.*\]\(.*\)$", re.MULTILINE)
# What is measured of a network as a whole, by the results that hold it.
_TAKEN: dict[str, type] = {
    "time": NetworkLatency,
    "memory": NetworkMemory,
    "parameters and FLOPs": CostResult,
}
_MOST_PICTURES = 3
_HEADER = ("model", "quantity", "value", "input", "k", "backend", "threads", "report")


# What a row of a card's scores begins with: task, images, set, protocol, and the PSNR.
_Score = tuple[str, ...]


def add(site: Site, library: Library, pictures: list[Restored]) -> None:
    """Add the pages, with a few of the restored pictures each."""
    shipped = find_weights(zoo.WEIGHTS) | find_weights(registry.WEIGHTS)
    taken, scored, measuring = _list_taken(library), _list_scored(library), _list_measuring(library)
    rows = []
    for name, weights in shipped.items():
        card = weights.path.with_suffix(".md")
        metadata = read_checkpoint(weights.path).metadata
        tasks = metadata["tasks"].split()
        path = site.add_page(
            f"model/{name}.html",
            "model.html",
            name=name,
            card=_render_card(card, scored[name]),
            data=metadata["data"],
            terms=MANIFEST[metadata["data"]]["train"].source,
            gallery=[describe_slider(restored) for restored in _choose_pictures(pictures, tasks)],
            side=SIDE,
            missing={
                what: {_name(exhibit): exhibit.path for exhibit in exhibits}
                for what, (models, exhibits) in measuring.items()
                if name not in models
            },
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
        .encode(x=alt.X("step:Q"), y=alt.Y("loss:Q", scale=alt.Scale(type="log")))
    )
    tasks = list(dict.fromkeys(point["task"] for point in held))
    shades = [shade(LEVELS, index, len(tasks)) for index in range(len(tasks))]
    right = (
        alt.Chart(alt.Data(values=held))
        .mark_line(point=True)
        .encode(
            x=alt.X("step:Q"),
            y=alt.Y("PSNR:Q", title="PSNR, dB", scale=alt.Scale(zero=False)),
            color=alt.Color("task:N", scale=alt.Scale(domain=tasks, range=shades)),
        )
    )
    panels = [panel.properties(width=260, height=180) for panel in (left, right)]
    about = "Loss of the training by step, and PSNR of images that were held out."
    return add_chart(site, f"curve-{name}", about, alt.hconcat(*panels))


def _choose_pictures(pictures: list[Restored], tasks: list[str]) -> list[Restored]:
    """A few pictures of tasks, those on which KGT lies farthest behind."""
    own = [restored for restored in pictures if restored.task in tasks]
    return sorted(own, key=lambda restored: restored.difference)[:_MOST_PICTURES]


def _render_card(path: Path, scored: dict[_Score, str]) -> Markup:
    """A card as HTML; its own markup is text, and its headings begin one level lower.

    Its picture of the training is left out, since the page draws it, and its scores lead to their
    records.
    """
    parser = MarkdownIt("js-default", {"html": False})
    tokens = parser.parse(_PICTURE.sub("", path.read_text(encoding="utf-8")))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1]) + 1}"
    texts = [token for token in tokens if token.type == "inline"]
    for place, token in enumerate(texts):
        for child in token.children or []:
            child.content = str(write_signs(child.content))
        score = tuple(text.content for text in texts[place - 4 : place + 1])
        if score in scored:
            start = Token("link_open", "a", 1, {"href": f"../{scored[score]}"})
            token.children = [start, *(token.children or []), Token("link_close", "a", -1)]
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def _list_scored(library: Library) -> dict[str, dict[_Score, str]]:
    """The records of networks as they ship, by model and the row of its card."""
    found: dict[str, dict[_Score, str]] = defaultdict(dict)
    for exhibit in library.exhibits:
        for cell, result in select(exhibit.records, QualityCell, QualityResult).items():
            psnr = result.quantity("psnr")
            if psnr and cell.recipe is None and cell.k is None:
                images = result.partial or f"{result.images} of {result.images}"
                score = (cell.task, images, cell.dataset, cell.protocol, f"{psnr.value:.2f} dB")
                found[cell.model][score] = library.path_of(exhibit.records[cell])
    return found


def _list_measuring(library: Library) -> dict[str, tuple[set[str], list[Exhibit]]]:
    """By what networks take: the models of which it was measured, and where."""
    found: dict[str, tuple[set[str], list[Exhibit]]] = {}
    for what, kind in _TAKEN.items():
        models: set[str] = set()
        exhibits: list[Exhibit] = []
        for exhibit in library.exhibits:
            own = {
                record.cell.model
                for record in exhibit.records.values()
                if isinstance(record.cell, NetworkCell) and isinstance(record.result, kind)
            }
            if own and exhibit.profile_name != "smoke":
                models |= own
                exhibits.append(exhibit)
        found[what] = models, exhibits
    return found


def _name(exhibit: Exhibit) -> str:
    return f"{exhibit.spec.kind} {exhibit.spec.name}"


def _list_taken(library: Library) -> dict[str, list[list[Cell]]]:
    """What calls take, by model: seconds per megapixel of input, memory, parameters, FLOPs."""
    rows: dict[str, list[list[Cell]]] = defaultdict(list)
    for exhibit in library.exhibits:
        if exhibit.profile_name == "smoke":
            continue

        def show(cell: NetworkCell, name: str, value: float, digits: int = 2) -> None:
            path = library.path_of(exhibit.records[cell])  # noqa: B023  (called at once)
            report = _name(exhibit)  # noqa: B023
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
