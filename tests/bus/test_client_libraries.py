"""The client libraries, unmodified, as services and as callers of one another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from support.daemon import Daemon, config, start
from support.message import Type
from support.programs import LIBRARIES, Program, need_library, peer_command, run
from support.raw import BusError, Client

PATH, INTERFACE = "/org/omnibus/Peer", "org.omnibus.Peer"


@pytest.fixture(scope="module")
def library_bus(executable: str) -> Iterator[Daemon]:
    daemon = start(executable, config("unix:path={dir}/bus"))
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def services(library_bus: Daemon) -> Iterator[dict[str, Program]]:
    """The services started so far; see ``service``."""
    running: dict[str, Program] = {}
    yield running
    for program in running.values():
        program.stop()


def service(peer: str, services: dict[str, Program], bus: Daemon) -> str:
    """Start a peer's service unless it is running, and return its name."""
    need_library(peer)
    name = f"org.omnibus.{peer}"
    if peer not in services:
        services[peer] = Program(peer_command(peer, "service", name), bus.environment())
        services[peer].read_until("ready")
    return name


@pytest.mark.parametrize(("caller", "callee"), list(itertools.product(LIBRARIES, LIBRARIES)))
def test_one_calls_the_other(
    caller: str, callee: str, services: dict[str, Program], library_bus: Daemon
) -> None:
    """Arguments, errors, a signal that follows a new match rule, and descriptors both ways."""
    need_library(caller)
    name = service(callee, services, library_bus)
    done = run(peer_command(caller, "call", name), library_bus.environment(), status=None)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done


@pytest.mark.parametrize("peer", LIBRARIES)
class TestService:
    @pytest.fixture
    def client(self, library_bus: Daemon) -> Iterator[Client]:
        client = Client(library_bus.address)
        yield client
        client.close()

    def test_two_callers_at_once(
        self, peer: str, client: Client, services: dict[str, Program], library_bus: Daemon
    ) -> None:
        """Each of two concurrent calls is answered to its caller."""
        name = service(peer, services, library_bus)
        second = Client(library_bus.address)
        serials = [
            (
                one,
                one.start_call(name, "Echo", "sai", f"{number}", [number], path=PATH, interface=INTERFACE),
                number,
            )
            for number in range(20)
            for one in (client, second)
        ]
        for one, serial, number in serials:
            assert one.reply_to(serial).body == (f"{number}", [number])
        second.close()

    def test_unknown_method(
        self, peer: str, client: Client, services: dict[str, Program], library_bus: Daemon
    ) -> None:
        """Replies that the library makes by itself arrive, too."""
        name = service(peer, services, library_bus)
        with pytest.raises(BusError, match=r"UnknownMethod|UnknownInterface|UnknownObject|NoReply"):
            client.call(name, "NoSuchMethod", path="/nothing/here", interface="org.example.None")

    def test_end(self, peer: str, client: Client, library_bus: Daemon) -> None:
        """When a service ends, its name becomes free and can be requested again."""
        need_library(peer)
        name = f"org.omnibus.Ending.{peer}"
        client.match(f"type='signal',member='NameOwnerChanged',arg0='{name}'")
        for _ in range(2):
            program = Program(peer_command(peer, "service", name), library_bus.environment())
            program.read_until("ready")
            owner = client.expect(type=Type.SIGNAL, member="NameOwnerChanged").body[2]
            program.stop()
            client.expect(type=Type.SIGNAL, member="NameOwnerChanged", body=(name, owner, ""))
