"""Claims on how well networks restore, judged on measured records; print is only quoted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np

from benchmarks.quality.comparison import compare_scores
from benchmarks.records.cell import Cell
from benchmarks.records.record import Record
from benchmarks.report.judgment import Judgment, place
from benchmarks.report.series import Records
from benchmarks.tasks import Task, get_task

# The variants of printed rows, as the specifications name them.
_ONE_FOR_ALL = "one model for all levels"
_ONE_PER_LEVEL = "one model per level"
_SMALL_WINDOWS, _LARGE_WINDOWS = "windows of 8", "windows of 32"


def _trained_here(records: Records) -> dict[str, dict[str, Record]]:
    """Quality records of networks trained here as task on set -> model."""
    found: dict[str, dict[str, Record]] = defaultdict(dict)
    for cell, record in records.items():
        if cell.kind == "quality" and record.status == "ok" and "trained" in record.checks:
            partial = record.checks.get("partial")
            where = f"{cell.task} on {cell.dataset}" + (f" ({partial} images)" if partial else "")
            found[where][str(cell.model)] = record
    return found


def judge_beats_reference(records: Records) -> list[Judgment]:
    """Whether the interval of each trained network's gain lies above what needs no training."""
    return _judge_gains(records, lambda task: 0.0)


def judge_reaches_goal(records: Records) -> list[Judgment]:
    """Whether the interval of each trained network's gain lies above the goal of its task."""
    return _judge_gains(records, lambda task: task.goal_db)


def _judge_gains(records: Records, goal_of: Callable[[Task], float]) -> list[Judgment]:
    judgments = []
    for where, models in _trained_here(records).items():
        for model, record in models.items():
            gain = record.metrics.get("gain")
            if gain is None:
                continue
            task = get_task(str(record.cell.task))
            least = goal_of(task)
            interval = "on one image, which has no interval"
            if gain.lo is not None:
                interval = f"[{gain.lo:+.3f}, {gain.hi:+.3f}], {len(gain.samples)} images"
            by = f" by more than {least:g} dB" if least else ""
            claim = f"{where}: {model} restores better than {task.reference}{by}"
            evidence = f"{gain.value:+.3f} dB {interval}"
            judgments.append(Judgment(claim, place(gain.lo, gain.hi, least), evidence))
    claim = "networks beat what needs no training"
    return judgments or [Judgment(claim, "NOT MEASURED", "no trained network")]


def judge_kgt_against_swinir(records: Records) -> list[Judgment]:
    """C7 is about networks of the papers' size; a difference of small ones is told."""
    claim = "C7 KGT beats SwinIR at the same parameters"
    told = []
    for where, models in _trained_here(records).items():
        kgt = next((r for m, r in models.items() if m.startswith("kgt")), None)
        swinir = next((r for m, r in models.items() if m.startswith("swinir")), None)
        if kgt is None or swinir is None:
            continue
        gain = compare_scores(kgt.per_image, swinir.per_image)
        if gain is None:
            continue
        told.append(
            f"{where}: {gain.describe(3, ' dB')}, "
            f"KGT ahead on {gain.wins} of {len(gain.differences)} images"
        )
    measured = (
        f"networks this small do not judge; they say {'; '.join(told)}"
        if told
        else "no pair of trained networks"
    )
    quoted = _compare_printed(
        _read_printed(records, lambda cell: cell.model in ("KGT", "KGT-S"), with_recipe=True),
        _read_printed(records, lambda cell: cell.model == "SwinIR", with_recipe=True),
    )
    return [Judgment(claim, "NOT MEASURED", measured + quoted)]


def judge_larger_windows(records: Records) -> list[Judgment]:
    """C5 needs networks trained with several windows; what the printed rows say is quoted."""
    quoted = _compare_printed(
        _read_printed(records, lambda cell: _is_variant(cell, _LARGE_WINDOWS)),
        _read_printed(records, lambda cell: _is_variant(cell, _SMALL_WINDOWS)),
    )
    claim = "C5 larger windows restore better"
    return [Judgment(claim, "NOT MEASURED", "no trained networks" + quoted)]


def judge_one_model_for_all(records: Records) -> list[Judgment]:
    """C6 needs trained networks of both kinds; what the printed rows say is quoted."""
    kgt = {cell: record for cell, record in records.items() if cell.model == "KGT"}
    quoted = _compare_printed(
        _read_printed(kgt, lambda cell: _is_variant(cell, _ONE_FOR_ALL)),
        _read_printed(kgt, lambda cell: _is_variant(cell, _ONE_PER_LEVEL)),
    )
    claim = "C6 one model for many degradation levels loses little"
    return [Judgment(claim, "NOT MEASURED", "no trained networks" + quoted)]


def _is_variant(cell: Cell, variant: str) -> bool:
    return (cell.recipe or "").endswith(variant)


def _read_printed(
    records: Records, wanted: Callable[[Cell], bool], with_recipe: bool = False
) -> dict[tuple[str | None, ...], float]:
    """Printed PSNR by task and set, and by recipe if only equal ones are to be compared."""
    return {
        (cell.task, cell.dataset, cell.recipe if with_recipe else None): record.metrics[
            "psnr"
        ].value
        for cell, record in records.items()
        if record.source == "paper" and "psnr" in record.metrics and wanted(cell)
    }


def _compare_printed(
    ours: dict[tuple[str | None, ...], float], others: dict[tuple[str | None, ...], float]
) -> str:
    """What print says of one row over another, to be appended to the evidence."""
    gaps = [value - others[key] for key, value in ours.items() if key in others]
    if not gaps:
        return "; no comparable rows are printed"
    ahead = sum(gap > 0 for gap in gaps)
    return (
        f"; as printed {np.mean(gaps):+.3f} dB on average, from {min(gaps):+.2f} to "
        f"{max(gaps):+.2f}, ahead in {ahead} of {len(gaps)} values"
    )
