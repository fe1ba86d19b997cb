"""A bus that takes no more connections: root sees into it nevertheless."""

from __future__ import annotations

from typing import Any

import pytest

from support.daemon import Daemon
from support.driver import refused
from support.raw import BUS, BUS_PATH, ERROR, Client

from .conftest import Ctl, StartBus, data, program
from .test_metrics import parse

INSPECT = "org.omnibus.Inspect1"
STATS = "org.freedesktop.DBus.Debug.Stats"
NAME = "com.example.Echo"
LIMITS = ("max_completed_connections", "max_connections_per_user")
N_CONNECTIONS = 3
UNREGISTERED = "Client tried to send a message other than Hello without being registered"


@pytest.fixture(params=LIMITS)
def full(request: pytest.FixtureRequest, start_bus: StartBus) -> Daemon:
    """A bus with as many connections as one limit allows."""
    daemon = start_bus(limits={request.param: N_CONNECTIONS})
    clients = [daemon.connect() for _ in range(N_CONNECTIONS)]
    clients[0].own(NAME)
    clients[1].match("type='signal'")
    clients[1].start_call(NAME, "Hang")
    clients[1].sync()
    refused(daemon.connect(hello=False), "LimitsExceeded", "Hello")
    return daemon


def ask(client: Client, interface: str, member: str, signature: str = "", *values: Any) -> int:
    return client.start_call(BUS, member, signature, *values, interface=interface, path=BUS_PATH)


class TestMetrics:
    @pytest.mark.parametrize("form", ["openmetrics", "prometheus"])
    def test_complete(self, ctl: Ctl, full: Daemon, start_bus: StartBus, form: str) -> None:
        """They are those that any bus has."""
        other = start_bus()
        other.connect().own(NAME)
        done = ctl("--address", full.address, "metrics", f"--format={form}")
        assert done.code == 0, done.err
        found = parse(done.out, form)
        usual = parse(ctl("--address", other.address, "metrics", f"--format={form}").out, form)
        # Reasons are there once a connection has ended.
        assert {one for one in usual.keys() - found.keys() if "closed" not in one} == set()
        (connections,) = found["dbus_connections"][1].values()
        assert connections == N_CONNECTIONS
        assert list(found["dbus_up"][1].values()) == [1]
        assert list(found["omnibus_pending_calls"][1].values()) == [1]

    def test_repeated(self, ctl: Ctl, full: Daemon) -> None:
        """No question takes the place of a connection."""
        for _ in range(2 * N_CONNECTIONS):
            assert ctl("--address", full.address, "metrics").code == 0

    def test_stranger(self, full: Daemon, unprivileged: int) -> None:
        """Others are told what every bus tells of itself then: nothing."""
        done = program(
            "--address", full.address, "metrics", user=unprivileged, group=unprivileged, extra_groups=[]
        )
        if done.code == 0:  # the limit of connections of one user is another's
            assert "omnibus_config_warnings" not in done.out
            return
        assert (done.code, [one for one in done.out.splitlines() if not one.startswith("#")]) == (
            1,
            [f'dbus_up{{bus="{full.address}"}} 0'],
        )


class TestVerbs:
    @pytest.mark.parametrize(
        "verb",
        [
            ("list",),
            ("list", "--gone"),
            ("top", "--once", "-d", "0.1"),
            ("show", NAME),
            ("pending", "--min=0"),
            ("activation",),
            ("names",),
            ("matches",),
            ("group",),
            ("log",),
            ("policy", "diff"),
            ("why", "--last"),
        ],
    )
    def test_answered(self, ctl: Ctl, full: Daemon, verb: tuple[str, ...]) -> None:
        done = ctl("--address", full.address, *verb)
        assert (done.code, done.err) == (0, "")

    def test_status(self, ctl: Ctl, full: Daemon) -> None:
        """It says that the bus is full."""
        done = ctl("--address", full.address, "status")
        assert done.code == 1
        assert "3 of max_" in done.out

    def test_json(self, ctl: Ctl, full: Daemon) -> None:
        (owner,) = [one for one in ctl("--json", "--address", full.address, "list").json() if one["names"]]
        assert owner["names"] == [NAME]

    @pytest.mark.parametrize("verb", [("reload", "--force"), ("monitor", "-n", "1"), ("why", NAME, "a.b.C")])
    def test_refused(self, ctl: Ctl, full: Daemon, verb: tuple[str, ...]) -> None:
        """What needs a unique name ends as any client does, and says why."""
        done = ctl("--address", full.address, *verb)
        assert done.code == 4
        assert "The maximum number of active connections" in done.err

    def test_other_bus(self, ctl: Ctl, start_bus: StartBus) -> None:
        daemon = start_bus(executable="/usr/bin/dbus-daemon", limits={"max_completed_connections": 1})
        daemon.connect()
        done = ctl("--address", daemon.address, "list")
        assert done.code == 4
        assert "The maximum number of active connections" in done.err
        assert ctl("--address", daemon.address, "metrics").code == 1


class TestBeforeHello:
    """On any bus: Inspect1 and the statistics of the whole bus, for root and the bus's own user."""

    MEMBERS = (
        (INSPECT, "GetStatus", "", ()),
        (INSPECT, "ListConnections", "tu", (0, 10)),
        (INSPECT, "ListQueues", "", ()),
        (INSPECT, "ListPendingCalls", "t", (0,)),
        (INSPECT, "ListStarts", "", ()),
        (INSPECT, "Denials", "t", (0,)),
        (INSPECT, "Gone", "t", (0,)),
        (INSPECT, "GetPolicy", "", ()),
        (INSPECT, "Group", "", ()),
        (STATS, "GetStats", "", ()),
        (STATS, "GetAllMatchRules", "", ()),
    )

    @pytest.mark.parametrize(("interface", "member", "signature", "values"), MEMBERS)
    def test_stranger(
        self,
        start_bus: StartBus,
        unprivileged: int,
        interface: str,
        member: str,
        signature: str,
        values: tuple[Any, ...],
    ) -> None:
        daemon = start_bus()
        client = daemon.connect(uid=unprivileged, hello=False)
        serial = ask(client, interface, member, signature, *values)
        assert client.expect_error(serial, f"{ERROR}AccessDenied") == UNREGISTERED
        assert client.hello()

    @pytest.mark.parametrize(("interface", "member", "signature", "values"), MEMBERS)
    def test_answered(
        self, start_bus: StartBus, interface: str, member: str, signature: str, values: tuple[Any, ...]
    ) -> None:
        client = start_bus().connect(hello=False)
        reply = client.reply_to(ask(client, interface, member, signature, *values))
        assert reply.destination == ":not.active.yet"
        assert client.hello()

    @pytest.mark.parametrize(
        ("interface", "member", "signature", "values"),
        [
            (INSPECT, "Trace", "as", ([],)),
            (INSPECT, "Nothing", "", ()),
            (STATS, "GetConnectionStats", "s", (BUS,)),
            ("org.omnibus.Control1", "Upgrade", "", ()),
            (f"{BUS}.Monitoring", "BecomeMonitor", "asu", ([], 0)),
            (BUS, "ReloadConfig", "", ()),
            (BUS, "RequestName", "su", (NAME, 0)),
            (BUS, "AddMatch", "s", ("type='signal'",)),
            (f"{BUS}.Properties", "Get", "ss", (BUS, "Features")),
        ],
    )
    def test_all_else(
        self, start_bus: StartBus, interface: str, member: str, signature: str, values: tuple[Any, ...]
    ) -> None:
        client = start_bus().connect(hello=False)
        serial = ask(client, interface, member, signature, *values)
        assert client.expect_error(serial, f"{ERROR}AccessDenied") == UNREGISTERED
        assert client.hello()

    def test_policy(self, start_bus: StartBus) -> None:
        """The policy has to allow it, too."""
        policy = f"""<policy context="default"><allow user="*"/><allow own="*"/>
<allow send_destination="{BUS}" send_interface="{BUS}"/><allow receive_type="method_return"/>
<allow receive_type="error"/><allow receive_type="signal"/></policy>"""
        client = start_bus(policy=policy).connect(hello=False)
        serial = ask(client, INSPECT, "GetStatus")
        assert client.expect_error(serial, f"{ERROR}AccessDenied") == UNREGISTERED

    def test_not_for_long(self, start_bus: StartBus) -> None:
        """A connection that never says Hello is closed after auth_timeout, whatever it asks."""
        daemon = start_bus(limits={"auth_timeout": 300})
        client = daemon.connect(hello=False)
        client.reply_to(ask(client, INSPECT, "GetStatus"))
        client.expect_closed()

    def test_not_counted(self, ctl: Ctl, start_bus: StartBus) -> None:
        """It is no connection of the lists, and none that has ended."""
        daemon = start_bus()
        other = daemon.connect()
        client = daemon.connect(hello=False)
        client.reply_to(ask(client, INSPECT, "ListQueues"))
        (rows,) = other.reply_to(ask(other, INSPECT, "ListConnections", "tu", 0, 64)).body
        assert [row["Active"].value for row in rows] == [True, False]
        assert [row["UniqueName"].value for row in rows] == [other.unique, "(inactive)"]
        assert [one["name"] for one in data(ctl, daemon, "list")][:1] == [other.unique]
