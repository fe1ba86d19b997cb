"""Programs of Debian packages that are not installed, for the root file system of a test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from support.overlay import Overlay

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def cache() -> Path:
    """Return the directory for downloads."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "omnibus/systemd-boot")


def apt(*arguments: str, directory: Path, backports: bool) -> str:
    """Run one of apt's programs in a directory; raise LookupError if it fails."""
    options = ["-qq", "-o", "APT::Sandbox::User=root"]
    if backports:
        options += ["-o", f"Dir::Etc::SourceList={directory}/sources.list", "-o", "Dir::Etc::SourceParts=-"]
        options += ["-o", f"Dir::State::Lists={directory}/lists", "-o", f"Dir::Cache={directory}/cache"]
    try:
        command = [arguments[0], *options, *arguments[1:]]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise LookupError(f"no {arguments[0]}") from error
    if done.returncode:
        raise LookupError(done.stderr)
    return done.stdout


def add_backports(directory: Path) -> None:
    """Add package lists of the backports for this machine's release of Debian."""
    format = "$(REPO_URI) $(CODENAME) $(LABEL)"
    listed = apt("apt-get", "indextargets", "--format", format, directory=directory, backports=False)
    for line in listed.splitlines():
        uri, codename, label = line.split()
        if label == "Debian" and "-" not in codename:
            break
    else:
        raise LookupError("this is no Debian")
    (directory / "sources.list").write_text(f"deb [signed-by={KEYRING}] {uri} {codename}-backports main\n")
    for name in ("lists/partial", "cache/archives/partial"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    apt("apt-get", "update", directory=directory, backports=True)


def download(names: Sequence[str], *, backports: bool = False) -> list[Path]:
    """Return the files of these packages, backports if requested; raise LookupError if unavailable."""
    directory = cache() / ("backports" if backports else "packages")
    directory.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if not list(directory.glob(f"{name}_*.deb"))]
    if missing and backports:
        add_backports(directory)
    for name in missing:
        release = ["-t", "*-backports"] if backports else []
        apt("apt-get", *release, "download", name, directory=directory, backports=backports)
    return [sorted(directory.glob(f"{name}_*.deb"))[-1] for name in names]


def unpack(overlay: Overlay, packages: Sequence[Path]) -> None:
    """Unpack packages into the overlay; their scripts don't run."""
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as reading:
            command = ["tar", "-x", "--keep-directory-symlink", "-C", str(overlay.root)]
            subprocess.run(command, stdin=reading.stdout, check=True)
        assert reading.returncode == 0
