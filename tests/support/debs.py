"""The built Debian packages, and machines to install them on."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from support.debian import CACHE, Root
from support.machine import Machine, run_in, running, wait_until
from support.overlay import Overlay

CHECKOUT = Path(__file__).parents[2]
BUILT = CHECKOUT / "build/deb"
USER = "tester"
INIT = ("--boot", "--notify-ready=yes", "systemd.unit=multi-user.target")
# What a small server has; the bus of its users included.
MACHINE = (
    *("systemd-sysv", "libpam-systemd", "dbus", "dbus-user-session", "polkitd"),
    *("python3", "python3-cffi-backend", "procps", "libglib2.0-bin"),
)


def packages(suite: str) -> Path:
    """Return the directory with a suite's packages."""
    found = BUILT / suite
    assert list(found.glob("*.deb")), f"no packages of {suite}: make deb"
    return found


def next_version(package: Path, target: Path, version: str) -> Path:
    """Make of a package with the program one of a later version, and return it."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "root")
        subprocess.run(["dpkg-deb", "-R", package, root], check=True)
        control = root / "DEBIAN/control"
        control.write_text(re.sub("^Version: .*", f"Version: {version}", control.read_text(), flags=re.M))
        (module,) = root.glob("usr/lib/omnibus/lib/*/site-packages/omnibus/__init__.py")
        module.write_text(re.sub('__version__ = ".*"', f'__version__ = "{version}"', module.read_text()))
        subprocess.run(["dpkg-deb", "-b", root, target], check=True, capture_output=True)
    return target


class Suite:
    """Machines with a suite of Debian and a user; nothing of them remains."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self._directory = directory
        self._root = Root(name, CACHE / "deb" / f"{name}-machine")
        self._root.make("ca-certificates")
        self._root.share()
        if not all((self._root.path / one).exists() for one in ("usr/bin/dbus-daemon", "usr/bin/gdbus")):
            self._root.enter(
                "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d\n"
                "apt-get -q update\nexport DEBIAN_FRONTEND=noninteractive\n"
                f"apt-get -qy install --no-install-recommends {' '.join(MACHINE)}; apt-get clean"
            )

    @contextlib.contextmanager
    def boot(
        self, *installed: str, change: Callable[[Overlay], None] = lambda overlay: None
    ) -> Iterator[Machine]:
        """Boot a machine with these of our packages installed; they all are in /packages."""
        directory = Path(tempfile.mkdtemp(dir=self._directory))
        overlay = Overlay(directory, [self._root.path])
        overlay.remove("/usr/sbin/policy-rc.d")
        overlay.path("/packages").mkdir()
        binds = [f"{packages(self.name)}:/packages"]
        script = f"set -eu\nuseradd --create-home --shell /bin/sh {USER}\n"
        script += f"mkdir -p /var/lib/systemd/linger; touch /var/lib/systemd/linger/{USER}\n"
        if installed:
            script += f"dpkg -i {' '.join(f'/packages/{one}_*.deb' for one in installed)}\n"
        overlay.write("/prepare", script)
        run_in(overlay.root, "/bin/sh", "/prepare", binds=binds)
        change(overlay)
        try:
            with running(overlay, binds, INIT) as machine:
                yield machine
        finally:
            overlay.unmount()
            shutil.rmtree(directory)


def dpkg(machine: Machine, *arguments: str) -> str:
    """Run dpkg as an administrator does, and return what it prints."""
    done = machine.run("sh", "-c", 'DEBIAN_FRONTEND=noninteractive dpkg "$@" 2>&1', "sh", *arguments)
    return done.stdout


def buses(machine: Machine) -> tuple[str, str]:
    """Return the programs that are the buses of the system and of the user; both serve."""
    wait_until(
        lambda: "systemd1" in machine.run("busctl", "--user", "list", user=USER, status=None).stdout,
        "the bus of the user",
    )
    machine.run("busctl", "list", user=USER)
    pids = machine.main_pid("dbus.service"), machine.main_pid("dbus.service", "--user", user=USER)
    system, user = (machine.outside(f"/proc/{pid}/comm").read_text().rstrip("\n") for pid in pids)
    return system, user


def reload_managers(machine: Machine) -> None:
    """What other packages do when they are installed: each manager reads its units again."""
    for _ in range(3):
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "--user", "daemon-reload", user=USER)
