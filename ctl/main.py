"""The program ``omnibusctl``."""

import gc
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the verb, and end with its exit code."""
    # There is no garbage yet, but every import would trigger a collection.
    gc.disable()
    from .cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
