"""Files of clips, changed: each is restored, or refused in words."""

import tempfile
from pathlib import Path

import av
import torch
from torch import nn

from kgt import restore_clip
from tests.fuzzing.mutation import changed_bytes
from tests.kgt.video.making import write, write_two_sizes

SUFFIX = ".mp4"
CASES = 30  # every one is encoded


class _Same(nn.Module):
    task, scale, in_channels, size_multiple = "denoise", 1, 3, 1

    def forward(self, x):
        return torch.clone(x)


def _make(suffix, **options):
    with tempfile.TemporaryDirectory() as folder:
        return write(
            Path(folder) / f"clip{suffix}", range(3), size=(32, 32), **options
        ).read_bytes()


def _make_two_sizes():
    with tempfile.TemporaryDirectory() as folder:
        return write_two_sizes(Path(folder) / "clip.webm").read_bytes()


SEEDS = [
    _make(".mp4", sound=True),
    _make(".mov", rotation=90),
    _make(".mkv", codec="ffv1", pixels="yuv420p10le", options=()),
    _make(".webm", codec="libvpx-vp9", options=()),
    _make(".avi", codec="mpeg4", options=()),
    _make(".ts", codec="mpeg2video", options=()),
    _make_two_sizes(),
]
INPUTS = changed_bytes(SEEDS)


def attempt(data, folder):
    source = folder / "clip"
    source.write_bytes(data)
    restored = restore_clip(_Same(), source, folder / "out.mkv", None)
    with av.open(str(folder / "out.mkv")) as out:
        frames = list(out.decode(video=0))
    assert len(frames) == restored.clip.frames
    assert (frames[0].width, frames[0].height) == restored.size
