"""What has to be true before a release, and the list of what it consists of.

    release.py check     prints each condition that does not hold; the exit status is 1 then
    release.py collect   puts everything that was built into build/release, with checksums

docs/contributing/releasing.md has the whole checklist.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
RELEASE = CHECKOUT / "build/release"
SUMS = "SHA256SUMS"
# Where the version stands beside __init__.py, and how.
VERSIONS = {
    "kernel/dkms.conf": r'^PACKAGE_VERSION="(.+)"$',
    "kernel/README.md": r"dkms install unix_multicast/(\S+?)`?$",
    "packaging/fedora/omnibus.spec": r"^Version: +(.+)$",
    "packaging/arch/PKGBUILD": r"^pkgver=(.+)$",
}


def project_version(root: Path) -> str:
    """Return the version that the package has."""
    return re.findall(r'^__version__ = "(.+)"$', (root / "__init__.py").read_text(), re.MULTILINE)[0]


def problems(root: Path) -> list[str]:
    """Return what the files at a root lack for a release, each in a line."""
    version = project_version(root)
    found = []
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        found.append(f"__init__.py: {version} is no version of three numbers")
    for name, pattern in VERSIONS.items():
        stated = set(re.findall(pattern, (root / name).read_text(), re.MULTILINE))
        if stated != {version}:
            found.append(f"{name}: has {', '.join(sorted(stated)) or 'no version'} instead of {version}")
    heads = re.findall(r"^## (.*)$", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    if not heads or not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", heads[0]):
        found.append(f"CHANGELOG.md: does not begin with {version} and a date")
    if f"{version} is not released yet" in (root / "README.md").read_text():
        found.append("README.md: says that this version is not released")
    for ending in ("state", "json"):
        if not (root / f"tests/upgrade/states/{version}.{ending}").exists():
            found.append(f"tests/upgrade/states: no {version}.{ending}; run make record-state")
    return found


def repository_problems(root: Path) -> list[str]:
    """Return what keeps the repository from being tagged."""
    version = project_version(root)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    found = []
    if git("status", "--porcelain"):
        found.append("git: there are changes that are not committed")
    if git("tag", "--list", f"v{version}"):
        found.append(f"git: v{version} exists")
    return found


def write_sums(directory: Path) -> str:
    """Write and return the checksums of all files below a directory, as sha256sum(1) reads them."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(directory)}\n" for path in files
    ]
    (directory / SUMS).write_text("".join(lines))
    return "".join(lines)


def collect() -> int:
    """Add the packages to the distribution for the index, and write the checksums."""
    shutil.rmtree(RELEASE / "debian", ignore_errors=True)
    for package in sorted((CHECKOUT / "build/deb").glob("*/*.deb")):
        target = RELEASE / "debian" / package.parent.name
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy2(package, target)
    print(write_sums(RELEASE), end="")
    return 0


def check() -> int:
    """Print the problems."""
    found = problems(CHECKOUT) + repository_problems(CHECKOUT)
    print("\n".join(found) or f"{project_version(CHECKOUT)} can be released")
    return int(bool(found))


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("command", choices=("check", "collect"))
    return {"check": check, "collect": collect}[parser.parse_args().command]()


if __name__ == "__main__":
    sys.exit(main())
