"""Restored frames, encoded, beside the other streams of the clip that they are of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from kgt.files import replace_when_complete
from kgt.video.formats import CODEC, CODEC_OPTIONS, find_container
from kgt.video.read import Clip

# Sound and subtitles; chapters' text, time codes and fonts are left out.
_COPIED = ("audio", "subtitle")


class ClipWriter:
    """Writes frames, and packets of other streams, in the order of the clip that they are of.

    Attributes:
        left_out: the streams that are not copied, in words.
    """

    def __init__(self, container: OutputContainer, clip: Clip, size: tuple[int, int]) -> None:
        self._container, self._clip = container, clip
        video = container.add_stream(CODEC, clip.rate, dict(CODEC_OPTIONS))
        assert isinstance(video, VideoStream)
        self._video = video
        self._video.width, self._video.height = size
        self._video.pix_fmt = choose_pixel_format(clip, size)
        self._copies: dict[int, Stream] = {}
        self.left_out: list[str] = []

    def add_streams(self, source: av.container.InputContainer, video: VideoStream) -> None:
        """Take over the streams beside the video, and its clock and shape of pixels."""
        context = self._video.codec_context
        assert video.time_base is not None
        context.time_base = video.time_base
        if ratio := video.sample_aspect_ratio:
            context.sample_aspect_ratio = 1 / ratio if self._clip.turns % 2 else ratio
        self._container.metadata.update(source.metadata)
        for stream in source.streams:
            if stream is video:
                continue
            named = f"stream {stream.index} ({stream.type})"
            if stream.type not in _COPIED:
                self.left_out.append(named)
                continue
            try:
                self._copies[stream.index] = self._container.add_stream_from_template(stream)
            except (ValueError, av.FFmpegError):
                self.left_out.append(f"{named}, which {self._container.format.name} cannot hold")

    def copy(self, packet: Packet[Any]) -> None:
        """Copy a packet of another stream, if that is kept."""
        target = self._copies.get(packet.stream.index)
        if target is not None and packet.dts is not None:
            packet.stream = target
            self._container.mux(packet)

    def write(self, samples: NDArray[Any], frame: VideoFrame) -> None:
        """Encode samples [h, w, 3] in the place of a frame."""
        matrix = self._clip.matrix
        restored = av.VideoFrame.from_ndarray(samples, format=self._clip.rgb_format).reformat(
            format=self._video.pix_fmt,
            dst_colorspace=matrix,
            dst_color_range=frame.color_range or None,
        )
        restored.pts, restored.time_base = frame.pts, frame.time_base
        restored.duration = frame.duration
        context = self._video.codec_context
        if not context.is_open:  # its header says what the frames are
            context.colorspace, context.color_range = matrix, restored.color_range
            context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
        self._container.mux(self._video.encode(restored))

    def finish(self) -> None:
        """Encode what the encoder still holds."""
        self._container.mux(self._video.encode())


@contextmanager
def write_clip(path: Path, clip: Clip, size: tuple[int, int]) -> Iterator[ClipWriter]:
    """A writer of a file, which appears when it is complete.

    Args:
        path: a file with a suffix of `CONTAINERS`; one that is there is replaced.
        clip: what is restored.
        size: width and height of a restored frame in pixels.

    Raises:
        ValueError: for a suffix that is not written.
        OSError: where the file cannot be written.
    """
    kind = find_container(path)
    try:
        with (
            replace_when_complete(path) as file,
            av.open(file, "w", format=kind) as container,
        ):
            writer = ClipWriter(container, clip, size)
            yield writer
            writer.finish()
    except av.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise OSError(f"{path} cannot be written: {reason}; no part of it is left") from error


def choose_pixel_format(clip: Clip, size: tuple[int, int]) -> str:
    """How restored samples are stored: as the clip's where the encoder and the size allow it."""
    taken = {each.name for each in av.Codec(CODEC, "w").video_formats or ()}
    name = clip.pixel_format.replace("yuvj", "yuv")
    depth = "" if clip.bits <= 8 else "10le"
    if name not in taken:
        kind = av.VideoFormat(name)
        name = ("yuv444p" if kind.is_rgb else "yuv420p") + depth
    # Planes of half the width or height need even numbers.
    odd = any(length % 2 for length in size)
    return "yuv444p" + depth if odd and name.startswith(("yuv42", "nv")) else name
