"""A root file system with a suite of Debian, made once by debootstrap and kept in the cache. Root only."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omnibus"
# Copied from this machine: host names, and the certificates that pip trusts.
SHARED = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")
# The root is a mount itself, so that what runs there may make mount namespaces.
MOUNTS = """set -eu
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs run
exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 /bin/sh -euc "$2"
"""


def run(*command: str | Path) -> None:
    """Run a program that must succeed; its output is passed through."""
    subprocess.run([str(one) for one in command], check=True, stdin=subprocess.DEVNULL)


def git(*arguments: str) -> str:
    """Return the output of git in the checkout."""
    command = ["git", "-C", str(CHECKOUT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def copy_checkout(target: Path) -> None:
    """Copy the tracked and new files of the working tree, replacing what was there before."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    for name in filter(None, listed.split("\0")):
        if (CHECKOUT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target / name, follow_symlinks=False)


class Root:
    """The root of a suite at a path; call ``make`` first."""

    def __init__(self, suite: str, path: Path) -> None:
        self.suite = suite
        self.path = path

    def make(self, *packages: str) -> None:
        """Make it with these packages unless it exists; complete, or not at all."""
        if self.path.exists():
            return
        part = self.path.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        run("debootstrap", "--variant=minbase", f"--include={','.join(packages)}", self.suite, part)
        part.rename(self.path)

    def share(self) -> None:
        """Give it this machine's host names, certificates and settings of apt."""
        for name in SHARED:
            if os.path.exists(name):
                copy = self.path / name.lstrip("/")
                copy.unlink(missing_ok=True)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(name, copy)
        dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
        # A snapshot mirror has expired Release files; this machine's apt is configured for that.
        checks = [line for line in dump.splitlines() if line.startswith("Acquire::Check-")]
        (self.path / "etc/apt/apt.conf.d/99checks").write_text("".join(f"{line}\n" for line in checks))

    def enter(self, script: str) -> None:
        """Run a script in the root, with mounts and processes that end with it."""
        alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
        run(*alone, "sh", "-c", MOUNTS, "sh", self.path, script)
