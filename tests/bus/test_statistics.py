"""org.freedesktop.DBus.Debug.Stats: the counters of the bus, with the reference's keys and types."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from support.daemon import Daemon, config
from support.monitor import monitor
from support.raw import BUS, BUS_PATH, PROPERTIES, BusError, Client
from support.wire import Variant

from .conftest import Connect, StartDaemon

STATS = "org.freedesktop.DBus.Debug.Stats"
ERROR = "org.freedesktop.DBus.Error."
BUS_KEYS = {
    "Serial",
    "ListMemPoolUsedBytes",
    "ListMemPoolCachedBytes",
    "ListMemPoolAllocatedBytes",
    "ActiveConnections",
    "IncompleteConnections",
    "MatchRules",
    "PeakMatchRules",
    "PeakMatchRulesPerConnection",
    "BusNames",
    "PeakBusNames",
    "PeakBusNamesPerConnection",
}
QUEUES = {
    f"{peak}{way}{what}"
    for way in ("Incoming", "Outgoing")
    for peak, what in (("", "Messages"), ("", "Bytes"), ("", "FDs"), ("Peak", "Bytes"), ("Peak", "FDs"))
}
CONNECTION_KEYS = {
    "Serial",
    "UniqueName",
    "MatchRules",
    "PeakMatchRules",
    "BusNames",
    "PeakBusNames",
} | QUEUES


def stats(client: Client, name: str | None = None) -> dict[str, Any]:
    """Return the statistics of the bus, or of a connection."""
    if name is None:
        found: dict[str, Variant] = client.driver("GetStats", interface=STATS)
    else:
        found = client.driver("GetConnectionStats", "s", name, interface=STATS)
    return {key: value.value for key, value in found.items()}


def own(found: dict[str, Any]) -> dict[str, Any]:
    """Return the keys that only omnibus has, without their prefixes."""
    return {key.removeprefix("omnibus."): value for key, value in found.items() if key.startswith("omnibus.")}


class TestKeys:
    def test_bus(self, client: Client) -> None:
        """All of the reference's keys, as 32-bit numbers."""
        found = client.driver("GetStats", interface=STATS)
        assert found.keys() >= BUS_KEYS
        assert {found[key].signature for key in BUS_KEYS} == {"u"}

    def test_connection(self, client: Client) -> None:
        found = client.driver("GetConnectionStats", "s", client.unique, interface=STATS)
        assert found.keys() >= CONNECTION_KEYS
        assert {found[key].signature for key in CONNECTION_KEYS - {"UniqueName"}} == {"u"}
        assert (found["UniqueName"].signature, found["UniqueName"].value) == ("s", client.unique)

    def test_others(self, client: Client) -> None:
        """Keys of omnibus contain a dot, which the reference's never will."""
        for name, keys in ((None, BUS_KEYS), (client.unique, CONNECTION_KEYS)):
            assert all("." in key for key in stats(client, name).keys() - keys)

    def test_serial(self, client: Client) -> None:
        """Serial: incremented with every reply, per method."""
        first, second = (stats(client)["Serial"] for _ in range(2))
        one, two = (stats(client, client.unique)["Serial"] for _ in range(2))
        assert (second - first, two - one) == (1, 1)


class TestBus:
    def test_numbers(self, start_daemon: StartDaemon) -> None:
        """Connections, match rules and names in total; their maxima, and those of a single connection."""
        daemon = start_daemon()
        client, other = daemon.connect(), daemon.connect()
        for number in range(5):
            other.match(f"arg0='{number}'")
            client.own(f"org.example.Name{number}")
        client.match("type='signal'")
        other.own("org.example.Name0")  # queued for it
        expected = {
            "ActiveConnections": 2,
            "IncompleteConnections": 0,
            "MatchRules": 6,
            "PeakMatchRules": 6,
            "PeakMatchRulesPerConnection": 5,
            "BusNames": 8,
            "PeakBusNames": 8,
            "PeakBusNamesPerConnection": 6,
        }
        assert {key: stats(client)[key] for key in expected} == expected
        other.close()
        client.driver("ReleaseName", "s", "org.example.Name0")
        while client.driver("NameHasOwner", "s", other.unique):
            pass
        expected |= {"ActiveConnections": 1, "MatchRules": 1, "BusNames": 5}
        assert {key: stats(client)[key] for key in expected} == expected

    def test_incomplete(self, start_daemon: StartDaemon) -> None:
        """IncompleteConnections: connections before Hello."""
        daemon = start_daemon()
        client = daemon.connect()
        daemon.connect(hello=False)
        found = stats(client)
        assert (found["ActiveConnections"], found["IncompleteConnections"]) == (1, 1)

    def test_monitors(self, start_daemon: StartDaemon) -> None:
        """Monitors are connections and have rules, but no names."""
        daemon = start_daemon()
        monitor(daemon, "type='signal'", "type='error'")
        found = stats(daemon.connect())
        assert [found[key] for key in ("ActiveConnections", "MatchRules", "BusNames")] == [2, 2, 1]

    def test_memory(self, client: Client) -> None:
        found = stats(client)
        used, cached = found["ListMemPoolUsedBytes"], found["ListMemPoolCachedBytes"]
        assert 0 < used + cached <= found["ListMemPoolAllocatedBytes"]


class TestConnection:
    def test_numbers(self, client: Client, other: Client, name: str, name2: str) -> None:
        """The rules and names of a connection, by any of its names."""
        other.match("member='One'")
        other.match("member='Two'")
        other.driver("RemoveMatch", "s", "member='One'")
        other.own(name)
        client.own(name2)
        other.own(name2)
        other.driver("ReleaseName", "s", name2)
        for which in (name, other.unique):
            found = stats(client, which)
            assert found["UniqueName"] == other.unique
            assert [found[key] for key in ("MatchRules", "PeakMatchRules")] == [1, 2]
            assert [found[key] for key in ("BusNames", "PeakBusNames")] == [2, 3]

    def test_outgoing(self, client: Client, other: Client, pipe: tuple[int, int]) -> None:
        """Outgoing: messages queued for a connection that does not read."""
        for _ in range(40):
            client.signal("Long", "ay", bytes(100_000), destination=other.unique)
        client.signal("Given", "h", 0, fds=[pipe[0]], destination=other.unique)
        client.sync()
        found = stats(client, other.unique)
        assert 1_000_000 < found["OutgoingBytes"] < 4_200_000
        assert found["PeakOutgoingBytes"] >= found["OutgoingBytes"]
        assert 10 < found["OutgoingMessages"] <= 41
        assert (found["OutgoingFDs"], found["PeakOutgoingFDs"]) == (1, 1)
        for _ in range(40):
            other.expect(member="Long")
        other.expect(member="Given")
        found = stats(client, other.unique)
        assert [found[f"Outgoing{what}"] for what in ("Messages", "Bytes", "FDs")] == [0, 0, 0]

    def test_incoming(self, client: Client, other: Client) -> None:
        """Incoming: messages that a connection has sent and that are still queued for others."""
        for _ in range(40):
            client.signal("Long", "ay", bytes(100_000), destination=other.unique)
        client.sync()
        found = stats(client, client.unique)
        assert found["IncomingBytes"] > 1_000_000
        assert found["PeakIncomingBytes"] >= found["IncomingBytes"]

    def test_unknown(self, client: Client) -> None:
        for name in ("org.example.Absent", ":1.999999", "!"):
            with pytest.raises(BusError) as caught:
                stats(client, name)
            assert caught.value.name == ERROR + "NameHasNoOwner"
            assert caught.value.text == f"Could not get statistics of name '{name}': no such name"

    def test_bus(self, client: Client) -> None:
        with pytest.raises(BusError) as caught:
            stats(client, BUS)
        assert caught.value.name == ERROR + "InvalidArgs"
        assert caught.value.text == f'GetConnectionStats is not meaningful for the message bus "{BUS}" itself'

    def test_monitor(self, bus: Daemon, client: Client) -> None:
        """A monitor has no name to ask for."""
        watcher = monitor(bus)
        with pytest.raises(BusError, match="no such name"):
            stats(client, watcher.unique)


class TestMatchRules:
    def rules(self, client: Client) -> dict[str, list[str]]:
        found: dict[str, list[str]] = client.driver("GetAllMatchRules", interface=STATS)
        return {name: sorted(rules) for name, rules in found.items()}

    def test_all(self, start_daemon: StartDaemon) -> None:
        """Every unique name with its rules, normalised; neither the bus itself nor monitors."""
        daemon = start_daemon()
        client, other = daemon.connect(), daemon.connect()
        monitor(daemon, "type='error'")
        for rule in (
            "",
            "type=signal, sender='a.b',member=C",
            "arg0='it'\\''s',path='/'",
            "eavesdrop='true'",
        ):
            other.match(rule)
        assert self.rules(client) == {
            client.unique: [],
            other.unique: sorted(
                ["", "type='signal',member='C',sender='a.b'", "path='/',arg0='it'\\''s'", "eavesdrop='true'"]
            ),
        }

    def test_many(self, start_daemon: StartDaemon) -> None:
        """Many rules of many connections, some with far more than others."""
        daemon = start_daemon()
        clients = [daemon.connect() for _ in range(60)]
        expected: dict[str, list[str]] = {}
        for number, client in enumerate(clients):
            count = 2000 if number in (7, 30) else number
            expected[client.unique] = sorted(f"arg0='{number}.{rule}'" for rule in range(count))
            for rule in expected[client.unique]:
                client.start_call(BUS, "AddMatch", "s", rule, path=BUS_PATH, interface=BUS, flags=1)
            client.driver("GetId")
        assert self.rules(clients[0]) == expected


class TestAccess:
    CALLS = (("GetStats", "", ()), ("GetConnectionStats", "s", (BUS,)), ("GetAllMatchRules", "", ()))

    @pytest.mark.parametrize(("member", "signature", "arguments"), CALLS)
    def test_path(self, client: Client, member: str, signature: str, arguments: tuple[object, ...]) -> None:
        """The methods are available on the bus's own path only."""
        with pytest.raises(BusError) as caught:
            client.driver(member, signature, *arguments, interface=STATS, path="/")
        assert caught.value.name == ERROR + "UnknownInterface"

    def test_signature(self, client: Client) -> None:
        for member, signature, _ in self.CALLS:
            with pytest.raises(BusError) as caught:
                client.driver(member, "u", 5, interface=STATS)
            assert caught.value.text == f"Call to {member} has wrong args (u, expected {signature})"

    def test_any_user(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """The policy decides which clients may ask."""
        client = start_daemon().connect(uid=unprivileged)
        assert stats(client)["ActiveConnections"] == 1

    def test_interfaces(self, client: Client) -> None:
        """The property Interfaces lists the additional interfaces of the bus."""
        listed = client.driver("Get", "ss", BUS, "Interfaces", interface=PROPERTIES).value
        ours = [one for one in listed if one.startswith("org.omnibus.")]
        assert [one for one in listed if one not in ours] == ["org.freedesktop.DBus.Monitoring", STATS]

    def test_without_interface(self, client: Client) -> None:
        assert client.driver("GetStats", interface=None)


class TestOwnKeys:
    """Counters of omnibus beyond the reference's."""

    LIMITS: ClassVar = {"max_outgoing_bytes": 1_000_000}

    @pytest.mark.deviation("own-statistics")
    def test_bus(self, start_daemon: StartDaemon) -> None:
        daemon = start_daemon()
        client = daemon.connect()
        monitor(daemon)
        before = own(stats(client))
        assert before["Monitors"] == 1
        for _ in range(10):
            client.signal("News", "ay", bytes(1000))
        after = own(stats(client))
        assert after["MessagesReceived"] - before["MessagesReceived"] == 11
        assert after["BytesReceived"] - before["BytesReceived"] > 10_000
        assert after["BytesSent"] - before["BytesSent"] > 10_000
        assert after["Broadcasts"] - before["Broadcasts"] == 10
        assert 0 < after["ReceiveCalls"] - before["ReceiveCalls"] < 100

    @pytest.mark.deviation("own-statistics")
    def test_refused(self, start_daemon: StartDaemon) -> None:
        """MessagesRefused: messages lost by a connection that does not read, and their total."""
        daemon = start_daemon(config("unix:path={dir}/bus", limits=self.LIMITS))
        client, other = daemon.connect(), daemon.connect()
        other.match("member='Long'")
        for _ in range(30):
            client.signal("Long", "ay", bytes(100_000))
        client.sync()
        found = own(stats(client, other.unique))
        assert 5 < found["MessagesRefused"] < 30
        assert found["MessagesRefused"] + found["MessagesSent"] >= 30
        assert own(stats(client))["MessagesRefused"] == found["MessagesRefused"]

    @pytest.mark.deviation("own-statistics")
    def test_waiting(self, connect: Connect, client: Client, other: Client) -> None:
        """PendingReplies: calls of a connection that have not been answered yet."""
        for _ in range(3):
            client.start_call(other.unique, "Hail")
        client.sync()
        assert own(stats(other, client.unique))["PendingReplies"] == 3
        assert own(stats(other))["PendingReplies"] == 3
        assert not own(stats(other, client.unique))["Paused"]
