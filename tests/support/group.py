"""The tests with the kernel's group: every daemon under test starts with ``--multicast``."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

MULTICAST = os.environ.get("OMNIBUS_MULTICAST", "")
"""``auto``, ``off`` or ``require``; nothing, and the option is left out."""


def entries(directory: Path) -> list[str]:
    """Return the names of what is in a directory, but for the sockets that a group puts beside others."""
    return sorted(path.name for path in directory.iterdir() if path.suffix != ".seqpacket")


def with_group(executable: str) -> str:
    """Write a program that becomes the daemon with that option, unless whoever starts it has another."""
    directory = Path(tempfile.mkdtemp(prefix="group-"))
    directory.chmod(0o755)
    program = directory / Path(executable).name
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *--multicast=*) ;; *) set -- --multicast={MULTICAST} "$@" ;; esac\n'
        f'exec "{executable}" "$@"\n'
    )
    program.chmod(0o755)
    return str(program)
