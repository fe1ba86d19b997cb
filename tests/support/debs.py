"""The built Debian packages, and machines to install them on."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
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
    *("make", "python3-venv"),
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


def next_wheel(wheel: Path, directory: Path, version: str) -> Path:
    """Make of a wheel one of a later version in a directory, and return it."""
    tool = [CHECKOUT / ".venv/bin/python", "-m", "wheel"]
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([*tool, "unpack", "--dest", place, wheel], check=True, capture_output=True)
        (root,) = Path(place).iterdir()
        module = root / "omnibus/__init__.py"
        module.write_text(re.sub('__version__ = ".*"', f'__version__ = "{version}"', module.read_text()))
        (information,) = root.glob("*.dist-info")
        metadata = information / "METADATA"
        metadata.write_text(re.sub("^Version: .*", f"Version: {version}", metadata.read_text(), flags=re.M))
        name = information.name.split("-")[0]
        (data,) = root.glob("*.data")
        information.rename(root / f"{name}-{version}.dist-info")
        data.rename(root / f"{name}-{version}.data")
        subprocess.run([*tool, "pack", "--dest-dir", directory, root], check=True, capture_output=True)
    (made,) = directory.glob(f"{name}-{version}-*.whl")
    return made


class Suite:
    """Machines with a suite of Debian and a user; nothing of them remains."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self._directory = directory
        self._root = Root(name, CACHE / "deb" / f"{name}-machine")
        self.root = self._root.path
        self._root.make("ca-certificates")
        self._root.share()
        if not all(
            (self._root.path / one).exists()
            for one in ("usr/bin/dbus-daemon", "usr/bin/gdbus", "usr/bin/make")
        ):
            self._root.enter(
                "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d\n"
                "apt-get -q update\nexport DEBIAN_FRONTEND=noninteractive\n"
                f"apt-get -qy install --no-install-recommends {' '.join(MACHINE)}; apt-get clean"
            )

    @contextlib.contextmanager
    def boot(
        self,
        *installed: str,
        binds: Sequence[str] = (),
        change: Callable[[Overlay], None] = lambda overlay: None,
    ) -> Iterator[Machine]:
        """Boot a machine with these of our packages installed; they all are in /packages.

        ``binds`` are further directories that it sees, as outside:inside.
        """
        directory = Path(tempfile.mkdtemp(dir=self._directory))
        overlay = Overlay(directory, [self._root.path])
        overlay.remove("/usr/sbin/policy-rc.d")
        overlay.path("/packages").mkdir()
        seen = [f"{packages(self.name)}:/packages"]
        script = f"set -eu\nuseradd --create-home --shell /bin/sh {USER}\n"
        script += f"mkdir -p /var/lib/systemd/linger; touch /var/lib/systemd/linger/{USER}\n"
        if installed:
            script += f"dpkg -i {' '.join(f'/packages/{one}_*.deb' for one in installed)}\n"
        overlay.write("/prepare", script)
        run_in(overlay.root, "/bin/sh", "/prepare", binds=seen)
        for one in binds:
            overlay.path(one.partition(":")[2]).mkdir(parents=True, exist_ok=True)
        change(overlay)
        try:
            with running(overlay, [*seen, *binds], INIT) as machine:
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
    return machine.bus(), machine.bus("--user", user=USER)


def reload_managers(machine: Machine) -> None:
    """What other packages do when they are installed: each manager reads its units again."""
    for _ in range(3):
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "--user", "daemon-reload", user=USER)
