"""A site from records: every page, in the order in which they need one another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.report.site.library import Library, load_library
from benchmarks.report.site.pages import (
    claims,
    exhibits,
    front,
    history,
    method,
    models,
    records,
    reviewers,
    speed,
    tasks,
)
from benchmarks.report.site.pictures import restore_all
from benchmarks.report.site.vega import bundle_vega
from benchmarks.report.site.writer import Site

_PAGES: tuple[Callable[[Site, Library], None], ...] = (
    front.add,
    exhibits.add,
    claims.add,
    records.add,
    speed.add,
    method.add,
    reviewers.add,
    history.add,
)


def build_site(results: Path) -> Site:
    """All files of a site, a pure function of records, weights and embedded images.

    Args:
        results: the folder with `records`.

    Raises:
        ValueError: there is no folder of records.
    """
    library = load_library(results)
    site = Site()
    site.add_assets()
    site.add_beside("assets/vega.js", bundle_vega)
    with ThreadPoolExecutor(1) as pool:
        # Networks leave the interpreter free, so pages are made while pictures are restored.
        pictures = pool.submit(restore_all)
        for add in _PAGES:
            add(site, library)
        tasks.add(site, library, pictures.result())
        models.add(site, library, pictures.result())
    site.finish()
    return site
