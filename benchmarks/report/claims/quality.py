"""Claims on how well networks restore, judged on measured records; print is only quoted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable

import numpy as np

from benchmarks.quality.comparison import compare_scores
from benchmarks.records.cell import PrintedCell, QualityCell
from benchmarks.records.result import PrintedResult, QualityResult
from benchmarks.report.judgment import Judgment, judge_interval, judges
from benchmarks.report.series import Records, select
from benchmarks.tasks import Task, get_task

# The variants of printed rows, as the specifications name them.
_ONE_FOR_ALL = "one model for all levels"
_ONE_PER_LEVEL = "one model per level"
_SMALL_WINDOWS, _LARGE_WINDOWS = "windows of 8", "windows of 32"


def _trained_here(records: Records) -> dict[str, dict[QualityCell, QualityResult]]:
    """Quality of networks trained here, by task on set."""
    found: dict[str, dict[QualityCell, QualityResult]] = defaultdict(dict)
    for cell, result in select(records, QualityCell, QualityResult).items():
        if result.trained:
            partial = f" ({result.partial} images)" if result.partial else ""
            found[f"{cell.task} on {cell.dataset}{partial}"][cell] = result
    return found


@judges("beats-reference")
def judge_beats_reference(records: Records) -> list[Judgment]:
    """Whether the interval of each trained network's gain lies above what needs no training."""
    return _judge_gains(records, lambda task: 0.0)


@judges("reaches-goal")
def judge_reaches_goal(records: Records) -> list[Judgment]:
    """Whether the interval of each trained network's gain lies above the goal of its task."""
    return _judge_gains(records, lambda task: task.goal_db)


def _judge_gains(records: Records, goal_of: Callable[[Task], float]) -> list[Judgment]:
    judgments = []
    for where, models in _trained_here(records).items():
        for cell, result in models.items():
            gain = result.gain
            if gain is None:
                continue
            task = get_task(cell.task)
            least = goal_of(task)
            interval = "on one image, which has no interval"
            if gain.lo is not None:
                interval = f"[{gain.lo:+.3f}, {gain.hi:+.3f}], {len(gain.samples)} images"
            by = f" by more than {least:g} dB" if least else ""
            claim = f"{where}: {cell.model} restores better than {task.reference}{by}"
            evidence = f"{gain.value:+.3f} dB {interval}"
            judgments.append(Judgment(claim, judge_interval(gain.lo, gain.hi, least), evidence))
    claim = "networks beat what needs no training"
    return judgments or [Judgment(claim, "NOT MEASURED", "no trained network")]


@judges("C7")
def judge_kgt_against_swinir(records: Records) -> list[Judgment]:
    """C7 is about networks of the papers' size; a difference of small ones is quoted."""
    claim = "C7 KGT beats SwinIR at the same parameters"
    found = []
    for where, models in _trained_here(records).items():
        by_family: dict[str, QualityResult] = {}
        for cell, result in models.items():
            by_family.setdefault(cell.described.family, result)
        kgt, swinir = by_family.get("kgt"), by_family.get("swinir")
        if kgt and swinir and (gain := compare_scores(kgt.per_image, swinir.per_image)):
            ahead = f"KGT ahead on {gain.wins} of {len(gain.differences)} images"
            found.append(f"{where}: {gain.describe(3, ' dB')}, {ahead}")
    measured = "no pair of trained networks"
    if found:
        measured = f"only small networks were trained, which decide nothing: {'; '.join(found)}"
    ours = _read_printed(records, lambda cell: cell.model in ("KGT", "KGT-S"), alike=True)
    theirs = _read_printed(records, lambda cell: cell.model == "SwinIR", alike=True)
    quoted = _compare_printed(ours, theirs)
    return [Judgment(claim, "NOT MEASURED", measured + quoted)]


@judges("C5")
def judge_larger_windows(records: Records) -> list[Judgment]:
    """C5 needs networks trained with several windows; what the printed rows say is quoted."""
    large = _read_printed(records, lambda cell: cell.variant == _LARGE_WINDOWS)
    small = _read_printed(records, lambda cell: cell.variant == _SMALL_WINDOWS)
    claim = "C5 larger windows restore better"
    return [Judgment(claim, "NOT MEASURED", "no trained networks" + _compare_printed(large, small))]


@judges("C6")
def judge_one_model_for_all(records: Records) -> list[Judgment]:
    """C6 needs trained networks of both kinds; what the printed rows say is quoted."""

    def quote(variant: str) -> _Printed:
        return _read_printed(records, lambda c: (c.model, c.variant) == ("KGT", variant))

    quoted = _compare_printed(quote(_ONE_FOR_ALL), quote(_ONE_PER_LEVEL))
    claim = "C6 one model for many degradation levels loses little"
    return [Judgment(claim, "NOT MEASURED", "no trained networks" + quoted)]


_Printed = dict[Hashable, float]


def _read_printed(
    records: Records, wanted: Callable[[PrintedCell], bool], alike: bool = False
) -> _Printed:
    """Printed PSNR by task and set, and by source and variant if only equal ones compare."""
    return {
        (cell.task, cell.dataset, cell.recipe if alike else None): result.psnr.value
        for cell, result in select(records, PrintedCell, PrintedResult).items()
        if result.psnr and wanted(cell)
    }


def _compare_printed(ours: _Printed, others: _Printed) -> str:
    """The printed differences of two rows, to be appended to the evidence."""
    gaps = [value - others[key] for key, value in ours.items() if key in others]
    if not gaps:
        return "; no comparable rows are printed"
    ahead = sum(gap > 0 for gap in gaps)
    return (
        f"; as printed {np.mean(gaps):+.3f} dB on average, from {min(gaps):+.2f} to "
        f"{max(gaps):+.2f}, ahead in {ahead} of {len(gaps)} values"
    )
