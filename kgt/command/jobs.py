"""Which pictures and clips are restored, and into which files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kgt.files import refuse_existing
from kgt.pictures.formats import FORMATS, READ_SUFFIXES, find_format
from kgt.video.formats import CONTAINERS, find_container, is_clip


@dataclass(frozen=True)
class Job:
    """One picture or clip to restore.

    Attributes:
        source: its file.
        target: file of what is restored.
    """

    source: Path
    target: Path

    @property
    def is_clip(self) -> bool:
        """Whether it is a clip."""
        return is_clip(self.source)


def plan_jobs(inputs: Sequence[str], out: str, *, force: bool = False) -> list[Job]:
    """Find the pictures and clips, and name the files that they become.

    Args:
        inputs: files; folders, searched with their subfolders for the suffixes of pictures; and
            patterns such as `*.jpg`, or `**/*.jpg` for all subfolders.
        out: for one picture or clip, a file, if this has a suffix and is no folder; else a folder,
            in which pictures become PNG files of the same name and clips MP4 files, and subfolders
            of an input folder stay.
        force: files that exist may be overwritten.

    Raises:
        ValueError: an input that matches nothing, an output that exists, two pictures for one
            output, or a suffix that is not written.
    """
    folder = Path(out)
    named = [pair for text in inputs for pair in _find_pictures(text, folder)]
    is_folder = folder.is_dir() or out.endswith(os.sep) or not folder.suffix
    is_single = len(named) == 1 and not Path(inputs[0]).is_dir()
    if is_single and not is_folder:
        jobs = [Job(named[0][0], folder)]
        (find_container if jobs[0].is_clip else find_format)(folder)
    elif folder.is_file() or (folder.suffix.lower() in {**FORMATS, **CONTAINERS} and not is_folder):
        raise ValueError(f"{out} is a file; name a folder for pictures of a folder, or for several")
    else:
        jobs = [
            Job(source, folder / name.with_suffix(".mp4" if is_clip(source) else ".png"))
            for source, name in named
        ]
    _check_targets(jobs, force)
    return jobs


def _find_pictures(text: str, out: Path) -> list[tuple[Path, Path]]:
    """The pictures that an input stands for, and what they are called below the output folder."""
    path = Path(text)
    if path.is_dir():
        # An earlier run may have put its results into a folder in here.
        results = out.resolve() if path.resolve() in out.resolve().parents else None
        found = [
            (file, file.relative_to(path))
            for file in _list_files(path, "**/*")
            if file.suffix.lower() in READ_SUFFIXES and results not in file.resolve().parents
        ]
    elif path.is_file():
        found = [(path, Path(path.name))]
    else:
        files = _list_files(Path(path.anchor), str(path.relative_to(path.anchor)))
        found = [(file, Path(file.name)) for file in files]
    if not found:
        what = "no pictures are in" if path.is_dir() else "there is no file, folder or match of"
        raise ValueError(f"{what} {text}; pictures end in {', '.join(READ_SUFFIXES)}")
    return found


def _list_files(folder: Path, pattern: str) -> list[Path]:
    """Files that match, sorted, without hidden ones and those of hidden folders not named."""
    named = set(Path(pattern).parts)
    return sorted(
        file
        for file in folder.glob(pattern)
        if file.is_file()
        and not any(
            part.startswith(".") and part not in named for part in file.relative_to(folder).parts
        )
    )


def _check_targets(jobs: Sequence[Job], force: bool) -> None:
    sources: dict[Path, Path] = {}
    for job in jobs:
        first = sources.setdefault(job.target, job.source)
        if first is not job.source:
            raise ValueError(
                f"{first} and {job.source} would both become {job.target}; restore them into "
                "folders of their own"
            )
    refuse_existing((job.target for job in jobs), force)
