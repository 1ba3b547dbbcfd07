"""From network to clip, frame by frame."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from av.video.frame import VideoFrame

from kgt.contract import Restorer
from kgt.pictures.picture import Picture
from kgt.restoring import choose_picture_tile, restore_picture
from kgt.tiles import BYTE_BUDGET, OVERLAP
from kgt.video.formats import find_container
from kgt.video.read import Clip, inspect_clip, open_clip, to_rgb
from kgt.video.write import write_clip


@dataclass(frozen=True)
class RestoredClip:
    """What became of a clip.

    Attributes:
        clip: as it was.
        size: width and height of a restored frame in pixels.
        left_out: streams that the result lacks, in words.
    """

    clip: Clip
    size: tuple[int, int]
    left_out: tuple[str, ...]


def restore_clip(
    net: Restorer,
    source: str | os.PathLike[str] | Clip,
    path: str | os.PathLike[str],
    tile: int | Literal["auto"] | None = "auto",
    *,
    overlap: int = OVERLAP,
    byte_budget: int = BYTE_BUDGET,
    on_progress: Callable[[str, float], object] = lambda what, share: None,
) -> RestoredClip:
    """Restore every frame of a clip as `restore_picture` does a picture, into another file.

    Frames keep their time stamps, whether they are equally far apart or not, their number of bits
    up to 10, and their color matrix; they are stored upright. Sound and subtitles are copied as
    they are. The clip is decoded once before, so that what cannot be restored is refused at once;
    the file appears when it is complete, and nothing is left of one that does not.

    Args:
        net: a restorer.
        source: the file of a clip, as FFmpeg decodes it, or what `inspect_clip` found in one.
        path: a file ending in .mp4, .mov or .mkv, which gets H.264; one that is there is replaced.
        tile: as for `restore_bands`; "auto" is chosen once, for all frames.
        overlap: as for `restore`.
        byte_budget: bytes that "auto" may take besides the frames, see `plan_tiles`.
        on_progress: called with what is going on and the share of the clip that is restored.

    Raises:
        ValueError: as `inspect_clip` and `restore_picture`; for a suffix that is not written.
        OSError: as `inspect_clip`, or the file cannot be written.
    """
    path = Path(path)
    find_container(path)
    clip = source if isinstance(source, Clip) else inspect_clip(Path(source), on_progress)
    width, height = (net.scale * length for length in clip.size)
    begin, done = time.monotonic(), 0

    def restore_frame(frame: VideoFrame) -> Picture:
        nonlocal tile
        picture = Picture(to_rgb(frame, clip))
        if tile == "auto":
            tile = choose_picture_tile(net, picture, overlap=overlap, byte_budget=byte_budget)

        def report(share: float) -> None:
            pace = (done + share) / (time.monotonic() - begin)
            what = f"frame {done + 1} of {clip.frames}, {pace:.2g} frames/s"
            on_progress(what, (done + share) / clip.frames)

        return restore_picture(
            net, picture, tile, overlap=overlap, byte_budget=byte_budget, on_progress=report
        )

    with (
        open_clip(clip.path) as (container, video),
        write_clip(path, clip, (width, height)) as writer,
    ):
        writer.add_streams(container, video)
        for packet in container.demux():
            if packet.stream is not video:
                writer.copy(packet)
                continue
            for frame in video.decode(packet):
                writer.write(restore_frame(frame).pixels, frame)
                done += 1
        left_out = tuple(writer.left_out)
    return RestoredClip(clip, (width, height), left_out)
