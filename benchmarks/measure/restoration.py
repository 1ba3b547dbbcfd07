"""Large images restored in a fresh process, whose memory is measured from outside."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

import kgt
from baselines.imresize import imresize
from benchmarks.measure.memory import begin_peak, read_status_bytes, return_free_heap
from benchmarks.measure.networks import create_described
from benchmarks.measure.problems import photo_images
from benchmarks.measure.sandbox import (
    Outcome,
    exit_with_parent,
    explain_death,
    explain_error,
    get_context,
    hidden_main,
    limit_memory,
)
from benchmarks.models import load_weights
from benchmarks.quality.datasets import DatasetNotFound, load_dataset
from benchmarks.quality.images import Image, read_image
from benchmarks.quality.metrics import psnr


@dataclass(frozen=True)
class RestorationJob:
    """One network that restores one image into a file.

    Attributes:
        description: NAME:field=value:field=value.
        tile: side of a tile in pixels of the input, "auto", or None for the whole image.
        byte_budget: bytes that "auto" may take.
        overlap: pixels of the input that tiles share at least.
        weights: safetensors file; None draws weights from `seed`.
        seed: seed of the weights.
        threads: torch's intra-op threads; None keeps torch's default.
    """

    description: str
    tile: int | Literal["auto"] | None = "auto"
    byte_budget: int = 2 * 2**30
    overlap: int = 32
    weights: Path | None = None
    seed: int = 0
    threads: int | None = None


@dataclass(frozen=True)
class RestorationResult:
    """What a restoration took.

    Attributes:
        seconds: of planning, restoring and writing.
        peak_bytes: growth of the process's resident set above `resident_before_bytes`.
        resident_before_bytes: resident set with network and image loaded, after a small call.
        plan: tiles, and what the plan expected them to need.
        path: the PNG file.
    """

    seconds: float
    peak_bytes: int
    resident_before_bytes: int
    plan: str
    path: Path


@dataclass(frozen=True)
class RestorationEffect:
    """What tiles change against the whole image.

    Attributes:
        gain: PSNR against the truth in tiles minus whole, dB.
        psnr_between: PSNR of the two results, dB; infinite where they are equal.
        max_steps: their largest difference in 8-bit steps.
    """

    gain: float
    psnr_between: float
    max_steps: int


class RestorationFailed(RuntimeError):  # noqa: N818  (states what happened)
    """The process ran out of memory or time, or raised."""


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
) -> RestorationResult:
    """Restore an image in a fresh process, and read that process's memory from this one.

    Args:
        job: network and tiles.
        image: uint8 [h, w, 3].
        path: where the PNG file goes.
        memory_limit_bytes: private memory that the restoration may take.
        timeout_s: seconds until the process is killed, its start included.
        on_progress: told the fraction that is done.

    Raises:
        RestorationFailed: for a process that ran out of memory or time, or raised.
        OSError: where the system is not Linux.
    """
    ours, theirs = get_context().Pipe()
    process = get_context().Process(
        target=_serve, args=(theirs, job, image, path, memory_limit_bytes), daemon=True
    )
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    try:
        with hidden_main():
            process.start()
        theirs.close()

        def receive() -> Any:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not wait([ours, process.sentinel], left):
                raise RestorationFailed(f"{job.description}: killed after {timeout_s} s")
            try:
                message = ours.recv()
            except (EOFError, OSError):
                process.join()
                message = explain_death(process.exitcode)
            if isinstance(message, Outcome):
                raise RestorationFailed(f"{job.description}: {message.status}: {message.reason}")
            return message

        receive()
        before = begin_peak(process.pid)
        ours.send("go")
        while isinstance(message := receive(), float):
            on_progress(message)
        peak = read_status_bytes("VmHWM", process.pid) - before
        ours.send("end")
        seconds, plan = message
        return RestorationResult(seconds, peak, before, plan, path)
    finally:
        ours.close()
        if process.pid is not None:
            process.kill()
            process.join()
            process.close()
        for unfinished in path.parent.glob(f".{path.name}.*.part"):
            unfinished.unlink()


def _serve(
    parent: Connection,
    job: RestorationJob,
    image: Image,
    path: Path,
    memory_limit_bytes: int | None,
) -> None:
    """Child's main: tell when it is ready, restore, and wait until its memory is read."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=exit_with_parent, daemon=True).start()
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    try:
        torch.manual_seed(job.seed)
        net = create_described(job.description).eval()
        if job.weights is not None:
            load_weights(net, job.weights)
        x = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        kgt.restore_to_png(net, x[..., :64, :64], path, None)
        path.unlink()
        # Heap that is free already would hide what the restoration takes of it.
        return_free_heap()
        parent.send("ready")
        parent.recv()
        start = time.monotonic()
        with limit_memory(memory_limit_bytes):
            tile, plan = job.tile, "whole" if job.tile is None else f"tiles of {job.tile}"
            if tile == "auto":
                chosen = kgt.plan_tiles(
                    net, x, overlap=job.overlap, byte_budget=job.byte_budget, streamed=True
                )
                tile, plan = chosen.tile, str(chosen)
            kgt.restore_to_png(net, x, path, tile, overlap=job.overlap, on_band=parent.send)
        parent.send((time.monotonic() - start, plan))
        parent.recv()
    except BaseException as error:
        parent.send(explain_error(error))
    os._exit(0)


def compare_restorations(whole: Path, tiled: Path, truth: Image) -> RestorationEffect:
    """Compare two files that `measure_restoration` wrote with the truth, uint8 [H, W, 3]."""
    first, second = read_image(whole), read_image(tiled)
    steps = int(np.abs(first.astype(int) - second).max())
    gain = psnr(second, truth) - psnr(first, truth) if steps else 0.0
    return RestorationEffect(gain, psnr(second, first), steps)


def describe_restorations(
    descriptions: Sequence[str],
    output: tuple[int, int],
    job: RestorationJob,
    *,
    whole: bool = True,
    memory_limit_bytes: int | None = None,
    timeout_s: float | None = None,
    on_progress: Callable[[str, float], object] = lambda name, done: None,
) -> Iterator[dict[str, Any]]:
    """Restore a photograph by several networks, and say whether each kept to its budget.

    Args:
        descriptions: networks as in `RestorationJob`.
        output: height and width of the result in pixels, multiples of the networks' scales.
        job: tiles and budget; its description is not used.
        whole: restore the image whole, too, for what tiles change.
        memory_limit_bytes: as for `measure_restoration`.
        timeout_s: as for `measure_restoration`.
        on_progress: told the name of the network and the fraction done.

    Raises:
        ValueError: for an unknown network, or a size that is no multiple of its scale.
        RestorationFailed: as `measure_restoration`.
    """
    truth = photograph(*output)
    for name in descriptions:
        scale: Any = create_described(name).scale
        if output[0] % scale or output[1] % scale:
            raise ValueError(f"{name}: output {output[0]}x{output[1]} is no multiple of {scale}")
        image = imresize(truth, Fraction(1, scale)) if scale > 1 else truth
        with tempfile.TemporaryDirectory() as folder:

            def measure(chosen: RestorationJob, file: str) -> RestorationResult:
                return measure_restoration(
                    chosen,
                    image,  # noqa: B023  (called in this round)
                    Path(folder, file),
                    memory_limit_bytes=memory_limit_bytes,
                    timeout_s=timeout_s,
                    on_progress=lambda done: on_progress(name, done),  # noqa: B023
                )

            mine = replace(job, description=name)
            result = measure(mine, "tiled.png")
            effect = None
            if whole:
                path = measure(replace(mine, tile=None), "whole.png").path
                effect = compare_restorations(path, result.path, truth)
        yield {
            "model": name,
            "output": f"{output[0]}x{output[1]}",
            "tile": result.plan,
            "seconds": result.seconds,
            "peak_mib": result.peak_bytes / 2**20,
            "budget_mib": job.byte_budget / 2**20,
            "kept": result.peak_bytes <= job.byte_budget,
            "psnr_change": None if effect is None else effect.gain,
            "steps": None if effect is None else effect.max_steps,
        }
