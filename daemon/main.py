"""The program ``omnibusd``."""

import gc
import sys


def main() -> int:
    """Run the daemon; return its exit code."""
    # Nothing is there yet that a lot of memory could be garbage in, and every import would look for it.
    gc.disable()
    from .program import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
