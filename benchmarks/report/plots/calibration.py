"""How trainings that differ in their seed alone spread, and how many of them show a difference."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from benchmarks.quality.calibration import fit_spread, trace_power
from benchmarks.records.statistics import wilson_interval
from benchmarks.report.claims.calibration import PLANTED, WANTED
from benchmarks.report.comparisons import stack_trainings
from benchmarks.report.plots.panels import empty_figure, make_panels
from benchmarks.report.series import Records
from benchmarks.report.signs import MODELS


def draw(records: Records) -> Figure:
    """The mean of every training less that of all, and the share found of a planted difference."""
    arms = stack_trainings(records)
    if not arms:
        return empty_figure()
    images = min(arm.shape[1] for arm in arms)
    figure, grid = make_panels(1, 2, 7.2, 3.0)
    left, right = grid.flat
    means = np.concatenate([arm.mean(axis=1) - arm.mean() for arm in arms])
    left.axhline(0, color="0.7", lw=1)
    left.plot(range(1, len(means) + 1), means, ls="", marker="o", color=MODELS["kgt"].color)
    left.set_xlabel("training")
    left.set_ylabel("PSNR less the mean of all, dB")
    counts = trace_power(fit_spread(arms), images, PLANTED, WANTED)
    lows, highs = np.transpose([wilson_interval(*count) for count in counts.values()])
    right.fill_between(list(counts), lows, highs, alpha=0.25, lw=0)
    right.plot(list(counts), [count.share for count in counts.values()], marker="o")
    right.axhline(WANTED, color="0.3", lw=1, ls="--")
    right.set_ylim(0, 1)
    right.set_xlabel(f"seeds of each arm, {images} images")
    right.set_ylabel(f"share of {PLANTED:+g} dB that is found")
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure
