"""`python -m kgt` is the command `kgt`."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        from kgt import command
    # It comes before there is anything to say it as all commands do.
    except KeyboardInterrupt:
        print("kgt: interrupted", file=sys.stderr)
        return 3
    return command.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
