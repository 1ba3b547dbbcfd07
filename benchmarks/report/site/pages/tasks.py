"""A page per task: sliders over restored pictures, and the scores of everything measured on it."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.records.cell import QualityCell
from benchmarks.records.record import Record
from benchmarks.records.result import QualityResult
from benchmarks.report.series import select
from benchmarks.report.site.library import Library
from benchmarks.report.site.pictures import PANELS, SIDE, Restored
from benchmarks.report.site.scoreboard import list_squares
from benchmarks.report.site.tables import Cell, make_view
from benchmarks.report.site.writer import Site
from benchmarks.tasks import TASKS, get_metric, get_task
from kgt.tasks import PURPOSES

_TITLES = {
    "sr": "Super-resolution",
    "denoise-color": "Denoising",
    "jpeg-color": "JPEG artifacts",
    "demosaic": "Demosaicking",
    "deblur": "Motion deblurring",
    "weather": "Adverse weather",
}


def add(site: Site, library: Library, pictures: list[Restored]) -> None:
    """Add the pages, with all restored pictures."""
    galleries: dict[str, list[Restored]] = defaultdict(list)
    for restored in pictures:
        for panel, content in restored.pictures.items():
            site.add(picture_path(restored, panel), content)
        galleries[_family_of(restored.task)].append(restored)
    squares = list_squares(library)
    cards = []
    for family, title in _TITLES.items():
        path = f"task/{family}.html"
        own = [square for square in squares if square.family == family]
        gallery = galleries[family]
        site.add_page(
            path,
            "task.html",
            title=title,
            squares=own,
            gallery=[describe_slider(restored) for restored in gallery if not restored.beyond],
            beyond=[describe_slider(restored) for restored in gallery if restored.beyond],
            side=SIDE,
            view=make_view(
                "scores",
                (
                    "model",
                    "task",
                    "set",
                    "PSNR, dB",
                    "SSIM",
                    "images",
                    "protocol",
                    "trained by",
                    "seed",
                ),
                _list_scores(library, family),
                ("model", "task", "set", "protocol"),
            ),
        )
        cards.append((path, title, own, gallery[0] if gallery else None))
    shown = [
        (path, title, own, picture_path(first, "ours") if first else "")
        for path, title, own, first in cards
    ]
    site.add_page("tasks.html", "tasks.html", cards=shown, side=SIDE)


def picture_path(restored: Restored, panel: str) -> str:
    """The file of a picture."""
    return f"picture/{restored.task}-{restored.image}-{panel}.png"


def _family_of(name: str) -> str:
    if name in TASKS:
        return get_task(name).family
    return next(purpose for purpose in PURPOSES if name.startswith(purpose))


def describe_slider(restored: Restored) -> dict[str, object]:
    """What a slider needs: names and files of its pictures, and how they score."""
    ours, rival = restored.models
    names = {"input": "input", "ours": ours, "rival": rival, "target": "target"}
    panels = [
        (names[panel], picture_path(restored, panel), restored.psnr.get(panel))
        for panel in PANELS
        if panel in restored.pictures
    ]
    return {
        "key": f"{restored.task}-{restored.image}",
        "task": restored.task,
        "image": restored.image,
        "panels": panels,
        "difference": round(restored.difference, 2) + 0.0,
        "reason": "" if rival else "no weights of SwinIR ship for this task",
    }


def _list_scores(library: Library, family: str) -> list[list[Cell]]:
    """Every score that was measured on a family of tasks; of two of one cell the newer one."""
    digits = {name: get_metric(name).digits for name in ("psnr", "ssim")}
    rows: dict[QualityCell, list[Cell]] = {}
    dates: dict[QualityCell, str] = {}
    for exhibit in library.exhibits:
        for cell, result in select(exhibit.records, QualityCell, QualityResult).items():
            psnr, ssim = (result.quantity(name) for name in digits)
            record = exhibit.records[cell]
            older = cell in rows and _date(record) <= dates[cell]
            if get_task(cell.task).family != family or psnr is None or older:
                continue
            path, dates[cell] = library.path_of(record), _date(record)
            keys = f", k = {cell.k}" if cell.k else ""
            rows[cell] = [
                Cell(f"{cell.model}{keys}", path, style="pin"),
                Cell(cell.task),
                Cell(cell.dataset),
                Cell(f"{psnr.value:.{digits['psnr']}f}", path, psnr.value),
                Cell(f"{ssim.value:.{digits['ssim']}f}", path, ssim.value) if ssim else Cell("-"),
                Cell(result.partial or str(result.images), order=float(result.images)),
                Cell(cell.protocol),
                Cell(result.trained or ""),
                Cell(str(cell.seed) if cell.recipe else ""),
            ]
    return list(rows.values())


def _date(record: Record) -> str:
    return record.environment.timestamp if record.environment else ""
