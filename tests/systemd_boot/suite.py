"""The root of another suite of Debian to boot instead of this machine's, with wheels for its Python in dist/.

    suite.py SUITE

Prints the path of the root. Root only; makes it once, and keeps it in the cache.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.append(str(CHECKOUT / "tests"))

from support.debian import CACHE, Root, copy_checkout  # noqa: E402

# What `make systemd-test` installs on this machine, what the guide needs, and what builds the wheels.
PACKAGES = (
    *("systemd", "systemd-sysv", "libpam-systemd", "polkitd", "dbus", "dbus-bin", "dbus-tests"),
    *("dbus-user-session", "python3", "python3-venv", "python3-dev", "gcc", "make", "ca-certificates"),
    *("procps", "util-linux"),
)
BUILD = """cd /source
python3 -m venv /opt/build
/opt/build/bin/pip install -q --upgrade 'setuptools>=77,<90' 'wheel>=0.40,<1' 'cffi>=1.16,<3'
rm -rf dist
/opt/build/bin/pip wheel -q --no-build-isolation --wheel-dir=dist .
rm -rf /opt/build
"""


def main(suite: str) -> None:
    """Make the root and the wheels."""
    root = Root(suite, CACHE / "boot" / suite)
    with contextlib.redirect_stdout(sys.stderr):
        root.make(*PACKAGES)
        root.share()
        copy_checkout(root.path / "source")
        root.enter(BUILD)
    (CHECKOUT / "dist").mkdir(exist_ok=True)
    for wheel in (root.path / "source/dist").iterdir():
        shutil.copy(wheel, CHECKOUT / "dist")
    shutil.rmtree(root.path / "source")
    print(root.path)


if __name__ == "__main__":
    main(sys.argv[1])
