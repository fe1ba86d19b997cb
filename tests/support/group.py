"""Tests with the kernel's group: every daemon under test is started with ``--multicast``."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

MULTICAST = os.environ.get("OMNIBUS_MULTICAST", "")
"""``auto``, ``off`` or ``require``; without a value the option is left out."""

WRAPPED = "wrapped"


def entries(directory: Path) -> list[str]:
    """Return the names of a directory's entries without the sockets that a group adds."""
    return sorted(path.name for path in directory.iterdir() if path.suffix != ".seqpacket")


def with_group(executable: str) -> str:
    """Write a wrapper that adds the option to the daemon's arguments unless they contain it."""
    directory = Path(tempfile.mkdtemp(prefix="group-"))
    directory.chmod(0o755)
    program = directory / Path(executable).name
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *--multicast=*) ;; *) set -- --multicast={MULTICAST} "$@" ;; esac\n'
        f'exec "{executable}" "$@"\n'
    )
    program.chmod(0o755)
    (directory / WRAPPED).symlink_to(executable)
    return str(program)


def without_group(executable: str) -> Path:
    """Return the daemon that a wrapper starts, in its environment; any other as it is."""
    link = Path(executable).with_name(WRAPPED)
    return link.readlink() if link.is_symlink() else Path(executable)
