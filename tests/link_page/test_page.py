"""docs/using/link.md: its blocks, in their order, on a fresh machine with a container. Root only."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.debian import CACHE, CHECKOUT, Root, copy_checkout
from support.guide import Block, blocks
from support.machine import Machine, running, wait_until
from support.overlay import Memory, Overlay, command

BLOCKS = blocks(CHECKOUT / "docs/using/link.md")
SUITE = "trixie"
# What the services of the page need, and what `make install` does.
PACKAGES = (
    *("systemd-sysv", "systemd-container", "libpam-systemd", "dbus", "polkitd", "ca-certificates"),
    *("network-manager", "upower", "libglib2.0-bin", "procps"),
    *("python3", "python3-venv", "python3-dev", "gcc", "make"),
)
INIT = ("--boot", "--notify-ready=yes", "systemd.unit=multi-user.target")
SERVICES = ("org.freedesktop.NetworkManager", "org.freedesktop.UPower", "org.freedesktop.timedate1")
LIMIT = 600  # seconds, without the time that the root takes to be made


@pytest.fixture(scope="module")
def root() -> Root:
    """The root that the machine and its container have in common; made once."""
    if os.geteuid() != 0:
        pytest.exit("booting containers takes root: make link-test", 1)
    os.environ["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1"
    root = Root(SUITE, CACHE / "link" / SUITE)
    root.make(*PACKAGES)
    root.share()
    return root


@pytest.fixture(scope="module")
def machine(root: Root) -> Iterator[Machine]:
    """The host, with omnibus-link installed as the page says, and a container that is not running yet."""
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="omnibus-link-"))
        stack.callback(directory.rmdir)
        memory = Memory(directory)
        stack.callback(memory.unmount)
        host = Overlay(directory / "host", [root.path])
        stack.callback(host.unmount)
        copy_checkout(host.path("/checkout"))
        # The machine itself has no network.
        Root(SUITE, host.root).enter(f"cd /checkout\n{block('host-install').text}")
        place = host.path("/var/lib/machines/web")
        place.mkdir(parents=True)
        container = Overlay(directory / "web", [root.path])
        stack.callback(container.unmount)
        for unit in ("NetworkManager.service", "upower.service"):
            container.remove(f"/usr/lib/systemd/system/{unit}")
        for name in SERVICES:
            container.remove(f"/usr/share/dbus-1/system-services/{name}.service")
            container.remove(f"/usr/share/dbus-1/system.d/{name}.conf")
        container.write("/etc/hostname", "web\n")
        command("mount", "--bind", container.root, place)
        stack.callback(command, "umount", "--lazy", place)
        yield stack.enter_context(running(host, (), INIT))


def block(name: str) -> Block:
    (found,) = [one for one in BLOCKS if one.name == name]
    return found


def run(machine: Machine, one: Block) -> str:
    """Run a block where its name says."""
    if one.name.startswith("host-"):
        return machine.output("sh", "-euc", f"exec 2>&1\n{one.text}")
    prefix = ("systemd-run", "--quiet", "--pipe", "--wait", "--machine=web")
    return machine.output(*prefix, "sh", "-euc", f"exec 2>&1\n{one.text}")


def is_linked(machine: Machine) -> bool:
    done = machine.run("busctl", f"--address={CONTAINER}", "list", "--acquired", status=None)
    return all(f"{name} " in done.stdout for name in SERVICES)


CONTAINER = "unix:path=/run/web-bus/system_bus_socket"


class TestPage:
    """Each block, once, in the order of the page."""

    def test_every_block_has_a_place(self) -> None:
        assert [one.name for one in BLOCKS if not one.name.startswith(("host-", "web-"))] == []

    def test_blocks(self, machine: Machine) -> None:
        began = time.monotonic()
        outputs = {}
        for one in BLOCKS[1:]:
            if one.name == "host-check":
                wait_until(lambda: is_linked(machine), "the names of the host in the container")
            outputs[one.name] = run(machine, one)
        assert outputs["host-check"] == ""
        used = outputs["web-use"]
        assert used.startswith('s "')  # UPower's version
        assert ".ActivateConnection" in used  # NetworkManager's introspection
        assert "Timezone" not in used and 's "Etc/UTC"' in used
        assert "([objectpath" in used or "(@ao []" in used  # its devices
        denied = outputs["web-denied"].splitlines()
        assert len(denied) == 2, denied
        assert "Access denied" in denied[0]
        assert "nteractive authentication required" in denied[1]
        assert 'omnibus_link_up{bus="host",peer="web"} 1' in outputs["host-metrics"]
        wait_until(lambda: not is_linked(machine), "the end of the names")
        assert time.monotonic() - began < LIMIT
