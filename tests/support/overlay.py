"""A throw-away root file system: an overlay over this machine's, in memory."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


def command(*arguments: str | Path) -> None:
    """Run a program that must succeed."""
    done = subprocess.run(
        [str(one) for one in arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"


class Memory:
    """A file system in memory for the upper layers of overlays."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        command("mount", "-t", "tmpfs", "-o", "mode=755", "omnibus", directory)

    def unmount(self) -> None:
        command("umount", "--recursive", "--lazy", self.directory)


class Overlay:
    """A root file system at ``root``: the layers ``lower``, the topmost first, and ``upper`` above."""

    def __init__(self, directory: Path, lower: Sequence[Path]) -> None:
        self.root = directory / "root"
        self.upper = directory / "upper"
        work = directory / "work"
        for one in (self.root, self.upper, work):
            one.mkdir(parents=True)
        self.upper.chmod(0o755)
        layers = ":".join(str(one) for one in lower)
        options = f"lowerdir={layers},upperdir={self.upper},workdir={work}"
        command("mount", "-t", "overlay", "-o", options, "omnibus", self.root)

    def path(self, name: str) -> Path:
        """Return the path of the overlay's file, seen from outside."""
        return self.root / name.lstrip("/")

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Write a file, and make its directories."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def remove(self, name: str) -> None:
        """Remove a file, a link or a directory if it exists."""
        path = self.path(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def unmount(self) -> None:
        command("umount", "--lazy", self.root)
