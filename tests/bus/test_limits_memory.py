"""dbus-daemon(1), <limit>: the memory of a client that fills a table up to its limit.

Every test adds items up to one below a limit, at the limit and beyond it, and measures the resident memory
of the bus per item. The bounds leave room for allocators; the numbers are in
docs/using/overload.md.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator

import pytest

from support.daemon import Daemon
from support.message import Flag, Type
from support.raw import BUS, BUS_PATH, ERROR, BusError, Client, Wire

from .conftest import StartDaemon

LIMITS_EXCEEDED = ERROR + "LimitsExceeded"

PR_SET_THP_DISABLE = 41
SETTLED = 5.0

Add = Callable[[int], None]
"""Adds the item with this number without waiting."""


@pytest.fixture(autouse=True)
def small_pages() -> Iterator[None]:
    """The daemon gets no transparent huge pages: only steps of 2 MiB would be visible."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    yield
    libc.prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0)


def fill(daemon: Daemon, limit: int, add: Add, settle: Callable[[], None]) -> float:
    """Add all items but the last; return the bytes per item of the second half."""
    half = limit // 2
    deadline = time.monotonic() + SETTLED
    while not daemon.watches() and time.monotonic() < deadline:
        time.sleep(0.05)  # until the file watch, set up a second after the start, exists
    for number in range(half):
        add(number)
    settle()
    before = daemon.memory()
    for number in range(half, limit - 1):
        add(number)
    settle()
    return (daemon.memory() - before) / (limit - 1 - half)


def tell(what: str, cost: float) -> None:
    print(f"\n{what}: {cost:.0f} bytes each")


def driver_call(client: Client, member: str, signature: str, *arguments: object) -> int:
    return client.start_call(
        BUS, member, signature, *arguments, interface=BUS, path=BUS_PATH, flags=Flag.NO_REPLY_EXPECTED
    )


def refused(client: Client, *call: object) -> str:
    with pytest.raises(BusError) as caught:
        client.driver(*call)  # type: ignore[arg-type]
    assert caught.value.name == LIMITS_EXCEEDED
    return caught.value.text


class TestMatchRules:
    LIMIT = 16_000

    @pytest.mark.parametrize(
        ("rule", "bound"),
        [
            ("type='signal',interface='org.example.I{}',member='Changed'", 700),
            ("type='signal',arg0path='/org/example/object/{}'", 800),
            ("type='signal',member='Changed'", 300),
        ],
        ids=["distinct", "paths", "equal"],
    )
    def test_limit(self, limited: StartDaemon, rule: str, bound: int) -> None:
        """max_match_rules_per_connection"""
        daemon = limited(max_match_rules_per_connection=self.LIMIT)
        client = daemon.connect()
        cost = fill(
            daemon,
            self.LIMIT,
            lambda number: void(driver_call(client, "AddMatch", "s", rule.format(number))),
            client.sync,
        )
        client.match("member='Last'")
        text = refused(client, "AddMatch", "s", "member='Beyond'")
        assert f"max_match_rules_per_connection={self.LIMIT}" in text
        client.driver("RemoveMatch", "s", "member='Last'")
        client.match("member='Beyond'")
        tell("a match rule", cost)
        assert cost < bound


def void(_: object) -> None:
    """Take a result and ignore it."""


class TestNames:
    LIMIT = 4_000

    def test_limit(self, limited: StartDaemon) -> None:
        """max_names_per_connection; the unique name is one of them."""
        daemon = limited(max_names_per_connection=self.LIMIT + 1)
        client = daemon.connect()
        cost = fill(
            daemon,
            self.LIMIT,
            lambda number: void(driver_call(client, "RequestName", "su", f"org.example.Name{number}", 0)),
            lambda: settle_names(client),
        )
        assert client.own("org.example.Last") == 1
        text = refused(client, "RequestName", "su", "org.example.Beyond", 0)
        assert f"max_names_per_connection={self.LIMIT + 1}" in text
        assert client.driver("ReleaseName", "s", "org.example.Last") == 1
        assert client.own("org.example.Beyond") == 1
        tell("a name", cost)
        assert cost < 1500


def settle_names(client: Client) -> None:
    """The data plane reports names lazily; the reply comes after these reports."""
    client.sync()
    client.driver("ListQueuedOwners", "s", BUS)


class TestReplies:
    LIMIT = 4_000

    def test_limit(self, limited: StartDaemon) -> None:
        """max_replies_per_connection"""
        daemon = limited(max_replies_per_connection=self.LIMIT)
        client, other = daemon.connect(), daemon.connect()
        calls = []

        def add(_: int) -> None:
            client.start_call(other.unique, "Hail")
            calls.append(other.expect(member="Hail"))

        cost = fill(daemon, self.LIMIT, add, client.sync)
        add(self.LIMIT)
        serial = client.start_call(other.unique, "Hail")
        text = client.expect_error(serial, LIMITS_EXCEEDED)
        assert text == "The maximum number of pending replies per connection has been reached"
        other.reply(calls[0])
        client.expect(type=Type.METHOD_RETURN)
        add(self.LIMIT)
        tell("a pending reply", cost)
        assert cost < 300


class TestConnections:
    LIMIT = 200

    @pytest.mark.parametrize("limit", ["max_completed_connections", "max_connections_per_user"])
    def test_limit(self, limited: StartDaemon, limit: str) -> None:
        limits = {"max_completed_connections": 10_000, "max_connections_per_user": 10_000, limit: self.LIMIT}
        daemon = limited(**limits)
        clients = []
        cost = fill(
            daemon,
            self.LIMIT,
            lambda _: clients.append(daemon.connect()),
            lambda: clients[-1].driver("ListQueuedOwners", "s", BUS),
        )
        clients.append(daemon.connect())
        late = daemon.connect(hello=False)
        serial = late.start_call(BUS, "Hello", interface=BUS, path=BUS_PATH)
        assert late.expect_error(serial, LIMITS_EXCEEDED).startswith(
            "The maximum number of active connections"
        )
        tell("a connection", cost)
        assert cost < 12_000

    def test_incomplete(self, limited: StartDaemon) -> None:
        """max_incomplete_connections: a connection over the limit is not accepted."""
        daemon = limited(max_incomplete_connections=self.LIMIT, auth_timeout=600_000)
        client = daemon.connect()
        silent: list[Wire] = []

        def add(_: int) -> None:
            wire = Wire(daemon.address)
            wire.send_bytes(b"\0AUTH\r\n")
            assert wire.read_line().startswith(b"REJECTED")
            silent.append(wire)

        cost = fill(daemon, self.LIMIT, add, client.sync)
        add(self.LIMIT)
        outside = Wire(daemon.address)
        outside.send_bytes(b"\0AUTH\r\n")
        client.sync()
        outside.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            outside.socket.recv(1)
        outside.socket.settimeout(outside.deadline)
        silent.pop().close()
        assert outside.read_line().startswith(b"REJECTED")
        for wire in [*silent, outside]:
            wire.close()
        tell("an incomplete connection", cost)
        assert cost < 8_000
