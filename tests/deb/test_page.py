"""docs/using/installing.md: the blocks of each section, in their order, on a fresh machine."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.debian import CACHE, Root, copy_checkout
from support.debs import (
    BUILT,
    CHECKOUT,
    USER,
    Suite,
    buses,
    next_version,
    next_wheel,
    packages,
    reload_managers,
)
from support.guide import Block, blocks
from support.machine import Machine
from support.overlay import Overlay
from support.raw import Client

PAGE = CHECKOUT / "docs/using/installing.md"
BLOCKS = blocks(PAGE)
NEXT = "0.1.1"
DIST = CHECKOUT / "dist"
# What `make deb-test` has done before.
PREPARED = {"deb-build": "make deb SUITES=bookworm\n", "wheels-build": "make wheels\nmake takeover\n"}
CLIENTS = 20


def section(name: str) -> list[Block]:
    """Return the blocks of a section that are for the machine of the bus."""
    found = [block for block in BLOCKS if block.section == name]
    for block in found:
        assert PREPARED.get(block.name, block.text) == block.text
    return [block for block in found if block.name not in PREPARED]


def owner(machine: Machine, name: str, *options: str, user: str = "root") -> str:
    """Return who owns a name."""
    call = ("call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetNameOwner")
    return machine.output("busctl", *options, *call, "s", name, user=user)


class Connected:
    """Clients of both buses, whose connections last until the machine is restarted."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        buses(machine)
        self._clients = [Client(machine.address()) for _ in range(CLIENTS)]
        self._owners = self._ask()

    def _ask(self) -> tuple[str, ...]:
        machine = self._machine
        return (
            owner(machine, "org.freedesktop.systemd1"),
            owner(machine, "org.freedesktop.login1"),
            owner(machine, "org.freedesktop.systemd1", "--user", user=USER),
        )

    def check(self, after: str) -> None:
        """Each is connected as it was."""
        assert self._ask() == self._owners, after
        for client in self._clients:
            assert client.driver("NameHasOwner", "s", client.unique), after

    def close(self) -> None:
        for client in self._clients:
            client.close()


def run(machine: Machine, suite: Suite, block: Block) -> str:
    """Run a block as it is, with the name of the suite."""
    script = "cd /checkout\nexec 2>&1\n" + block.text.replace("bookworm", suite.name)
    return machine.output("sh", "-euc", script)


def walk(
    machine: Machine, suite: Suite, name: str, before: dict[str, Callable[[], object]]
) -> Iterator[tuple[str, str]]:
    """Run the blocks of a section; yield the name and the output of each. No client is ever cut off."""
    connected = Connected(machine)
    for block in section(name):
        before.get(block.name, lambda: None)()
        if block.name.endswith("-remove"):
            connected.close()
            machine.reboot()
            assert buses(machine) == ("dbus-daemon", "dbus-daemon")
        text = run(machine, suite, block)
        if not block.name.endswith("-remove"):
            connected.check(block.name)
        yield block.name, text


def left(machine: Machine) -> list[str]:
    """Return the files that are ours."""
    places = ("/etc", "/opt", "/usr", "/var/lib")
    return machine.output("find", *places, "-name", "*omnibus*").splitlines()


def test_every_block_is_run() -> None:
    """No block is without a name, or in a section that no test walks through."""
    assert [block for block in BLOCKS if not block.name] == []
    assert {block.section for block in BLOCKS} == {"Debian packages", "Wheels", "make install"}


def test_debian_packages(suite: Suite, tmp_path: Path) -> None:
    """Installed, switched to at once, upgraded, back, restarted, removed: dbus-daemon, and nothing left."""
    offered = tmp_path / "offered"
    shutil.copytree(packages(suite.name), offered)

    def upgrade() -> None:
        (old,) = offered.glob("omnibus-daemon_*.deb")
        next_version(old, offered / f"omnibus-daemon_{NEXT}_next.deb", NEXT)
        old.unlink()

    binds = [f"{CHECKOUT}:/checkout", f"{offered}:/checkout/{(BUILT / suite.name).relative_to(CHECKOUT)}"]
    seen = []
    with suite.boot(binds=binds) as machine:
        pid = machine.main_pid("dbus.service")
        for name, text in walk(machine, suite, "Debian packages", {"deb-upgrade": upgrade}):
            seen.append(name)
            if name == "deb-check":
                assert buses(machine) == ("dbus-daemon", "dbus-daemon")
            if name in ("deb-switch", "deb-upgrade", "deb-back"):
                reload_managers(machine)
                assert buses(machine) == ("omnibusd", "omnibusd")
                assert machine.main_pid("dbus.service") == pid
            if name == "deb-upgrade":
                assert text.count(f"omnibus {NEXT},") == 2, text
        assert seen[-1] == "deb-remove"
        assert left(machine) == []
        machine.reboot()
        assert buses(machine) == ("dbus-daemon", "dbus-daemon")


@contextmanager
def with_compiler(memory: Path, suite: Suite) -> Iterator[Path]:
    """Yield the checkout's copy on a machine that has what builds the packages, and what it built."""
    directory = memory / f"compiler-{suite.name}"
    overlay = Overlay(directory, [CACHE / "deb" / f"{suite.name}-build"])
    try:
        copy_checkout(overlay.path("/checkout"))
        yield overlay.root
    finally:
        overlay.unmount()
        shutil.rmtree(directory)


@pytest.fixture
def offered(memory: Path, suite: Suite, tmp_path: Path) -> Path:
    """The wheels for the suite's Python, built where that is the Python of the machine."""
    directory = tmp_path / "dist"
    python = next((suite.root / "usr/bin").glob("python3.[0-9]*")).name.removeprefix("python3.")
    if list(DIST.glob(f"cffi-*-cp3{python}-*.whl")):
        shutil.copytree(DIST, directory)
        return directory
    (block,) = (block for block in BLOCKS if block.name == "wheels-build")
    with with_compiler(memory, suite) as root:
        Root(suite.name, root).enter("cd /checkout\n" + block.text)
        shutil.copytree(root / "checkout/dist", directory)
    return directory


def test_wheels(suite: Suite, offered: Path) -> None:
    """The same with wheels, whose next version is in a directory of its own."""

    def upgrade() -> None:
        (old,) = offered.glob("omnibus_dbus-*.whl")
        next_wheel(old, offered, NEXT)
        old.unlink()
        run(machine, suite, next(block for block in section("Wheels") if block.name == "install"))

    seen = []
    with suite.boot(binds=[f"{CHECKOUT}:/checkout", f"{offered}:/checkout/dist"]) as machine:
        pid = machine.main_pid("dbus.service")
        for name, text in walk(machine, suite, "Wheels", {"wheels-upgrade": upgrade}):
            seen.append(name)
            if name == "helper":
                path = "/usr/libexec/omnibus-daemon-launch-helper"
                assert machine.output("stat", "-c", "%U:%G %a", path) == "root:messagebus 4750"
            if name == "check":
                assert buses(machine) == ("dbus-daemon", "dbus-daemon")
            if name in ("wheels-switch", "wheels-upgrade", "wheels-back"):
                reload_managers(machine)
                assert buses(machine) == ("omnibusd", "omnibusd")
                assert machine.main_pid("dbus.service") == pid
            if name == "wheels-upgrade":
                assert text.count(f"omnibus {NEXT},") == 2, text
        assert seen[-1] == "wheels-remove"
        assert left(machine) == []


def test_make_install(memory: Path, suite: Suite) -> None:
    """Built and installed where the compiler is; removed, nothing of it is left."""
    script = "".join(block.text for block in section("make install") if block.name == "make-install")
    removal = "".join(block.text for block in section("make install") if block.name == "make-uninstall")
    with with_compiler(memory, suite) as path:
        root = Root(suite.name, path)
        root.enter("cd /checkout; PATH=/usr/local/sbin:/usr/local/bin:$PATH\n" + script)
        assert (path / "usr/local/bin/omnibusd").is_symlink()
        root.enter("cd /checkout\n" + removal)
        ours = re.compile("omnibus|unix_multicast")
        found = [one for one in (path / "usr/local").rglob("*") if ours.search(one.name)]
        assert [one for one in found if not one.is_dir()] == []
