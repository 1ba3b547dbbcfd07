"""git on a checkout that is named, whatever repository the environment names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

# What git sets for a hook, or a user for a shell, and which stands above the folder it is run in.
_ELSEWHERE = frozenset(
    {
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"),
        *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH"),
        *("GIT_NAMESPACE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_REPLACE_REF_BASE"),
    }
)


def run_git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git on the checkout `root`, and collect what it prints; it may fail.

    Raises:
        OSError: git is not installed.
    """
    own = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(
        command, env=own, capture_output=True, text=True, errors="replace", check=False
    )
