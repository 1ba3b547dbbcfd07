"""The plots of tables and studies, as SVG whose bytes depend on the records alone.

The plot of a specification is the module here of that name; its `draw` makes the figure.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from matplotlib.figure import Figure

from benchmarks.cli.figures import render_svg
from benchmarks.report.series import Records
from kgt.errors import unknown


def draw_plot(name: str, title: str, records: Records) -> str:
    """The SVG of a table's plot; a plot without any value says so in the picture.

    Raises:
        ValueError: for a plot that there is not, listing those that there are.
    """
    names = {module.name for module in iter_modules(__path__)} - {"panels"}
    if name not in names:
        raise unknown("plot", name, sorted(names))
    draw_figure = import_module(f"{__name__}.{name}").draw

    def draw() -> Figure:
        figure = draw_figure(records)
        figure.suptitle(title, fontsize=10)
        return figure

    return render_svg(draw)
