"""Restore pictures with the trained networks that ship with a package.

Each is restored in as many bits as it has, stands upright, and keeps transparency, color profile
and Exif. Nothing is overwritten without --force, and no file appears that is not complete.

Exit codes: 0 when every picture was restored, 2 on wrong use, 3 on failure of any picture.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from kgt.config import preset
from kgt.contract import Restorer
from kgt.network.layers import KGTStage
from kgt.pictures.jobs import Job, plan_jobs
from kgt.pictures.picture import Picture
from kgt.restoring import restore_picture
from kgt.tiles.inference import BYTE_BUDGET, place_tiles
from kgt.zoo import create_model, list_models

EXIT_FINE, EXIT_WRONG_USE, EXIT_FAILURE = 0, 2, 3

TASKS = ("denoise-color", "jpeg-color", "sr-x4", "demosaic", "deblur", "weather")
_LINE_EVERY_S, _LOOK_BACK_S = 10, 1800

# Told the name of a picture, how many are done before it, and what fraction of it is done.
OnProgress = Callable[[str, int, float], None]


@dataclass(frozen=True)
class Networks:
    """The networks of a package.

    Attributes:
        package: its name.
        family: how the names begin of those that the tasks are given to.
        list_models: as `kgt.list_models`.
        create_model: as `kgt.create_model`.
    """

    package: str
    family: str
    list_models: Callable[[bool], list[str]]
    create_model: Callable[[str, bool], Restorer]

    def default(self, task: str) -> str:
        """Name of the network that a task is given to."""
        return f"{self.family}-{task.removeprefix('sr-')}"


KGT = Networks("kgt", "kgt-tiny", list_models, create_model)


def main(arguments: Sequence[str] | None = None, networks: Networks = KGT) -> int:
    """Run the command line and return its exit code."""
    options = _build_parser(networks).parse_args(arguments)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        return _restore(options, networks, console)
    except ValueError as error:
        _say(console, str(error))
        return EXIT_WRONG_USE
    except KeyboardInterrupt:
        _say(console, "interrupted; the pictures that are complete are kept")
        return EXIT_FAILURE
    except Exception:
        traceback.print_exc()
        return EXIT_FAILURE


def _build_parser(networks: Networks) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {networks.package}")
    commands = parser.add_subparsers(dest="command", required=True)
    restore = commands.add_parser(
        "restore",
        help="restore pictures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    restore.add_argument(
        "inputs", nargs="+", metavar="IN", help="a picture, a folder of pictures, or a pattern"
    )
    restore.add_argument(
        "-o",
        "--out",
        required=True,
        help="a file for one picture (.png, .jpg, .webp, .tif), else a folder, of PNG files",
    )
    restore.add_argument("--task", required=True, choices=TASKS)
    restore.add_argument(
        "--model",
        help=f"a name of {networks.package}.list_models(pretrained=True); default: "
        f"that of {networks.family} for the task",
    )
    restore.add_argument(
        "--k", type=_positive, help="keys per token; more see further, and take longer"
    )
    restore.add_argument(
        "--tile", type=_tile, default="auto", metavar="auto|N|whole", help="side in pixels"
    )
    restore.add_argument(
        "--byte-budget",
        type=_positive,
        default=BYTE_BUDGET // 2**20,
        metavar="MIB",
        help="memory of --tile auto besides the pictures (default: %(default)s)",
    )
    restore.add_argument("--force", action="store_true", help="overwrite files that exist")
    restore.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _tile(text: str) -> int | str | None:
    if text == "auto":
        return text
    return None if text == "whole" else _positive(text)


def _restore(options: argparse.Namespace, networks: Networks, console: Console) -> int:
    name = options.model or networks.default(options.task)
    network = _load_network(name, options.task, networks)
    jobs = plan_jobs(options.inputs, options.out, force=options.force)
    if options.k:
        _set_k(network, name, options.k, console)
    if isinstance(options.tile, int):
        place_tiles(network, options.tile, options.tile)
    network.to("cuda" if torch.cuda.is_available() else "cpu")

    files: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    with _show_progress(len(jobs), console) as on_progress:
        for index, job in enumerate(jobs):
            tell = partial(on_progress, job.source.name, index)
            try:
                row = _restore_job(network, job, options, tell)
            # Whatever a file makes a decoder or the network raise, the others are still restored.
            except Exception as error:
                failed[str(job.source)] = reason = str(error) or type(error).__name__
                _say(console, f"{job.source} failed: {reason}")
            else:
                files.append(row)
                _say(console, "{in} -> {out}, {size[0]}x{size[1]}, {seconds} s".format(**row))
    if options.json:
        print(json.dumps({"task": options.task, "model": name, "files": files, "failed": failed}))
    return EXIT_FAILURE if failed else EXIT_FINE


def _restore_job(
    network: Restorer, job: Job, options: argparse.Namespace, on_tile: Callable[[float], None]
) -> dict[str, Any]:
    """Restore one picture into its file, and describe that: files, size in pixels, seconds."""
    start = time.perf_counter()
    on_tile(0)
    picture = Picture.read(job.source)
    # What cannot be written is told before the time to restore it is spent.
    picture.check_format(job.target, network.scale)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    budget = options.byte_budget * 2**20
    restored = restore_picture(network, picture, options.tile, byte_budget=budget, on_tile=on_tile)
    restored.save(job.target)
    return {
        "in": str(job.source),
        "out": str(job.target),
        "size": restored.size,
        "seconds": round(time.perf_counter() - start, 2),
    }


def _load_network(name: str, task: str, networks: Networks) -> Restorer:
    """The trained network of a name, which must be one for the task.

    Raises:
        ValueError: it has no trained weights, if there is such a network, or is for another task.
    """
    trained = networks.list_models(True)
    if name not in trained:
        raise ValueError(
            f"no trained weights ship for {name!r} in {networks.package}; networks that have some: "
            f"{', '.join(trained) or 'none yet'}. `python -m kgt restore` takes those of KGT, "
            "`python -m baselines restore` those that it is compared with"
        )
    network = networks.create_model(name, True).eval()
    wanted = preset(KGT.default(task))
    if (network.task, network.scale) != (wanted.task, wanted.scale):
        raise ValueError(
            f"{name} is a network for {network.task} at scale {network.scale}; {task} needs one "
            f"for {wanted.task} at scale {wanted.scale}, such as {networks.default(task)}"
        )
    return network


def _set_k(network: Restorer, name: str, k: int, console: Console) -> None:
    """Set the keys per token, and say where a window has fewer tokens.

    Raises:
        ValueError: the network has no such number.
    """
    set_k: Any = getattr(network, "set_k", None)
    if set_k is None:
        raise ValueError(f"--k is for networks of KGT; {name} has no number of keys to set")
    set_k(k)
    windows = {stage.window for stage in network.modules() if isinstance(stage, KGTStage)}
    for window in sorted(windows):
        if k > window**2:
            _say(
                console,
                f"k = {k}: of windows of {window}x{window}, all {window**2} tokens are keys",
            )


@contextmanager
def _show_progress(count: int, console: Console) -> Iterator[OnProgress]:
    """A bar with the time left on a terminal, a line now and then elsewhere."""
    if not console.is_terminal:
        yield _make_line_printer(count, console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    # Tiles of a large picture may take longer than the 30 s over which rich looks back on its own.
    with Progress(
        *columns,
        console=console,
        transient=True,
        redirect_stdout=False,
        speed_estimate_period=_LOOK_BACK_S,
    ) as progress:
        bar = progress.add_task("", total=count)
        yield lambda name, before, done: progress.update(
            bar, completed=before + done, description=name
        )


def _make_line_printer(count: int, console: Console) -> OnProgress:
    begin = printed_at = time.monotonic()

    def print_line(name: str, before: int, done: float) -> None:
        nonlocal printed_at
        now = time.monotonic()
        share = (before + done) / count
        if now - printed_at < _LINE_EVERY_S or not 0 < share < 1:
            return
        printed_at = now
        left_s = (now - begin) * (1 / share - 1)
        _say(console, f"{name}, {share:.0%} of all done, {left_s:.0f} s left")

    return print_line


def _say(console: Console, message: str) -> None:
    console.print(f"restore: {message}", markup=False)
