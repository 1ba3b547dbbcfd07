"""Clips decoded by FFmpeg, strictly: what is damaged, cut short or of several sizes is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

# AVColorSpace: not said, ITU-R BT.709 and BT.601. Where a clip does not say, it is BT.709 from 720
# rows on, as players take it.
_UNSPECIFIED, _BT709, _BT601 = 2, 1, 5
_HIGH_DEFINITION = 720
# What a container announces is the end of its longest stream, rounded up.
_MISSING_S, _MISSING_SHARE = 0.5, 0.02


@dataclass(frozen=True)
class Clip:
    """What a look at every frame of a clip has found.

    Attributes:
        path: its file.
        size: width and height of a frame in pixels, upright.
        turns: quarter turns to the left that bring a frame upright, 0 to 3.
        frames: how many there are.
        rate: frames per second on average.
        bits: of a sample.
        pixel_format: FFmpeg's name of how samples are stored.
        matrix: AVColorSpace number by which colors become RGB.
    """

    path: Path
    size: tuple[int, int]
    turns: int
    frames: int
    rate: Fraction
    bits: int
    pixel_format: str
    matrix: int

    @property
    def rgb_format(self) -> str:
        """FFmpeg's name of the samples that are restored: of 8 bits, or 16 for any more."""
        return "rgb24" if self.bits <= 8 else "rgb48le"


@contextmanager
def open_clip(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a clip and choose its video; an error of FFmpeg in the block is raised as an OSError.

    Raises:
        OSError: the file cannot be read, or is no clip, or damaged.
        ValueError: it has no video.
    """
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            videos = [
                stream
                for stream in container.streams.video
                if not stream.disposition & Disposition.attached_pic
            ]
            if not videos:
                raise ValueError(f"{path} has no video")
            videos[0].thread_type = "AUTO"
            yield container, videos[0]
    except av.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise OSError(f"{path} is no clip, or damaged: {reason}") from error


def inspect_clip(
    path: Path, on_progress: Callable[[str, float], object] = lambda what, share: None
) -> Clip:
    """Decode all of a clip, so that what cannot be restored is refused before time is spent.

    Args:
        path: the file.
        on_progress: called with what is going on, and 0: nothing is restored yet.

    Raises:
        OSError: as `open_clip`; a frame is damaged, or the file ends early.
        ValueError: as `open_clip`; frames of several sizes, interlaced or transparent ones, or ones
            without time stamps that grow.
    """
    first: VideoFrame | None = None
    last_pts, count, end_s = -1, 0, 0.0
    with open_clip(path) as (container, video):
        for packet in container.demux():
            if packet.pts is not None:
                end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is not video:
                continue
            for frame in video.decode(packet):
                first = first or frame
                if reason := _find_fault(frame, first, last_pts if count else None):
                    raise ValueError(f"{path}: frame {count + 1} {reason}")
                if frame.is_corrupt:
                    raise OSError(f"{path}: frame {count + 1} is damaged; cut the clip before it")
                assert frame.pts is not None
                last_pts = frame.pts
                count += 1
                on_progress(f"looking at frame {count}", 0)
        if first is None:
            raise OSError(f"{path} has no frame that can be decoded")
        announced_s = (container.duration or 0) / av.time_base
        start_s = (container.start_time or 0) / av.time_base
        if announced_s + start_s - end_s > max(_MISSING_S, _MISSING_SHARE * announced_s):
            raise OSError(
                f"{path} is cut short: {end_s - start_s:.1f} s of the {announced_s:.1f} s that it "
                "announces are there"
            )
        size, turns = (first.width, first.height), first.rotation // 90 % 4
        return Clip(
            path=path,
            size=size[::-1] if turns % 2 else size,
            turns=turns,
            frames=count,
            rate=video.average_rate or Fraction(25),
            bits=max(component.bits for component in first.format.components),
            pixel_format=first.format.name,
            matrix=_find_matrix(first),
        )


def _find_fault(frame: VideoFrame, first: VideoFrame, before: int | None) -> str:
    """Why a frame is not restored, or nothing.

    Args:
        frame: the frame.
        first: the clip's first.
        before: the time stamp of the one before, if there is one.
    """
    size, usual = ((each.width, each.height) for each in (frame, first))
    if size != usual:
        return "is {}x{}, and those before are {}x{}; cut the clip there".format(*size, *usual)
    if frame.interlaced_frame:
        return "is interlaced; deinterlace the clip first, as `ffmpeg -i IN -vf bwdif OUT` does"
    if any(component.is_alpha for component in frame.format.components):
        return "has transparency, which H.264 cannot keep; save the frames as pictures"
    if frame.pts is None:
        return "has no time stamp; put the clip into a container, as `ffmpeg -i IN OUT.mp4` does"
    if before is not None and frame.pts <= before:
        return "does not come after the one before; write the clip anew, as `ffmpeg -i IN OUT` does"
    return ""


def _find_matrix(frame: VideoFrame) -> int:
    if frame.format.is_rgb or frame.colorspace in (0, _UNSPECIFIED):
        return _BT709 if frame.height >= _HIGH_DEFINITION else _BT601
    return int(frame.colorspace)


def read_first(clip: Clip) -> NDArray[Any]:
    """Samples of the first frame, as of `to_rgb`.

    Raises:
        OSError: the file is another by now, or gone.
    """
    with open_clip(clip.path) as (container, video):
        return to_rgb(next(container.decode(video)), clip)


def to_rgb(frame: VideoFrame, clip: Clip) -> NDArray[Any]:
    """Samples [h, w, 3] of a frame, upright: uint8, or uint16 where a sample has more bits."""
    samples = frame.reformat(format=clip.rgb_format, src_colorspace=clip.matrix).to_ndarray()
    return np.ascontiguousarray(np.rot90(samples, clip.turns))
