"""Files of clips: by what they are known, and how they are written."""

from __future__ import annotations

from pathlib import Path

from kgt.errors import quote

READ_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".3gp")
# Names of FFmpeg for the containers that are written.
CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
# H.264 takes formats of pixels with 8 and 10 bits a sample. At this quality the encoder changes a
# restored frame by less than the networks that ship differ from the truth.
CODEC = "libx264"
CODEC_OPTIONS = {"crf": "14", "preset": "medium"}


def is_clip(path: Path) -> bool:
    """Whether a file is a clip, by its suffix."""
    return path.suffix.lower() in READ_SUFFIXES


def find_container(path: Path) -> str:
    """The container that a suffix stands for.

    Raises:
        ValueError: for a suffix that is not written, listing those that are.
    """
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise ValueError(
            f"{path}: a clip is not written with the suffix {quote(suffix)}; "
            f"written are {', '.join(CONTAINERS)}"
        )
    return CONTAINERS[suffix]
