"""Large images restored in a fresh process, whose memory is measured from outside."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

import kgt
from baselines.imresize import imresize
from benchmarks.data.datasets import DatasetNotFound, load_dataset
from benchmarks.data.images import Image, read_image
from benchmarks.measure.memory import begin_peak, read_status_bytes, return_free_heap
from benchmarks.measure.problems import photo_images
from benchmarks.measure.sandbox import Outcome, explain_error, fresh_process, limit_memory
from benchmarks.models import create_described
from benchmarks.tasks.metrics import psnr
from kgt.errors import Failure
from kgt.pictures import Picture
from kgt.tiles.memory import keep_freed_memory


@dataclass(frozen=True)
class RestorationJob:
    """One network that restores one image into a file.

    Attributes:
        description: NAME:field=value:field=value.
        tile: side of a tile in pixels of the input, "auto", or None for the whole image.
        byte_budget: bytes that "auto" may take.
        seed: seed of the weights.
        threads: torch's intra-op threads; None keeps torch's default.
    """

    description: str
    tile: int | Literal["auto"] | None = "auto"
    byte_budget: int = 2 * 2**30
    seed: int = 0
    threads: int | None = None


@dataclass(frozen=True)
class RestorationRun:
    """What a restoration took.

    Attributes:
        seconds: of planning, restoring and writing.
        peak_bytes: growth of the process's resident set above `resident_before_bytes`.
        resident_before_bytes: resident set with network and image loaded, after a small call.
        plan: tiles, and what the plan expected them to need.
    """

    seconds: float
    peak_bytes: int
    resident_before_bytes: int
    plan: str


class RestorationFailed(Failure):
    """The process ran out of memory or time, or raised."""


@dataclass(frozen=True)
class BothWays:
    """An image restored in tiles and, where that was asked for, whole.

    Attributes:
        tiled: what tiles took.
        whole: what the whole image took, or why it failed; None where it was not asked for.
        gain: PSNR against the truth in tiles minus whole, dB; None without a whole result.
        max_steps: largest difference of the two in 8-bit steps; likewise.
    """

    tiled: RestorationRun
    whole: RestorationRun | RestorationFailed | None = None
    gain: float | None = None
    max_steps: int | None = None


def photograph(height: int, width: int) -> Image:
    """A photograph uint8 [height, width, 3]: the center of one of UHD, else an embedded one."""
    try:
        images = (item.image for item in load_dataset("UHD"))
        image = next(i for i in images if i.shape[0] >= height and i.shape[1] >= width)
    except (DatasetNotFound, StopIteration):
        pixels = photo_images(1, height, width)[0].permute(1, 2, 0)
        return (255 * pixels).round().to(torch.uint8).numpy()
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def measure_restoration(
    job: RestorationJob,
    image: Image,
    path: Path,
    *,
    memory_limit_bytes: int | None = None,
    timeout_s: float | None = None,
    on_progress: Callable[[float], object] = lambda done: None,
) -> RestorationRun:
    """Restore an image in a fresh process, and read that process's memory from this one.

    Args:
        job: network and tiles.
        image: uint8 [h, w, 3].
        path: where the PNG file goes, in a folder of its own.
        memory_limit_bytes: private memory that the restoration may take.
        timeout_s: seconds until the process is killed, its start included.
        on_progress: called with the fraction that is done.

    Raises:
        RestorationFailed: for a process that ran out of memory or time, or raised.
        OSError: where the system is not Linux.
    """
    arguments = (job, image, path, memory_limit_bytes)
    try:
        with fresh_process(_serve, *arguments, threads=job.threads, timeout_s=timeout_s) as child:

            def receive() -> Any:
                message = child.receive()
                if isinstance(message, Outcome):
                    raise RestorationFailed(
                        f"{job.description}: {message.status}: {message.reason}"
                    )
                return message

            receive()
            before = begin_peak(child.process.pid)
            child.pipe.send("go")
            while isinstance(message := receive(), float):
                on_progress(message)
            peak = read_status_bytes("VmHWM", child.process.pid) - before
            seconds, plan = message
            return RestorationRun(seconds, peak, before, plan)
    finally:
        for unfinished in path.parent.glob(".*.part"):
            unfinished.unlink()


def _serve(
    parent: Connection,
    job: RestorationJob,
    image: Image,
    path: Path,
    memory_limit_bytes: int | None,
) -> None:
    """Say that all is ready, restore, and wait until this process's memory is read."""
    try:
        keep_freed_memory()  # as the command does
        torch.manual_seed(job.seed)
        net = create_described(job.description).eval()
        picture = Picture(image)
        kgt.restore_file(net, Picture(image[:64, :64]), path, None)
        path.unlink()
        # Heap that is free already would hide what the restoration takes of it.
        return_free_heap()
        parent.send("ready")
        parent.recv()
        start = time.monotonic()
        with limit_memory(memory_limit_bytes):
            tile, plan = job.tile, "whole" if job.tile is None else f"tiles of {job.tile}"
            if tile == "auto":
                x = torch.from_numpy(image).permute(2, 0, 1)[None]
                chosen = kgt.plan_tiles(net, x, byte_budget=job.byte_budget, streamed=True)
                tile, plan = chosen.tile, str(chosen)
            kgt.restore_file(net, picture, path, tile, on_progress=parent.send)
        parent.send((time.monotonic() - start, plan))
        parent.recv()
    except BaseException as error:
        parent.send(explain_error(error))


def compare_restorations(whole: Path, tiled: Path, truth: Image) -> tuple[float, int]:
    """`gain` and `max_steps` of two files that `measure_restoration` wrote."""
    first, second = read_image(whole), read_image(tiled)
    steps = int(np.abs(first.astype(int) - second).max())
    return psnr(second, truth) - psnr(first, truth) if steps else 0.0, steps


def restore_both_ways(
    job: RestorationJob, truth: Image, *, whole: bool = True, **options: Any
) -> BothWays:
    """Shrink an image, and restore it in tiles and whole.

    Args:
        job: network and tiles.
        truth: uint8 [H, W, 3]; sides are multiples of the network's scale.
        whole: restore it whole, too.
        options: limits and `on_progress` of `measure_restoration`.

    Raises:
        ValueError: for an unknown network, or a size that is no multiple of its scale.
        RestorationFailed: when it cannot be restored in tiles.
    """
    scale: Any = create_described(job.description).scale
    height, width = truth.shape[:2]
    if height % scale or width % scale:
        raise ValueError(f"{job.description}: output {height}x{width} is no multiple of {scale}")
    image = imresize(truth, Fraction(1, scale)) if scale > 1 else truth
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "whole.png"), Path(folder, "tiled.png")
        tiled = measure_restoration(job, image, paths[1], **options)
        if not whole:
            return BothWays(tiled)
        try:
            result = measure_restoration(replace(job, tile=None), image, paths[0], **options)
        except RestorationFailed as error:
            return BothWays(tiled, error)
        return BothWays(tiled, result, *compare_restorations(*paths, truth))
