"""`python -m kgt restore`: pictures in, restored pictures out."""

import sys

from kgt.command import main

if __name__ == "__main__":
    sys.exit(main())
