"""The program ``omnibusd``."""

import gc
import os
import sys

from .quick_import import install

# First, for everything that is imported from here on.
install()


def main() -> None:
    """Run the daemon, and end with its exit code."""
    # There is no garbage yet, but every import would trigger a collection.
    gc.disable()
    from .deferred import spare

    spare()
    from .cli import run

    code = run(sys.argv[1:])
    # Everything is closed. Finalizing the interpreter would only delay the exit.
    os._exit(code)


if __name__ == "__main__":
    main()
