"""One entry of a table: a value as its column prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from benchmarks.plan.specs import Column
from benchmarks.records.record import Record
from benchmarks.records.result import LatencyResult, Quantity, Result
from benchmarks.records.statistics import MIN_PAIRS
from benchmarks.report.printed import Distance
from benchmarks.tasks import get_metric

MISSING = "-"


def is_missing(text: str) -> bool:
    """Whether a text stands for no value; a footnote's mark may follow the dash."""
    return not text or (text.startswith(MISSING) and text[1:2] in ("", " "))


@dataclass(frozen=True)
class Entry:
    """One entry: its text for people and its numbers for programs, by column suffix.

    `record` is the one that it shows, None of what stands for itself.
    """

    text: str
    values: Mapping[str, object] = field(default_factory=dict)
    record: Record | None = None

    def add(self, mark: str, **values: object) -> Entry:
        """The entry with a mark after its text, and with further values."""
        return replace(self, text=self.text + mark, values={**self.values, **values})


def as_entry(value: object) -> Entry:
    """A value that stands for itself."""
    text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    return Entry("" if value is None else text, {"": value})


# Records hold bytes and FLOP; a column shows, to people and programs alike, what its header says.
_UNITS = {"mib": 2**20, "mflop": 1e6, "gmac": 2e9}

_FORMATS = {
    "mib": lambda m: f"{m.value / _UNITS['mib']:,.1f}",
    "mflop": lambda m: f"{m.value / _UNITS['mflop']:,.0f}",
    "gmac": lambda m: f"{m.value / _UNITS['gmac']:,.2f}",
    "ms": lambda m: f"{m.value:,.2f}",
    "s": lambda m: f"{m.value:,.2f}",
    "db": lambda m: f"{m.value:.2f}",
    "change": lambda m: f"{m.value:+.4f}",
    "ratio": lambda m: f"{m.value:.3f}",
    "interval": lambda m: f"{m.value:.3f} [{m.lo:.3f}, {m.hi:.3f}]",
    "percent": lambda m: f"{100 * m.value:.1f} %",
    "gain": lambda m: f"{m.value:+.2f} [{m.lo:+.2f}, {m.hi:+.2f}]",
    "psnr": lambda m: f"{m.value:.{get_metric('psnr').digits}f}",
    "count": lambda m: f"{m.value:,.0f}" if m.statistic == "exact" else f"{m.value / 1e6:.2f} M",
}


def format_result(column: Column, result: Result) -> Entry:
    """What a column shows of a result."""
    if column.format == "text":
        value = getattr(result, column.metric)
        return as_entry(MISSING if value is None else str(value))
    if column.format == "quality":
        scores = [(get_metric(name), result.quantity(name)) for name in ("psnr", "ssim")]
        text = " / ".join(_decimals(score, metric.digits) for metric, score in scores)
        return Entry(text, {metric.label: score and score.value for metric, score in scores})
    metric = result.quantity("psnr" if column.format == "psnr" else column.metric)
    if metric is None or (column.format in ("interval", "gain") and metric.lo is None):
        return Entry(MISSING)
    values: dict[str, object] = {"": metric.value / _UNITS.get(column.format, 1)}
    if metric.lo is not None:
        values |= {"lo": metric.lo, "hi": metric.hi}
    rounds = result.rounds if isinstance(result, LatencyResult) else MIN_PAIRS
    if column.format == "interval" and rounds < MIN_PAIRS:
        # So few rounds carry no interval; what is known is the range that they covered.
        text = f"{metric.value:.3f} ({metric.lo:.3f} to {metric.hi:.3f} in {rounds} rounds)"
        return Entry(text, values)
    return Entry(_FORMATS[column.format](metric), values)


def _decimals(metric: Quantity | None, digits: int) -> str:
    return MISSING if metric is None else f"{metric.value:.{digits}f}"


def format_distance(column: Column, distance: Distance) -> Entry:
    """What a measured value differs by from the printed one, with its sign."""
    psnr = _signed(distance.psnr, 3)
    if column.format != "quality":
        return Entry(psnr, {"": distance.psnr})
    ssim = _signed(distance.ssim, 4)
    return Entry(f"{psnr} / {ssim}", {"PSNR": distance.psnr, "SSIM": distance.ssim})


def _signed(value: float | None, digits: int) -> str:
    """A difference with its sign; what rounds to nothing is +0, as there is no -0."""
    return MISSING if value is None else f"{round(value, digits) + 0.0:+.{digits}f}"
