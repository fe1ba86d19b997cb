"""Hosts that are not who they say, or say more than there is room for, in the network of the others."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omnibus.link.zenoh_config import Zenoh, settings
from support.raw import DEADLINE

from ..hosts import PORT, Authority, Hosts, linked_hosts

STRANGER = Path(__file__).with_name("stranger.py")


class Stranger:
    """stranger.py in the namespace of a host."""

    def __init__(self, hosts: Hosts, at: str, tls: str, **options: Any) -> None:
        table = Zenoh(connect=[f"tls/{hosts.network.address('a')}:{PORT}"], **tomllib.loads(tls))
        found = settings(table, at, [], 1 << 20, {field: str(path) for field, path in table.files})
        del found["access_control"]
        found |= {"connect/timeout_ms": 0, "connect/exit_on_failure": True}
        command = [sys.executable, str(STRANGER), json.dumps({"settings": found, "other": "a", **options})]
        self._process = subprocess.Popen(
            [*hosts.network.hosts[at].enter, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._pending = b""

    def hear(self) -> dict[str, Any]:
        """Wait for the next line."""
        assert self._process.stdout and self._process.stderr
        end = time.monotonic() + DEADLINE
        while b"\n" not in self._pending:
            ready, _, _ = select.select([self._process.stdout], [], [], end - time.monotonic())
            data = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            assert data, self._process.stderr.read() if ready else "silence"
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return dict(json.loads(line))

    def hear_all(self) -> list[str]:
        """Wait until it has tried for a while; return the keys that it has heard."""
        heard = []
        while "tried" not in (line := self.hear()):
            heard.append(line["heard"])
        return heard

    def wait(self) -> str:
        """Wait for its end; return what it has said of it."""
        assert self._process.wait(DEADLINE) and self._process.stderr
        return self._process.stderr.read().decode()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hosts]:
    """Of three hosts a and b are linked; c is to come."""
    daemon = str(request.config.option.daemon)
    with linked_hosts("omnibusd", daemon, tmp_path, start="ab", limits="queue = 1048576") as found:
        yield found


@contextlib.contextmanager
def stranger(hosts: Hosts, at: str, tls: str, **options: Any) -> Iterator[Stranger]:
    one = Stranger(hosts, at, tls, **options)
    try:
        yield one
    finally:
        one.close()


def assert_linked(hosts: Hosts) -> None:
    """A call of b to a is answered."""
    service = hosts["a"].bus.connect()
    service.own("org.example.a")
    hosts["b"].wait_for_owner("org.example.a")
    client = hosts["b"].bus.connect()
    serial = client.start_call("org.example.a", "Read")
    service.reply(service.take(member="Read"))
    client.reply_to(serial)


class TestImpostors:
    def test_a_certificate_of_another_authority(self, two: Hosts, tmp_path: Path) -> None:
        other = Authority(tmp_path / "other")
        tls = other.issue("c", two.network.address("c")).replace(
            str(other.certificate), str(two.authority.certificate)
        )
        with stranger(two, "c", tls, me="c") as one:
            assert "ZError" in one.wait()
        assert_linked(two)
        assert "with c" not in two["a"].link.log.read_text()

    def test_no_certificate(self, two: Hosts) -> None:
        """The authority's certificate alone gets no further than the handshake."""
        script = (
            "import socket, ssl, sys\n"
            "c = ssl.create_default_context(cafile=sys.argv[1])\n"
            "s = socket.create_connection((sys.argv[2], int(sys.argv[3])))\n"
            "s = c.wrap_socket(s, server_hostname=sys.argv[2])\n"
            "s.sendall(b'x' * 100)\n"
            "print(s.recv(1))"
        )
        where = (str(two.authority.certificate), two.network.address("a"), str(PORT))
        done = subprocess.run(
            [*two.network.hosts["c"].enter, sys.executable, "-c", script, *where],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode and "certificate required" in done.stderr, done.stderr
        assert_linked(two)

    def test_a_host_that_says_it_is_another(self, two: Hosts) -> None:
        """It is c by its certificate: as b it is not heard, and hears nothing of what a says to b."""
        tls = two.authority.issue("c", two.network.address("c"))
        two["b"].end()
        two["a"].link.wait_for("b is lost")
        with stranger(two, "c", tls, me="c", claim="b") as one:
            # So it does reach a.
            assert one.hear_all() == ["ob/a/to/c"]
            two["a"].link.wait_for("linked with c")
            log = two["a"].link.log.read_text()
            assert log.count("linked with b") == 1
            two["b"].start()
            two["b"].wait_for_links("a")
            assert_linked(two)

    def test_an_unknown_host(self, two: Hosts) -> None:
        tls = two.authority.issue("d", two.network.address("c"))
        with stranger(two, "c", tls, me="d", claim="c") as one:
            assert one.hear_all() == []
            assert_linked(two)
        assert "with c" not in two["a"].link.log.read_text()


class TestFlood:
    """A host that sends without regard to how much there is room for: it alone is cut off."""

    def test_others_go_on(self, two: Hosts) -> None:
        tls = two.authority.issue("c", two.network.address("c"))
        with stranger(two, "c", tls, me="c", flood=True) as one:
            while "flood" not in one.hear():
                pass
            two["a"].link.wait_for("c is lost: it has sent more than there was room for")
            for _ in range(20):
                assert_linked(two)
                two["a"].bus.close_clients()
                two["b"].bus.close_clients()
                two["b"].wait_for_owner("org.example.a", owner=False)
            samples = two["a"].link.metrics()
            assert samples['omnibus_link_violations_total{bus="a",peer="c"}'] >= 1
            assert samples['omnibus_link_ended_total{bus="a",peer="b"}'] == 0
            assert resident(two["a"].link.process.pid) < 200 << 20
        two["c"].start()
        two["c"].wait_for_links("a", "b")


def resident(pid: int) -> int:
    """The memory of a process, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:"))) << 10
