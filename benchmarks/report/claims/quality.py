"""Claims on how well networks restore, judged on measured records; print is only quoted."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np

from benchmarks.quality.seeds import MIN_IMAGES
from benchmarks.records.cell import Cell, PrintedCell, QualityCell
from benchmarks.records.result import PrintedResult, QualityResult, Quantity
from benchmarks.report.claims.training import BEATS_SWINIR, compare_with_swinir
from benchmarks.report.comparisons import describe_arm, describe_where, is_small
from benchmarks.report.judgment import Judgment, VerdictLabel, judge_interval, judges
from benchmarks.report.series import Records, select
from benchmarks.tasks import get_task

# The variants of printed rows, as the specifications name them.
_ONE_FOR_ALL = "one model for all levels"
_ONE_PER_LEVEL = "one model per level"
_SMALL_WINDOWS, _LARGE_WINDOWS = "windows of 8", "windows of 32"


@judges("beats-reference")
def judge_beats_reference(records: Records) -> list[Judgment]:
    """Whether weights that were trained here restore better than what needs no training.

    That is said of these weights alone, so its interval is over the images.
    """
    judgments = []
    for cell, result in select(records, QualityCell, QualityResult).items():
        gain = result.gain
        if not result.trained or gain is None:
            continue
        seed = f", seed {cell.seed}" if cell.recipe else ""
        scale = ", small-scale" if is_small(cell) else ""
        verb = f"restore better than {get_task(cell.task).reference}{scale}"
        weights = f"these weights of {describe_arm(cell, result)}{seed}"
        claim = f"{weights} {verb}: {describe_where(cell, result)}"
        judgments.append(Judgment(claim, *_judge_gain(gain), (cell,)))
    claim = "networks beat what needs no training"
    return judgments or [Judgment(claim, "NOT MEASURED", "no trained network")]


def _judge_gain(gain: Quantity) -> tuple[VerdictLabel, str]:
    """The verdict on a gain over images, with its evidence."""
    images = len(gain.samples)
    interval = "" if gain.lo is None else f" [{gain.lo:+.3f}, {gain.hi:+.3f}]"
    evidence = f"{gain.value:+.3f} dB{interval}, {images} image{'' if images == 1 else 's'}"
    if images < MIN_IMAGES:
        return "UNCLEAR", f"{evidence}; {MIN_IMAGES} images are needed"
    return judge_interval(gain.lo, gain.hi, 0.0), evidence


@judges("C7")
def judge_kgt_against_swinir(records: Records) -> list[Judgment]:
    """C7 is about networks of the papers' size; a difference of small ones is quoted."""
    compared = compare_with_swinir(records)
    measured, details = "no pair of networks that were trained for it", ""
    if compared:
        spread = _describe_spread([found.gain.mean for found in compared])
        measured = f"only small networks were trained, which decide nothing: {spread}"
        details = "".join(f"; {found.where}: {found}" for found in compared)
    ours = _read_printed(records, lambda cell: cell.model in ("KGT", "KGT-S"), alike=True)
    theirs = _read_printed(records, lambda cell: cell.model == "SwinIR", alike=True)
    quoted, printed = _compare_printed(ours, theirs)
    cells: tuple[Cell, ...] = (*(cell for found in compared for cell in found.cells), *printed)
    return [Judgment(BEATS_SWINIR, "NOT MEASURED", measured + quoted + details, cells)]


@judges("C5")
def judge_larger_windows(records: Records) -> list[Judgment]:
    """C5 needs networks trained with several windows; what the printed rows say is quoted."""
    large = _read_printed(records, lambda cell: cell.variant == _LARGE_WINDOWS)
    small = _read_printed(records, lambda cell: cell.variant == _SMALL_WINDOWS)
    claim = "C5 larger windows restore better"
    quoted, cells = _compare_printed(large, small)
    return [Judgment(claim, "NOT MEASURED", "no trained networks" + quoted, cells)]


@judges("C6")
def judge_one_model_for_all(records: Records) -> list[Judgment]:
    """C6 needs trained networks of both kinds; what the printed rows say is quoted."""

    def quote(variant: str) -> _Printed:
        return _read_printed(records, lambda c: (c.model, c.variant) == ("KGT", variant))

    quoted, cells = _compare_printed(quote(_ONE_FOR_ALL), quote(_ONE_PER_LEVEL))
    claim = "C6 one model for many degradation levels loses little"
    return [Judgment(claim, "NOT MEASURED", "no trained networks" + quoted, cells)]


_Printed = dict[Hashable, tuple[PrintedCell, float]]


def _read_printed(
    records: Records, wanted: Callable[[PrintedCell], bool], alike: bool = False
) -> _Printed:
    """Printed PSNR by task and set, and by source and variant if only equal ones compare."""
    return {
        (cell.task, cell.dataset, cell.recipe if alike else None): (cell, result.psnr.value)
        for cell, result in select(records, PrintedCell, PrintedResult).items()
        if result.psnr and wanted(cell)
    }


def _compare_printed(ours: _Printed, others: _Printed) -> tuple[str, tuple[PrintedCell, ...]]:
    """The printed differences of two rows, to be appended to the evidence, and their cells."""
    pairs = [(own, others[key]) for key, own in ours.items() if key in others]
    if not pairs:
        return "; no comparable rows are printed", ()
    gaps = [value - other for (_, value), (_, other) in pairs]
    cells = tuple(cell for pair in pairs for cell, _ in pair)
    return f"; as printed {_describe_spread(gaps)}", cells


def _describe_spread(gaps: list[float]) -> str:
    """Differences in dB: their mean and ends, and how many favor the first."""
    ahead = sum(gap > 0 for gap in gaps)
    return (
        f"{np.mean(gaps):+.3f} dB on average, from {min(gaps):+.2f} to {max(gaps):+.2f}, ahead in "
        f"{ahead} of {len(gaps)} values"
    )
