"""The base commit: where it is, and its sources beside the working tree while it is measured."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.records.git import run_git
from kgt.errors import Failure, quote

_MAIN_BRANCHES = ("origin/main", "main")
_PREFIX = "kgt-base-"
_OWNED = re.compile(rf"worktree (.*/{_PREFIX}(\d+)-[^/]*)/tree")


def resolve_commit(root: Path, revision: str) -> str:
    """Full hash of a commit.

    Args:
        root: a git checkout.
        revision: whatever git understands: a hash, a branch, HEAD~1.

    Raises:
        ValueError: if there is no such commit, or `root` is no checkout.
    """
    # --end-of-options keeps a revision that starts with a dash from being read as one.
    wanted = ("--verify", "--quiet", "--end-of-options", revision + "^{commit}")
    result = _git(root, "rev-parse", *wanted, check=False)
    if result.returncode != 0:
        known = _git(root, "rev-parse", "--git-dir", check=False).returncode == 0
        problem = "it names no commit here" if known else f"{root} is not a git checkout"
        raise ValueError(
            f"unknown base commit {quote(revision)}: {problem}; "
            "name a hash, branch or tag that git log shows (a shallow clone may lack it)"
        )
    return result.stdout.strip()


def find_base(root: Path) -> str:
    """Full hash of the commit where HEAD left the main branch.

    Args:
        root: a git checkout.

    Raises:
        ValueError: if `root` is no checkout, or has no main branch.
    """
    for branch in _MAIN_BRANCHES:
        found = _git(root, "merge-base", "HEAD", branch, check=False)
        if found.returncode == 0:
            return found.stdout.strip()
    raise ValueError(
        f"no commit is shared with {' or '.join(_MAIN_BRANCHES)}; name one with --base COMMIT"
    )


@contextmanager
def checked_out(root: Path, commit: str) -> Iterator[Path]:
    """Check a commit out into a temporary folder, and remove it whatever happens.

    What killed runs left behind is removed first.

    Args:
        root: a git checkout, which is not touched.
        commit: full hash.

    Yields:
        The folder with the commit's files.
    """
    _prune(root)
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as folder:
        tree = Path(folder).resolve() / "tree"
        try:
            _git(root, "worktree", "add", "--detach", str(tree), commit)
            yield tree
        finally:
            _git(root, "worktree", "remove", "--force", str(tree), check=False)
    _prune(root)


def _prune(root: Path) -> None:
    """Forget worktrees whose folder is gone or whose owner no longer runs."""
    listed = _git(root, "worktree", "list", "--porcelain").stdout
    for folder, owner in _OWNED.findall(listed):
        if not _runs(int(owner)):
            _git(root, "worktree", "remove", "--force", f"{folder}/tree", check=False)
            if Path(folder).is_dir():
                Path(folder).rmdir()
    _git(root, "worktree", "prune")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _git(root: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    result = run_git(root, *arguments)
    if check and result.returncode != 0:
        raise Failure(f"git {' '.join(arguments)} failed: {result.stderr.strip()}")
    return result
