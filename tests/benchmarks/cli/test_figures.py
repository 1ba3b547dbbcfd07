"""Figures as files."""

import numpy as np
from matplotlib.figure import Figure

from benchmarks.cli.figures import render_svg


def draw(left):
    figure = Figure(figsize=(3, 2))
    axes = figure.add_axes((left, 0.1, 0.7, 0.7))
    axes.plot([1, 2, 3], [1, 4, 9], marker="o")
    return figure


def test_last_bits_change_no_byte_of_a_file():
    svg = render_svg(lambda: draw(0.15))
    assert svg == render_svg(lambda: draw(np.nextafter(0.15, 1)))
    assert svg != render_svg(lambda: draw(0.16))
    assert 'clip-path="url(#path' in svg
