"""``python -m omnibus.policy FILE [--fd N]``: read a configuration, write the result to a descriptor."""

from __future__ import annotations

import argparse
import sys

from .load import run_child


def main() -> int:
    """Run the child; without --fd it writes to standard output."""
    parser = argparse.ArgumentParser(prog="omnibus.policy", description=__doc__)
    parser.add_argument("file", help="the configuration file")
    parser.add_argument("--fd", type=int, default=1, help="where the marshalled result is written")
    options = parser.parse_args()
    return run_child(options.file, options.fd)


if __name__ == "__main__":
    sys.exit(main())
