"""Hosts in network namespaces of their own, at one switch: in each a bus, certificates and a link."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.raw import DEADLINE, Client

from .conftest import Bus, Link, bus_of, plain, wait_for_owner

USERS = {"a": "daemon", "b": "bin", "c": "sys"}
PORT = 7447
LEASE = 10.0  # seconds; a loaded machine is no loss


def needs_network() -> None:
    pytest.importorskip("zenoh")
    if os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces")
    if not shutil.which("ip") or subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        pytest.skip("may not make a network namespace")


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


class Namespace:
    """A network namespace, which lives as long as a process in it."""

    def __init__(self) -> None:
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._keeper.stdout and self._keeper.stdout.readline()
        self.pid = self._keeper.pid
        self.ip("link", "set", "lo", "up")

    @property
    def enter(self) -> list[str]:
        """What a command has to begin with to run in it."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--"]

    def ip(self, *arguments: str) -> None:
        run(*self.enter, "ip", *arguments)

    def close(self) -> None:
        self._keeper.communicate()


class Network:
    """Namespaces at one switch: the one of ``names[i]`` has the address 10.77.0.i+1."""

    def __init__(self, names: Sequence[str]) -> None:
        self.switch = Namespace()
        self.switch.ip("link", "add", "br0", "type", "bridge")
        self.switch.ip("link", "set", "br0", "up")
        self.hosts: dict[str, Namespace] = {}
        for number, name in enumerate(names, start=1):
            host = self.hosts[name] = Namespace()
            pair = (
                "link",
                "add",
                f"to-{name}",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                str(host.pid),
            )
            self.switch.ip(*pair)
            self.switch.ip("link", "set", f"to-{name}", "master", "br0", "up")
            host.ip("address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            host.ip("link", "set", "eth0", "up")

    def address(self, name: str) -> str:
        return f"10.77.0.{list(self.hosts).index(name) + 1}"

    def pull(self, name: str) -> None:
        """Pull the cable of a host."""
        self.switch.ip("link", "set", f"to-{name}", "down")

    def plug(self, name: str) -> None:
        self.switch.ip("link", "set", f"to-{name}", "up")

    def close(self) -> None:
        for one in (*self.hosts.values(), self.switch):
            one.close()


class Authority:
    """One who signs certificates."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.certificate = directory / "ca.pem"
        self._key = directory / "ca.key"
        run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", "/CN=test", "-days", "2", "-keyout", str(self._key), "-out", str(self.certificate)),
        )

    def issue(self, name: str, address: str, file: str = "") -> str:
        """Issue a certificate for a common name and an address; return the lines of it for a file."""
        files = self.issue_files(name, address, file)
        return "".join(f"{field} = {json.dumps(str(path))}\n" for field, path in files.items())

    def issue_files(self, name: str, address: str, file: str = "") -> dict[str, Path]:
        """Issue one, in place of one of the same name; return the files by their fields."""
        stem = self.directory / (file or name)
        key, request, certificate = (stem.with_suffix(end) for end in (".key", ".csr", ".pem"))
        run(
            *("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{address},DNS:{name}"),
            *("-keyout", str(key), "-out", str(request)),
        )
        run(
            *("openssl", "x509", "-req", "-in", str(request), "-copy_extensions", "copy", "-days", "2"),
            *("-CA", str(self.certificate), "-CAkey", str(self._key), "-out", str(certificate)),
        )
        return {"ca": self.certificate, "certificate": certificate, "key": key}


@dataclass
class Host:
    """A host: its bus, and its link while it runs."""

    name: str
    bus: Bus
    text: str
    directory: Path
    namespace: Namespace
    links: list[Link] = field(default_factory=list)

    @property
    def link(self) -> Link:
        return self.links[-1]

    def start(self) -> None:
        directory = self.directory / str(len(self.links))
        directory.mkdir(parents=True)
        self.links.append(Link(self.text, directory, self.namespace.enter))

    def stop(self) -> None:
        for link in self.links:
            link.stop()

    def end(self, number: int = signal.SIGKILL) -> None:
        """End the link by a signal."""
        self.link.process.send_signal(number)
        assert self.link.process.wait(DEADLINE) == (0 if number == signal.SIGTERM else -number)
        self.link.process.returncode = 0

    def wait_for_links(self, *hosts: str, count: int = 1) -> None:
        for one in hosts:
            self.link.wait_for(f"linked with {one}", count)

    def wait_for_owner(self, name: str, owner: bool = True) -> str:
        return wait_for_owner(self.bus, name, owner)


def text_of(
    name: str,
    bus: Bus,
    network: Network,
    tls: str,
    *,
    exports: str,
    imports: str,
    limits: str = "",
    lease: float = LEASE,
) -> str:
    """The file of a host that is linked with all others."""
    others = [one for one in network.hosts if one != name]
    users = ", ".join(f'{one} = "{USERS[one]}"' for one in others)
    # Of two hosts the later one connects.
    earlier = [one for one in others if one < name]
    connect = json.dumps([f"tls/{network.address(one)}:{PORT}" for one in earlier])
    return f"""
metrics = "{Path(plain(bus.address).partition("=")[2]).parent}/metrics"
[bus.{name}]
address = "{plain(bus.address)}"
user = {{ {users} }}
[bus.{name}.limits]
{limits}
[bus.{name}.export]
{exports}
[bus.{name}.import]
{imports}
[zenoh]
listen = ["tls/{network.address(name)}:{PORT}"]
connect = {connect}
lease = {lease}
{tls}
"""


class Hosts(dict[str, Host]):
    """All hosts by name, with what they share."""

    def __init__(self, network: Network, authority: Authority) -> None:
        super().__init__()
        self.network = network
        self.authority = authority


EXPORTS = '"org.example.*" = {{ to = {others} }}'
IMPORTS = """
"org.example.at_%h.common" = { from = "*", name = "org.example.common" }
"org.example.via_%h.*" = { from = "*", name = "org.example.*" }
"""


@contextlib.contextmanager
def linked_hosts(
    kind: str,
    executable: str,
    directory: Path,
    names: Sequence[str] = ("a", "b", "c"),
    *,
    limits: str = "",
    lease: float = LEASE,
    start: str | None = None,
    settings: dict[str, dict[str, Any]] | None = None,
) -> Iterator[Hosts]:
    """Hosts each of which exports org.example.NAME and org.example.common, and imports the others'."""
    needs_network()
    with contextlib.ExitStack() as stack:
        network = Network(names)
        stack.callback(network.close)
        hosts = Hosts(network, Authority(directory / "ca"))
        for name in names:
            others = [one for one in names if one != name]
            bus = stack.enter_context(bus_of(kind, executable, **(settings or {}).get(name, {})))
            each = "\n".join(f'"org.example.{one}" = {{ from = "{one}" }}' for one in others)
            text = text_of(
                name,
                bus,
                network,
                hosts.authority.issue(name, network.address(name)),
                exports=EXPORTS.format(others=json.dumps(others)),
                imports=IMPORTS + each,
                limits=limits,
                lease=lease,
            )
            hosts[name] = Host(name, bus, text, directory / name, network.hosts[name])
        started = [hosts[name] for name in (names if start is None else start)]
        for host in started:
            host.start()
        for host in started:
            host.wait_for_links(*(one.name for one in started if one is not host))
        try:
            yield hosts
        finally:
            for host in hosts.values():
                host.bus.close_clients()
                host.stop()


def service_and_client(hosts: Hosts) -> tuple[Client, Client]:
    """Connect the owner of org.example.a on host a, and a client on host b, which has the name."""
    service, client = hosts["a"].bus.connect(), hosts["b"].bus.connect(deadline=60)
    service.own("org.example.a")
    hosts["b"].wait_for_owner("org.example.a")
    return service, client
