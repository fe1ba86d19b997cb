"""Certificates that change while hosts are linked: SIGHUP reads them again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.raw import DEADLINE

from .conftest import plain
from .hosts import PORT, Authority, Host, Hosts, linked_hosts, service_and_client

SHOWN = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.load_cert_chain(*sys.argv[2:4])
plain = socket.create_connection((sys.argv[4], int(sys.argv[5])))
with context.wrap_socket(plain, server_hostname=sys.argv[4]) as s:
    print(ssl.DER_cert_to_PEM_cert(s.getpeercert(True)), end="")
"""
"""Prints the certificate that a host shows to another one."""


@pytest.fixture(scope="module")
def linked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Two hosts, of which b has connected to a; both listen."""
    executable = str(request.config.option.daemon)
    with linked_hosts("omnibusd", executable, tmp_path_factory.mktemp("hosts"), "ab") as found:
        yield found


@pytest.fixture
def hosts(linked: Hosts) -> Iterator[Hosts]:
    yield linked
    for host in linked.values():
        host.bus.close_clients()
    linked["b"].wait_for_owner("org.example.a", owner=False)


def reload(host: Host) -> None:
    host.link.process.send_signal(signal.SIGHUP)


def links(host: Host, other: str) -> int:
    """How often it was linked with another host."""
    return host.link.log.read_text().count(f"linked with {other}")


def shown(hosts: Hosts, name: str) -> str:
    """The certificate that a host shows to the other one."""
    (other,) = set(hosts) - {name}
    ca, address = hosts.authority.certificate, hosts.network.address(name)
    stem = hosts.authority.directory / other
    command = [sys.executable, "-c", SHOWN, ca, f"{stem}.pem", f"{stem}.key", address, PORT]
    done = subprocess.run(
        [*hosts.network.hosts[other].enter, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    return done.stdout


class TestNewOnes:
    """They are in force at once: the host is linked anew."""

    @pytest.mark.parametrize("name", ["a", "b"])
    def test_both_ways(self, hosts: Hosts, name: str) -> None:
        (other,) = set(hosts) - {name}
        service, client = service_and_client(hosts)
        before, count = shown(hosts, name), links(hosts[other], name)
        path = hosts.authority.issue_files(name, hosts.network.address(name))["certificate"]
        assert shown(hosts, name) == before
        reload(hosts[name])
        hosts[name].link.wait_for("the configuration was read again")
        hosts[other].wait_for_links(name, count=count + 1)
        assert shown(hosts, name) == path.read_text() != before
        hosts["b"].wait_for_owner("org.example.a")
        serial = client.start_call("org.example.a", "Read")
        service.reply(service.take(member="Read"))
        client.reply_to(serial)


def garbage(path: Path) -> None:
    path.write_text("garbage")


def of_another(path: Path) -> None:
    """The other host's, which does not go with the rest."""
    path.write_text(path.with_stem("b").read_text())


class TestBrokenOnes:
    """They change nothing, and the log names the file: what is under way goes on with the old ones."""

    @pytest.mark.parametrize("change", [Path.unlink, garbage])
    @pytest.mark.parametrize("field", ["ca", "certificate", "key"])
    def test_a_file(self, hosts: Hosts, field: str, change: Callable[[Path], None]) -> None:
        files = {"ca": "ca.pem", "certificate": "a.pem", "key": "a.key"}
        self._goes_on(hosts, field, hosts.authority.directory / files[field], change)

    def test_a_key_of_another(self, hosts: Hosts) -> None:
        self._goes_on(hosts, "key", hosts.authority.directory / "a.key", of_another)

    def _goes_on(self, hosts: Hosts, field: str, path: Path, change: Callable[[Path], None]) -> None:
        link = hosts["a"].link
        service, client = service_and_client(hosts)
        serial = client.start_call("org.example.a", "Wait")
        call = service.take(member="Wait")
        count, text, was = links(hosts["a"], "b"), path.read_text(), shown(hosts, "a")
        said = f"the configuration is left as it was: zenoh.{field}: {path}: "
        before = link.log.read_text().count(said)
        try:
            change(path)
            reload(hosts["a"])
            link.wait_for(said, before + 1)
        finally:
            path.write_text(text)
        service.reply(call)
        client.reply_to(serial)
        assert shown(hosts, "a") == was
        assert links(hosts["a"], "b") == count


class TestConnectingAnew:
    """What is in force is what was read, and not what the files have become since."""

    def test_another_host_comes_back(self, hosts: Hosts, broken_key: Callable[[], None]) -> None:
        """It is b that connects."""
        broken_key()
        count = links(hosts["b"], "a")
        hosts["a"].end()
        hosts["b"].link.wait_for("a is lost", count)
        hosts["a"].start()
        hosts["b"].wait_for_links("a", count=count + 1)

    def test_its_bus_comes_back(self, hosts: Hosts, broken_key: Callable[[], None]) -> None:
        link, path = hosts["b"].link, plain(hosts["b"].bus.address).partition("=")[2]
        count, text = links(hosts["b"], "a"), link.file.read_text()
        reads = link.log.read_text().count("read again")
        link.reload(text.replace(path, f"{path}.later"), reads + 1)
        link.wait_for("b: no bus")
        broken_key()
        os.link(path, f"{path}.later")
        hosts["b"].wait_for_links("a", count=count + 1)
        link.file.write_text(text)

    @pytest.fixture
    def broken_key(self, linked: Hosts) -> Iterator[Callable[[], None]]:
        """Breaks the key of b until the end of the test."""
        path = linked.authority.directory / "b.key"
        text = path.read_text()
        yield lambda: garbage(path)
        path.write_text(text)


class TestNewAuthority:
    """All hosts accept both for a while; then each gets a certificate of the new one."""

    def test_one_host_after_another(self, hosts: Hosts, tmp_path: Path) -> None:
        new = Authority(tmp_path)
        ca = hosts.authority.certificate
        ca.write_text(ca.read_text() + new.certificate.read_text())
        for name, other in ("ab", "ba"):
            self._reload(hosts, name, other)
        for name, other in ("ab", "ba"):
            for field, path in new.issue_files(name, hosts.network.address(name)).items():
                if field != "ca":
                    (hosts.authority.directory / path.name).write_text(path.read_text())
            self._reload(hosts, name, other)

    def _reload(self, hosts: Hosts, name: str, other: str) -> None:
        counts = {one: links(hosts[one], two) for one, two in ((name, other), (other, name))}
        reload(hosts[name])
        for one, two in ((name, other), (other, name)):
            hosts[one].wait_for_links(two, count=counts[one] + 1)
