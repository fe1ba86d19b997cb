"""Machines with omnibus installed, each with a chosen bus. Needs root; changes nothing outside."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.guide import CHECKOUT, commands
from support.machine import Machine, run_in, running, wait_until
from support.overlay import Memory, Overlay
from support.services import add_services

USER = "tester"
BASE = Path(os.environ.get("BOOT_ROOT") or "/")
"""The root file system below the machines': this machine's, or what suite.py has made."""
TARGET = """[Unit]
Description=What there is on a machine for tests
Requires=basic.target
Wants=dbus.service systemd-logind.service systemd-user-sessions.service
After=basic.target dbus.service systemd-logind.service systemd-user-sessions.service
AllowIsolate=yes
"""
BINDS = [f"{CHECKOUT}:/checkout"]
PREPARE = "set -eu\ncd /checkout\n"
BUSES = ("dbus-daemon", "omnibus")

Boot = Callable[..., contextlib.AbstractContextManager[Machine]]


def pytest_configure(config: pytest.Config) -> None:
    if os.geteuid() != 0:
        pytest.exit("booting containers takes root: make systemd-test", 1)


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """The file system for everything that the machines change."""
    directory = Path(tempfile.mkdtemp(prefix="omnibus-boot-"))
    memory = Memory(directory)
    yield directory
    memory.unmount()
    directory.rmdir()


@pytest.fixture(scope="session")
def installed(memory: Path) -> Path:
    """A layer above the root file system: omnibus installed as the guide says, and few units."""
    overlay = Overlay(memory / "installed", [BASE])
    for one in ("/etc/systemd/system", "/etc/systemd/user", "/etc/dbus-1/system-local.conf"):
        overlay.remove(one)
    overlay.write("/etc/systemd/system/omnibus-test.target", TARGET)
    add_services(overlay, USER)
    overlay.path("/checkout").mkdir()
    script = PREPARE + "".join(map(commands, ("install", "files", "systemd-users")))
    script += f"userdel --force {USER} 2>/dev/null || :\nuseradd --create-home --shell /bin/sh {USER}\n"
    overlay.write("/prepare", script)
    run_in(overlay.root, "/bin/sh", "/prepare", binds=BINDS)
    overlay.write(f"/var/lib/systemd/linger/{USER}", "")
    overlay.unmount()
    return overlay.upper


@pytest.fixture
def tmp_root(memory: Path, installed: Path) -> Iterator[Callable[[], Overlay]]:
    """Make a root file system with omnibus installed."""
    overlays: list[tuple[Overlay, Path]] = []

    def make() -> Overlay:
        directory = Path(tempfile.mkdtemp(dir=memory))
        overlays.append((Overlay(directory, [installed, BASE]), directory))
        return overlays[-1][0]

    yield make
    for overlay, directory in overlays:
        overlay.unmount()
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def boot(memory: Path, installed: Path) -> Boot:
    """Boot a machine with this bus, after ``change`` has modified its root file system."""

    @contextlib.contextmanager
    def begin(bus: str, change: Callable[[Overlay], None] = lambda overlay: None) -> Iterator[Machine]:
        directory = Path(tempfile.mkdtemp(dir=memory))
        overlay = Overlay(directory, [installed, BASE])
        if bus == "omnibus":
            for block in ("systemd-system", "systemd-user"):
                overlay.write("/prepare", PREPARE + commands(block))
                run_in(overlay.root, "/bin/sh", "/prepare")
        change(overlay)
        try:
            with running(overlay, BINDS) as machine:
                yield machine
        finally:
            overlay.unmount()
            shutil.rmtree(directory)

    return begin


@pytest.fixture(scope="module", params=BUSES)
def bus(request: pytest.FixtureRequest) -> str:
    """The bus that the machine uses."""
    return str(request.param)


@pytest.fixture(scope="module")
def machine(boot: Boot, bus: str) -> Iterator[Machine]:
    """A machine shared by the tests of one file, with this bus for the system and for its user."""
    with boot(bus) as machine:
        wait_until(machine.outside(f"/run/user/{machine.uid(USER)}/bus").exists, "the bus of the user")
        yield machine
