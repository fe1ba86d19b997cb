"""Debian packages of the checkout, built in a root of each suite.

    deb.py [--twice] SUITE...

The packages are in build/deb/SUITE afterwards, with lintian's report; its errors fail the build. --twice
builds them a second time and compares. Root only.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.append(str(CHECKOUT / "tests"))

from support.debian import CACHE, Root, copy_checkout, git  # noqa: E402

# So that an upgrade of the distribution brings the package of the later release.
RELEASES = {"bookworm": "~deb12", "trixie": "~deb13", "sid": ""}
TOOLS = ("build-essential", "lintian")
MAINTAINER = re.compile("^(Maintainer: ).*", re.MULTILINE)
# Not understood by the setuptools of Debian 12, and of no effect on what is built.
TOO_NEW = re.compile(r"^license(-files)? = .*\n", re.MULTILINE)


def copy_sources(suite: str, target: Path) -> None:
    """Copy the checkout, and make a source package of it."""
    copy_checkout(target)
    shutil.copytree(target / "packaging/debian", target / "debian", symlinks=True)
    (target / "debian/changelog").write_text(changelog(suite))
    control = target / "debian/control"
    control.write_text(MAINTAINER.sub(lambda found: f"{found[1]}{maintainer()}", control.read_text()))
    if suite == "bookworm":
        project = target / "pyproject.toml"
        project.write_text(TOO_NEW.sub("", project.read_text()))


def maintainer() -> str:
    """Return who builds the packages, by Debian's variables; otherwise an address that can't exist."""
    name = os.environ.get("DEBFULLNAME", "omnibus developers")
    return f"{name} <{os.environ.get('DEBEMAIL', 'omnibus@omnibus.invalid')}>"


def changelog(suite: str) -> str:
    """Return Debian's changelog: one entry, of the last commit's time, so that builds can be compared."""
    version = git("grep", "-h", "__version__", "--", "__init__.py").split('"')[1]
    date = git("log", "-1", "--format=%cD").strip()
    return (
        f"omnibus ({version}{RELEASES[suite]}) unstable; urgency=medium\n\n"
        "  * See /usr/share/doc/omnibus-doc/CHANGELOG.md.\n\n"
        f" -- {maintainer()}  {date}\n"
    )


def build(root: Root) -> dict[str, bytes]:
    """Build the packages in the root, of its copy of the sources; return them by their names."""
    place = root.path / "build"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(root.path / "sources", place / "omnibus", symlinks=True)
    root.enter(
        "cd /build/omnibus\n"
        "export DEBIAN_FRONTEND=noninteractive\n"
        "if ! dpkg-checkbuilddeps 2>/dev/null || ! command -v lintian >/dev/null; then\n"
        "    apt-get -q update\n"
        f"    apt-get -qy --no-install-recommends install {' '.join(TOOLS)}\n"
        "    apt-get -qy --no-install-recommends build-dep ./\n"
        "fi\n"
        "dpkg-buildpackage -us -uc -b >../log 2>&1 || { tail -40 ../log; exit 1; }"
    )
    return {path.name: path.read_bytes() for path in place.glob("*.deb")}


def check(root: Root) -> bool:
    """Run lintian; return whether it found no error."""
    root.enter(
        "cd /build && { lintian --allow-root --fail-on error *.changes >lintian 2>&1; echo $? >status; }"
    )
    print((root.path / "build/lintian").read_text())
    return (root.path / "build/status").read_text() == "0\n"


def make(suite: str, twice: bool) -> bool:
    """Make the packages of a suite; return whether all is well."""
    root = Root(suite, CACHE / "deb" / f"{suite}-build")
    root.make("ca-certificates")
    root.share()
    copy_sources(suite, root.path / "sources")
    packages = build(root)
    good = check(root)
    target = CHECKOUT / "build/deb" / suite
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, content in packages.items():
        (target / name).write_bytes(content)
    shutil.copy(root.path / "build/lintian", target)
    if twice:
        different = [name for name, content in build(root).items() if packages.get(name) != content]
        print(f"{suite}: built twice; different: {', '.join(different) or 'none'}")
        good = good and not different
    print(f"{suite}: {', '.join(sorted(packages))}")
    return good


def main() -> int:
    """Make the packages of each suite; return 1 if something is wrong with one."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--twice", action="store_true")
    parser.add_argument("suites", nargs="+", choices=RELEASES)
    options = parser.parse_args()
    results = [make(suite, options.twice) for suite in options.suites]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
