"""docs/using/link.md: its blocks, in their order, on a fresh machine with a container. Root only."""

from __future__ import annotations

import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.debian import CACHE, CHECKOUT, Root, copy_checkout
from support.guide import Block, blocks
from support.machine import COMMAND_DEADLINE, Machine, running, wait_until
from support.overlay import Memory, Overlay, command

BLOCKS = blocks(CHECKOUT / "docs/using/link.md")
SUITE = "trixie"
# What the services of the page need, and what `make install` does.
PACKAGES = (
    *("systemd-sysv", "systemd-container", "libpam-systemd", "dbus", "polkitd", "ca-certificates"),
    *("network-manager", "wpasupplicant", "hostapd", "upower", "libglib2.0-bin", "procps"),
    *("python3", "python3-venv", "python3-dev", "gcc", "make"),
)
INIT = ("--boot", "--notify-ready=yes", "systemd.unit=multi-user.target")
SERVICES = ("org.freedesktop.NetworkManager", "org.freedesktop.UPower", "org.freedesktop.timedate1")
IN_CONTAINER = ("systemd-run", "--quiet", "--pipe", "--wait", "--machine=web")
LIMIT = 600  # seconds, without the time that the root takes to be made
# What is at the other end of the host's port eth1: it lets in who has the password.
SWITCH = """
interface=switch
driver=wired
ieee8021x=1
use_pae_group_addr=1
eap_server=1
eap_user_file=/etc/switch.users
"""
PASSWORD = "correct horse"
NETWORK_MANAGER = """
[main]
no-auto-default=*
[keyfile]
unmanaged-devices=interface-name:switch
"""


@pytest.fixture(scope="module")
def root() -> Root:
    """The root that the machine and its container have in common; made once."""
    if os.geteuid() != 0:
        pytest.exit("booting containers takes root: make link-test", 1)
    os.environ["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1"
    root = Root(SUITE, CACHE / "link-agents" / SUITE)
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
        host.write("/etc/switch.conf", SWITCH)
        host.write("/etc/switch.users", f'"web" MD5 "{PASSWORD}"\n', 0o600)
        host.write("/etc/NetworkManager/conf.d/port.conf", NETWORK_MANAGER)
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


def inside(one: Block) -> list[str]:
    """Return the command that runs a block where its name says."""
    there = () if one.name.startswith("host-") else IN_CONTAINER
    return [*there, "sh", "-euc", f"exec 2>&1\n{one.text}"]


class Running:
    """A block whose program waits for something, and its input."""

    def __init__(self, machine: Machine, one: Block) -> None:
        self._process = subprocess.Popen(
            machine.enter(*inside(one)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.output = ""

    def wait_for(self, text: str) -> None:
        """Wait until its output has a text."""
        assert self._process.stdout
        end = time.monotonic() + COMMAND_DEADLINE
        while text not in self.output:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0, end - time.monotonic()))
            data = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            assert data, f"no {text!r} in {self.output!r}"
            self.output += data.decode()

    def type(self, line: str) -> None:
        """Give it a line."""
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def wait(self) -> str:
        """Wait until it has ended well; return its output."""
        rest, _ = self._process.communicate(timeout=COMMAND_DEADLINE)
        assert self._process.returncode == 0, self.output + rest.decode()
        return self.output + rest.decode()

    def leave(self) -> None:
        """Leave it as it is: its terminal is closed."""
        assert self._process.stdin and self._process.stdout
        self._process.kill()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def is_linked(machine: Machine) -> bool:
    done = machine.run("busctl", f"--address={CONTAINER}", "list", "--acquired", status=None)
    return all(f"{name} " in done.stdout for name in SERVICES)


def is_root(machine: Machine) -> bool:
    """Tell whether the host's NetworkManager is root in the container."""
    ask = ("org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetConnectionUnixUser", "s", SERVICES[0])
    done = machine.run("busctl", f"--address={CONTAINER}", "call", *ask, status=None)
    return done.stdout == "u 0\n"


def rules(machine: Machine) -> int:
    """Return how many match rules of the container are in force on the host."""
    text = machine.output("omnibus-link", "--metrics", "/etc/omnibus/link/web.toml")
    return int(re.search(r'^omnibus_link_rules\{bus="host",peer="web"\} (\d+)$', text, re.MULTILINE)[1])  # type: ignore[index]


def is_connected(machine: Machine) -> bool:
    """Tell whether the connection of the page is up."""
    done = machine.run("nmcli", "--get-values=GENERAL.STATE", "connection", "show", "office")
    return done.stdout == "activated\n"


def connect_port(machine: Machine) -> None:
    """Give the host a port eth1, and what is at the other end of it."""
    network = ["nsenter", f"--target={machine.leader}", "--net", "ip", "link"]
    command(*network, "add", "eth1", "type", "veth", "peer", "name", "switch")
    command(*network, "set", "switch", "up")
    machine.run("systemd-run", "--quiet", "hostapd", "/etc/switch.conf")


CONTAINER = "unix:path=/run/web-bus/system_bus_socket"


class Steps:
    """Runs blocks one after another. What is to be done besides is in the method of the block's name."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._waiting: list[Running] = []

    def run(self, one: Block) -> str:
        """Run a block; return its output."""
        special = getattr(self, one.name.replace("-", "_"), self._run)
        return str(special(one))

    def _run(self, one: Block) -> str:
        return self._machine.output(*inside(one))

    def _begin(self, one: Block) -> Running:
        self._waiting.append(Running(self._machine, one))
        return self._waiting[-1]

    def host_check(self, one: Block) -> str:
        """The names of the host have to be in the container by then."""
        wait_until(lambda: is_linked(self._machine), "the names of the host in the container")
        return self._run(one)

    def web_signal(self, one: Block) -> str:
        """It waits for what the next block does."""
        before = rules(self._machine)
        self._begin(one)
        wait_until(lambda: rules(self._machine) > before, "the rule of the container on the host")
        return ""

    def host_signal(self, one: Block) -> str:
        """It ends the wait; the output is that of the container's program."""
        self._run(one)
        return self._waiting.pop().wait()

    def web_agent(self, one: Block) -> str:
        """It waits for what the next block does."""
        wait_until(lambda: is_root(self._machine), "NetworkManager as root in the container")
        self._begin(one).wait_for("successfully registered")
        return ""

    def host_secret(self, one: Block) -> str:
        """The agent is asked, and the network accepts what it says; the output is that of the agent."""
        connect_port(self._machine)
        self._run(one)
        agent = self._waiting.pop()
        agent.wait_for("(802-1x.identity): ")
        agent.type("")  # as it is in the connection
        agent.wait_for("(802-1x.password): ")
        agent.type(PASSWORD)
        wait_until(lambda: is_connected(self._machine), "the host's connection")
        agent.leave()
        return agent.output


class TestPage:
    """Each block, once, in the order of the page."""

    def test_every_block_has_a_place(self) -> None:
        assert [one.name for one in BLOCKS if not one.name.startswith(("host-", "web-"))] == []

    def test_blocks(self, machine: Machine) -> None:
        began = time.monotonic()
        steps = Steps(machine)
        outputs = {one.name: steps.run(one) for one in BLOCKS[1:]}
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
        assert '"Timezone"' in outputs["host-signal"] and "Europe/Berlin" in outputs["host-signal"]
        assert "wired network 'office'" in outputs["host-secret"]
        assert 'omnibus_link_up{bus="host",peer="web"} 1' in outputs["host-metrics"]
        wait_until(lambda: not is_linked(machine), "the end of the names")
        assert time.monotonic() - began < LIMIT
