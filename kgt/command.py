"""Restore pictures with the trained networks that ship with a package.

Each is restored in as many bits as it has, stands upright, and keeps transparency, color profile
and Exif. Nothing is overwritten without --force, and no file appears that is not complete.

Exit codes: 0 when every picture was restored, 2 on wrong use, 3 on failure of any picture.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import kgt
from kgt.cli import (
    Exit,
    add_device,
    add_json,
    choose_device,
    parse_model,
    positive,
    run,
    say,
    show_progress,
)
from kgt.tasks import PURPOSES
from kgt.tiles.arguments import add_tiles

if TYPE_CHECKING:
    from kgt.contract import Restorer
    from kgt.pictures.jobs import Job


class CreateModel(Protocol):
    """As `kgt.create_model`."""

    def __call__(self, name: str, pretrained: bool = False, **overrides: Any) -> Restorer:
        """Build a named network."""


@dataclass(frozen=True)
class Networks:
    """The networks of a package.

    Attributes:
        package: its name.
        family: how the names begin of those that the tasks are given to.
        list_models: as `kgt.list_models`.
        create_model: as `kgt.create_model`.
        others: names, by task, of those that are called otherwise.
    """

    package: str
    family: str
    list_models: Callable[[bool], list[str]]
    create_model: CreateModel
    others: Mapping[str, str] = field(default_factory=dict)

    def default(self, task: str) -> str:
        """Name of the network that a task is given to."""
        return self.others.get(task, f"{self.family}-{PURPOSES[task].suffix}")


def _list_models(pretrained: bool) -> list[str]:
    return kgt.list_models(pretrained)


def _create_model(name: str, pretrained: bool = False, **overrides: Any) -> Restorer:
    return kgt.create_model(name, pretrained, **overrides)


KGT_NETWORKS = Networks("kgt", "kgt-tiny", _list_models, _create_model)


def main(arguments: Sequence[str] | None = None, networks: Networks = KGT_NETWORKS) -> Exit:
    """Run the command line, for the networks of a package, and return its exit code."""
    return run(
        lambda: _restore(_build_parser(networks).parse_args(arguments), networks),
        "restore",
        kept="the pictures that are complete are kept",
    )


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
    restore.add_argument("--task", required=True, choices=PURPOSES)
    restore.add_argument(
        "--model",
        metavar="NAME[:field=value]",
        help=f"a name of {networks.package}.list_models(pretrained=True), with fields that differ; "
        f"default: that of {networks.family} for the task",
    )
    restore.add_argument(
        "--k", type=positive, help="keys per token; more see further, and take longer"
    )
    add_tiles(restore, default="auto")
    add_device(restore)
    restore.add_argument("--force", action="store_true", help="overwrite files that exist")
    add_json(restore)
    return parser


def _restore(options: argparse.Namespace, networks: Networks) -> Exit:
    from kgt.pictures.jobs import plan_jobs
    from kgt.tiles.plan import place_tiles

    name = options.model or networks.default(options.task)
    network = _load_network(name, options.task, networks)
    jobs = plan_jobs(options.inputs, options.out, force=options.force)
    if options.k:
        _set_k(network, name, options.k)
    if isinstance(options.tile, int):
        place_tiles(network, options.tile, options.tile)
    network.to(choose_device(options.device))

    files: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    with show_progress("restore", len(jobs)) as report:
        for done, job in enumerate(jobs):

            def on_tile(share: float, what: str = job.source.name, done: int = done) -> None:
                report(what, done + share)

            try:
                row = _restore_job(network, job, options, on_tile)
            # Whatever a file makes a decoder or the network raise, the others are still restored.
            except Exception as error:
                failed[str(job.source)] = reason = str(error) or type(error).__name__
                _say(f"{job.source} failed: {reason}")
            else:
                files.append(row)
                _say("{in} -> {out}, {size[0]}x{size[1]}, {seconds} s".format(**row))
    if options.json:
        print(json.dumps({"task": options.task, "model": name, "files": files, "failed": failed}))
    return Exit.FAILURE if failed else Exit.FINE


def _restore_job(
    network: Restorer, job: Job, options: argparse.Namespace, on_tile: Callable[[float], None]
) -> dict[str, Any]:
    """Restore one picture into its file, and describe that: files, size in pixels, seconds."""
    from kgt.pictures.picture import Picture
    from kgt.restoring import restore_file

    start = time.perf_counter()
    on_tile(0)
    picture = Picture.read(job.source)
    # Before a folder is made for what no file can hold.
    picture.check_format(job.target, network.scale)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    budget = options.byte_budget * 2**20
    restore_file(*(network, picture, job.target, options.tile), byte_budget=budget, on_tile=on_tile)
    return {
        "in": str(job.source),
        "out": str(job.target),
        "size": [network.scale * length for length in picture.size],
        "seconds": round(time.perf_counter() - start, 2),
    }


def _load_network(description: str, task: str, networks: Networks) -> Restorer:
    """The trained network of a description, which must be one for the task.

    Raises:
        ValueError: it has no trained weights, if there is such a network, or is for another task.
    """
    name, fields = parse_model(description)
    trained = networks.list_models(True)
    if name not in trained:
        raise ValueError(
            f"no trained weights ship for {name!r} in {networks.package}; networks that have some: "
            f"{', '.join(trained) or 'none yet'}. `python -m kgt restore` takes those of KGT, "
            "`python -m baselines restore` those that it is compared with"
        )
    network = networks.create_model(name, pretrained=True, **fields).eval()
    _, wanted, scale = PURPOSES[task]
    if (network.task, network.scale) != (wanted, scale):
        raise ValueError(
            f"{name} is a network for {network.task} at scale {network.scale}; {task} needs one "
            f"for {wanted} at scale {scale}, such as {networks.default(task)}"
        )
    return network


def _set_k(network: Restorer, name: str, k: int) -> None:
    """Set the keys per token, and say where a window has fewer tokens.

    Raises:
        ValueError: the network has no such number.
    """
    from kgt.network.layers import KGTStage
    from kgt.network.model import KGT

    graphs = [module for module in network.modules() if isinstance(module, KGT)]
    if not graphs:
        raise ValueError(f"--k is for networks of KGT; {name} has no number of keys to set")
    for graph in graphs:
        graph.set_k(k)
    windows = {stage.window for stage in network.modules() if isinstance(stage, KGTStage)}
    for window in sorted(windows):
        if k > window**2:
            _say(f"k = {k}: of windows of {window}x{window}, all {window**2} tokens are keys")


_say = partial(say, "restore")
