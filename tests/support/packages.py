"""Programs of Debian packages that this machine has not installed, for the root file system of a test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from support.overlay import Overlay


def cache() -> Path:
    """Return where downloads stay."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "omnibus/systemd-boot/packages")


def download(names: Sequence[str]) -> list[Path]:
    """Return the files of these packages; raise LookupError if there is no way to get them."""
    directory = cache()
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not list(directory.glob(f"{name}_*.deb")):
            command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", name]
            try:
                done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
            except FileNotFoundError as error:
                raise LookupError("no apt-get") from error
            if done.returncode:
                raise LookupError(done.stderr)
    return [sorted(directory.glob(f"{name}_*.deb"))[-1] for name in names]


def unpack(overlay: Overlay, packages: Sequence[Path]) -> None:
    """Put the files of packages into the overlay; their scripts don't run."""
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as reading:
            command = ["tar", "-x", "--keep-directory-symlink", "-C", str(overlay.root)]
            subprocess.run(command, stdin=reading.stdout, check=True)
        assert reading.returncode == 0
