"""Try a target with many inputs, for as long as you like, and keep the smallest that fail."""

import argparse
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.fuzzing.harness import TARGETS, fuzz, load, summarize, try_input
from tests.fuzzing.kills import KILLED, kill


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "all", "kills"])
    parser.add_argument("--cases", type=int, default=1000, help="of each target (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another one tries other inputs")
    parser.add_argument("--minutes", type=float, help="end after as many")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path(tempfile.gettempdir()) / "kgt-fuzzing",
        metavar="FOLDER",
        help="where inputs go that fail (%(default)s)",
    )
    parser.add_argument("--again", type=Path, metavar="FILE", help="try a kept input, here")
    options = parser.parse_args()
    if options.again:
        try_input(load(options.target), options.again.read_bytes())
        return 0
    if options.target == "kills":
        counts = kill(options.cases, options.seed, partial(print, file=sys.stderr, flush=True))
        print(", ".join(f"{counts[what]} {what}" for what in (*KILLED, "struck", "lost")))
        return 1 if counts["lost"] else 0
    fine = True
    for name in TARGETS if options.target == "all" else [options.target]:
        begin, say = time.monotonic(), partial(print, file=sys.stderr, flush=True)
        cases = 10**7 if options.minutes else options.cases
        counts = fuzz(
            name, cases, options.seed, options.minutes, options.workers, options.keep, say
        )
        line, good = summarize(name, counts)
        print(f"{line}, {time.monotonic() - begin:.0f} s", flush=True)
        fine &= good
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
