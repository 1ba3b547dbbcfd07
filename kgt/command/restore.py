"""Restore pictures and clips with trained networks and classical methods.

A picture is restored in as many bits as it has, stands upright, and keeps transparency, color
profile and Exif. A clip is restored frame by frame and keeps its time stamps and its sound. Nothing
is overwritten without --force, and no file appears that is not complete.

Exit codes: 0 when everything was restored, 2 on wrong use, 3 on failure of any picture or clip.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgt.cli import (
    Exit,
    add_device,
    add_json,
    choose_device,
    parse_model,
    positive,
    say,
    show_progress,
)
from kgt.files import make_folder, refuse_existing
from kgt.tasks import PURPOSES
from kgt.tiles.arguments import add_tiles

if TYPE_CHECKING:
    from kgt.command.jobs import Job
    from kgt.contract import Restorer
    from kgt.pictures.picture import Picture


# By the task, where it is not kgt-tiny and the suffix of the task.
_OTHERS = {"deblur": "deconvolved-kgt-tiny-deblur"}


def add(commands: Any) -> None:
    """Add the command."""
    restore = commands.add_parser(
        "restore",
        help="restore pictures and clips",
        description=__doc__,
        examples=(
            "kgt restore photo.jpg -o restored.png --task denoise-color",
            "kgt restore photos -o restored --task jpeg-color",
            "kgt restore 'scans/*.tif' -o large --task sr-x4 --model swinir-tiny-x4",
            "kgt restore noisy.png -o clean.png --model ffdnet-color --sigma 25 --compare both.png",
            "kgt restore clip.mp4 -o restored.mp4 --task denoise-color",
        ),
    )
    restore.add_argument(
        "inputs",
        nargs="+",
        metavar="IN",
        help="a picture, a clip, a folder of pictures, or a pattern",
    )
    restore.add_argument(
        "-o",
        "--out",
        required=True,
        help="a file for one picture (.png, .jpg, .webp, .tif) or clip (.mp4, .mov, .mkv), else a "
        "folder, of PNG and MP4 files",
    )
    restore.add_argument(
        "--task",
        choices=PURPOSES,
        help="one of %(choices)s; may be left out beside --model and --weights",
    )
    restore.add_argument(
        "--model",
        metavar="NAME[:field=value]",
        help="a name of `kgt list --pretrained`, or a classical method: bicubic, malvar, menon, "
        "nl-means, wavelet, tv, wiener, blind-deconvolution; default: the small KGT for the task",
    )
    restore.add_argument(
        "--weights",
        metavar="FILE",
        help="own weights: .safetensors or .pth of a training here, of SwinIR's authors, or of any "
        "network that spandrel knows; --model may then be left out if the file tells it",
    )
    restore.add_argument(
        "--k", type=positive, help="keys per token; more see further, and take longer"
    )
    restore.add_argument(
        "--sigma",
        type=float,
        metavar="S",
        help="noise level in 0..255, for models that take one, such as ffdnet-color and nl-means",
    )
    restore.add_argument(
        "--compare", metavar="FILE", help="of one picture, put input and result side by side"
    )
    add_tiles(restore, default="auto")
    add_device(restore)
    restore.add_argument("--force", action="store_true", help="overwrite files that exist")
    add_json(restore)
    restore.set_defaults(run=_restore)


def _restore(options: argparse.Namespace) -> Exit:
    from kgt.command.jobs import plan_jobs
    from kgt.tiles.memory import keep_freed_memory
    from kgt.tiles.plan import place_tiles

    if not (options.task or options.model or options.weights):
        raise ValueError(f"name a --task, one of {', '.join(PURPOSES)}, a --model or --weights")
    name = options.model or options.weights
    if not name:
        name = _OTHERS.get(options.task, f"kgt-tiny-{PURPOSES[options.task].suffix}")
    network = _load_network(name, options)
    jobs = plan_jobs(options.inputs, options.out, force=options.force)
    side_by_side = _plan_comparison(options, jobs)
    if options.k:
        _set_k(network, name, options.k)
    if isinstance(options.tile, int):
        place_tiles(network, options.tile, options.tile)
    network.to(choose_device(options.device))
    keep_freed_memory()

    files: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    with show_progress("restore", len(jobs)) as report:
        for done, job in enumerate(jobs):

            def on_progress(
                share: float, what: str = "", name: str = job.source.name, done: int = done
            ) -> None:
                report(f"{name}: {what}" if what else name, done + share)

            try:
                row = (_restore_clip if job.is_clip else _restore_picture)(
                    network, job, options, on_progress
                )
                if side_by_side:
                    _join(job).save(side_by_side)
            except ModuleNotFoundError:  # no picture goes without it
                raise
            # Whatever a file makes a decoder or the network raise, the others are still restored.
            except Exception as error:
                failed[str(job.source)] = reason = str(error) or type(error).__name__
                _say(f"{job.source} failed: {reason}")
            else:
                files.append(row)
                frames = f"{row['frames']} frames, " if job.is_clip else ""
                _say("{in} -> {out}, {size[0]}x{size[1]}, {}{seconds} s".format(frames, **row))
    if options.json:
        model = {"model": name, "weights": options.weights}
        summary = {"task": options.task, **model, "files": files, "failed": failed}
        print(json.dumps(summary))
    return Exit.FAILURE if failed else Exit.FINE


def _restore_picture(
    network: Restorer, job: Job, options: argparse.Namespace, on_progress: Callable[..., None]
) -> dict[str, Any]:
    """Restore one picture into its file, and describe that: files, size in pixels, seconds."""
    from kgt.pictures.picture import Picture
    from kgt.restoring import restore_file

    start = time.perf_counter()
    on_progress(0)
    picture = Picture.read(job.source)
    _warn_of_mismatch(job, picture, options)
    # Before a folder is made for what no file can hold.
    picture.check_format(job.target, network.scale)
    make_folder(job.target.parent)
    budget = options.byte_budget * 2**20
    restore_file(
        *(network, picture, job.target, options.tile), byte_budget=budget, on_progress=on_progress
    )
    return {
        "in": str(job.source),
        "out": str(job.target),
        "size": [network.scale * length for length in picture.size],
        "seconds": round(time.perf_counter() - start, 2),
    }


def _restore_clip(
    network: Restorer, job: Job, options: argparse.Namespace, on_progress: Callable[..., None]
) -> dict[str, Any]:
    """Restore one clip into its file, and describe that: as a picture, and its frames."""
    from kgt.pictures.picture import Picture
    from kgt.video.read import inspect_clip, read_first
    from kgt.video.restoring import restore_clip

    def report(what: str, share: float) -> None:
        on_progress(share, what)

    start = time.perf_counter()
    clip = inspect_clip(job.source, report)
    _warn_of_mismatch(job, Picture(read_first(clip)), options)
    make_folder(job.target.parent)
    budget = options.byte_budget * 2**20
    restored = restore_clip(
        *(network, clip, job.target, options.tile), byte_budget=budget, on_progress=report
    )
    if restored.left_out:
        _say(f"warning: {job.target} is without {', '.join(restored.left_out)}")
    return {
        "in": str(job.source),
        "out": str(job.target),
        "size": [*restored.size],
        "frames": clip.frames,
        "seconds": round(time.perf_counter() - start, 2),
    }


def _warn_of_mismatch(job: Job, picture: Picture, options: argparse.Namespace) -> None:
    """Warn where a picture, or the first of a clip, is not what a network that ships is for."""
    from kgt.pictures.domain import find_mismatch

    if not (options.model or options.weights) and (
        mismatch := find_mismatch(picture, options.task)
    ):
        _say(f"warning: {job.source} {mismatch}")


def _plan_comparison(options: argparse.Namespace, jobs: Sequence[Job]) -> Path | None:
    """The file of --compare.

    Raises:
        ValueError: there are several pictures, or the file exists or is of no kind that is written.
    """
    from kgt.pictures.formats import find_format

    if not options.compare:
        return None
    if len(jobs) > 1:
        raise ValueError(f"--compare is for one picture, and there are {len(jobs)}")
    if jobs[0].is_clip:
        raise ValueError(f"--compare is for a picture, and {jobs[0].source} is a clip")
    path = Path(options.compare)
    find_format(path)
    files = {file.resolve() for job in jobs for file in (job.source, job.target)}
    if path.resolve() in files:
        raise ValueError(f"--compare {path} is the picture or its result; name another file")
    refuse_existing([path], options.force)
    return path


def _join(job: Job) -> Picture:
    """Input and result of a job side by side; pixels of a smaller input become squares."""
    import numpy as np

    from kgt.pictures.picture import Picture
    from kgt.pictures.write import to_bits

    source, target = Picture.read(job.source), Picture.read(job.target)
    scale = target.size[0] // source.size[0]
    channels = max(picture.pixels.shape[-1] for picture in (source, target))
    bits = 8 * target.pixels.itemsize
    left = to_bits(source.pixels, bits).repeat(scale, axis=0).repeat(scale, axis=1)
    halves = [
        pixels.repeat(channels // pixels.shape[-1], axis=-1) for pixels in (left, target.pixels)
    ]
    return Picture(np.concatenate(halves, axis=1), icc_profile=target.icc_profile)


def _load_network(description: str, options: argparse.Namespace) -> Restorer:
    """The network or classical method of a description or file, which must be one for the task.

    Raises:
        ValueError: it has no trained weights, if there is such a network, or is for another task,
            or takes no noise level, or its weights are those of another.
    """
    network = _open(description, options).eval()
    if options.task:
        _, wanted, scale = PURPOSES[options.task]
        # Of a network that is known by its parameters, only the scale is.
        if network.scale != scale or network.task not in (wanted, "restoration"):
            raise ValueError(
                f"{description} is a model for {network.task} at scale {network.scale}; "
                f"{options.task} needs one for {wanted} at scale {scale}"
            )
    return network


def _open(description: str, options: argparse.Namespace) -> Restorer:
    from baselines import load_checkpoint
    from baselines.catalog import create_any_model, list_any_models, list_fields

    if description == options.weights:
        return load_checkpoint(options.weights)
    name, fields = parse_model(description)
    if options.sigma is not None:
        if "sigma" not in list_fields(name):
            takers = (model for model in list_any_models() if "sigma" in list_fields(model))
            raise ValueError(
                f"--sigma is a noise level, and {name} takes none; those that do: "
                f"{', '.join(takers)}"
            )
        fields["sigma"] = options.sigma
    return create_any_model(name, options.weights or True, **fields)


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
