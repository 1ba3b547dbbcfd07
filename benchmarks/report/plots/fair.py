"""The differences between KGT and its peers on equal terms, as a forest plot."""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmarks.report.claims.fair import list_fair
from benchmarks.report.plots import differences
from benchmarks.report.series import Records


def draw(records: Records) -> Figure:
    """Every difference with its intervals, in the color of the verdict."""
    return differences.draw_tests(list_fair(records))
