"""The program ``omnibusd``."""

import gc
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the daemon, and end with its exit code."""
    # Nothing is there yet that a lot of memory could be garbage in, and every import would look for it.
    gc.disable()
    from .cli import run

    code = run(sys.argv[1:])
    # All is said and closed. To take the interpreter apart would keep whoever waits for us.
    os._exit(code)


if __name__ == "__main__":
    main()
