"""Specification, "org.freedesktop.DBus.Monitoring": how a connection becomes a monitor."""

from __future__ import annotations

import os

import pytest

from support.daemon import Daemon, config
from support.message import Flag
from support.monitor import (
    CALL,
    ERROR,
    FAILURE,
    MONITORING,
    RETURN,
    SIGNAL,
    become_monitor,
    monitor,
    sees,
)
from support.raw import BUS, BUS_PATH, BusError, Client

from .conftest import Connect, StartDaemon


def refused(client: Client, error: str, *call: object, **options: object) -> str:
    with pytest.raises(BusError) as caught:
        client.driver("BecomeMonitor", *call, **{"interface": MONITORING, **options})  # type: ignore[arg-type]
    assert caught.value.name == ERROR + error
    return caught.value.text


class TestArguments:
    def test_unprivileged(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """Only root and the user of the bus may call it; this is checked before the arguments."""
        daemon = start_daemon()
        client = daemon.connect(uid=unprivileged)
        for signature, body in (("asu", ([], 0)), ("as", ([],)), ("asu", ([], 1))):
            text = refused(client, "AccessDenied", signature, *body)
            assert text.startswith(
                f"rejected attempt to call BecomeMonitor by connection {client.unique} (uid="
            )
            assert text.endswith(f") with uid {unprivileged}")
            assert text in daemon.stderr
        assert client.driver("NameHasOwner", "s", client.unique)

    def test_users_own_bus(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """The user of the bus may monitor it."""
        text = config("unix:path={dir}/bus", extra="<user>nobody</user>")
        daemon = start_daemon(text)
        monitor(daemon, uid=unprivileged)

    def test_path(self, client: Client) -> None:
        """The method is available on the bus's own path only."""
        refused(client, "UnknownInterface", "asu", [], 0, path="/")
        refused(client, "UnknownMethod", "asu", [], 0, path="/", interface=None)

    def test_signature(self, client: Client) -> None:
        text = refused(client, "InvalidArgs", "as", [])
        assert text == "Call to BecomeMonitor has wrong args (as, expected asu)"

    def test_flags(self, client: Client) -> None:
        """flags: must be 0; they are checked before the rules."""
        for rules in ([], ["nonsense"]):
            text = refused(client, "InvalidArgs", "asu", rules, 1)
            assert text == "BecomeMonitor does not support any flags yet"

    def test_wrong_rules(self, client: Client) -> None:
        """One invalid rule is an error, and the call has no effect."""
        text = refused(client, "MatchRuleInvalid", "asu", ["type='signal'", "foo"], 0)
        assert text == "Match rule has a key with no subsequent '=' character"
        text = refused(client, "LimitsExceeded", "asu", ["x" * 1025], 0)
        assert text == "Match rule text is 1025 bytes, maximum is 1024"
        assert client.driver("NameHasOwner", "s", client.unique)
        client.expect_nothing()

    def test_without_interface(self, client: Client) -> None:
        assert client.driver("BecomeMonitor", "asu", [], 0, interface=None) is None

    def test_no_reply_expected(self, client: Client) -> None:
        client.start_call(
            BUS,
            "BecomeMonitor",
            "asu",
            [],
            0,
            path=BUS_PATH,
            interface=MONITORING,
            flags=Flag.NO_REPLY_EXPECTED,
        )
        client.expect(type=SIGNAL, member="NameLost")

    def test_many_rules(self, bus: Daemon, client: Client) -> None:
        """Monitors are exempt from max_match_rules_per_connection; a match of several rules is shown once."""
        rules = [f"arg0='{number}'" for number in range(60_000)]
        watcher = monitor(bus, *rules, "member='News'")
        client.signal("Other", "s", "x")
        client.signal("News", "s", "59999")
        client.signal("Last", "s", "1")
        sees(watcher, (SIGNAL, client.unique, None, "News"), (SIGNAL, client.unique, None, "Last"))


class TestBecoming:
    """The connection gives up its state."""

    def test_names(self, connect: Connect, client: Client, other: Client, name: str, name2: str) -> None:
        """Its names are released, the unique one first; then queued clients become their owners."""
        watcher = connect()
        watcher.match("member='NameOwnerChanged'")
        client.own(name)
        client.own(name2)
        other.own(name2)
        watcher.inbox.clear()
        become_monitor(client)
        sees(client, *[(SIGNAL, BUS, client.unique, "NameLost")] * 3)
        changes = [watcher.take(member="NameOwnerChanged").body for _ in range(5)]
        assert changes[2:] == [
            (client.unique, client.unique, ""),
            (name, client.unique, ""),
            (name2, client.unique, other.unique),
        ]
        other.expect(member="NameAcquired", body=(name2,))

    def test_place_in_queue(self, client: Client, other: Client, connect: Connect, name: str) -> None:
        """It leaves the queues of names."""
        other.own(name)
        client.own(name)
        become_monitor(client)
        other.driver("ReleaseName", "s", name)
        assert not connect().driver("NameHasOwner", "s", name)

    def test_unreachable(self, client: Client, other: Client) -> None:
        """Its unique name has no owner."""
        become_monitor(client)
        assert not other.driver("NameHasOwner", "s", client.unique)
        assert client.unique not in other.driver("ListNames")
        with pytest.raises(BusError, match="was not provided by any"):
            other.call(client.unique, "Hail")

    def test_match_rules(self, client: Client, other: Client) -> None:
        """Its match rules are removed; only those of the call apply."""
        client.match("member='Old'")
        become_monitor(client, "member='New'")
        client.take(member="NameLost")
        other.signal("Old")
        other.signal("New")
        sees(client, (SIGNAL, other.unique, None, "New"))

    def test_rules_that_name_it(self, client: Client, other: Client) -> None:
        """Other clients' rules that name it are removed with its unique name."""
        other.match(f"sender='{client.unique}'")
        become_monitor(client)
        with pytest.raises(BusError, match="wasn't found"):
            other.driver("RemoveMatch", "s", f"sender='{client.unique}'")

    def test_pending_replies_of_its_callers(self, client: Client, other: Client) -> None:
        """Callers that wait for its reply get NoReply."""
        serial = other.start_call(client.unique, "Hail")
        client.take(member="Hail")
        become_monitor(client)
        text = other.expect_error(serial, ERROR + "NoReply")
        assert text == "Message recipient disconnected from message bus without replying"
        client.take(type=FAILURE, destination=other.unique)

    def test_calls_it_made(self, client: Client, other: Client) -> None:
        """A reply to an earlier call of it is not delivered."""
        client.start_call(other.unique, "Hail")
        call = other.take(member="Hail")
        become_monitor(client)
        serial = other.reply(call)
        with pytest.raises(BusError, match="was not provided by any"):
            other.reply_to(serial)

    def test_others_see_it(self, bus: Daemon, client: Client) -> None:
        """An existing monitor sees the call, the reply and the released names; the new one not the call."""
        watcher = monitor(bus)
        become_monitor(client)
        lost = (SIGNAL, BUS, client.unique, "NameLost")
        changed = (SIGNAL, BUS, None, "NameOwnerChanged")
        sees(
            watcher,
            (CALL, client.unique, BUS, "BecomeMonitor"),
            (RETURN, BUS, client.unique, None),
            lost,
            changed,
        )
        sees(client, lost, changed)

    def test_log(self, start_daemon: StartDaemon) -> None:
        daemon = start_daemon()
        watcher = monitor(daemon)
        watcher.close()
        client = daemon.connect()
        while "closed" not in daemon.stderr:
            client.sync()
        assert f"Connection {watcher.unique} (uid={os.geteuid()} pid={os.getpid()}" in daemon.stderr
        assert ") became a monitor.\n" in daemon.stderr
        assert f"Monitoring connection {watcher.unique} closed.\n" in daemon.stderr


class TestSending:
    """A monitor that sends anything is disconnected."""

    @pytest.mark.parametrize("kind", [CALL, RETURN, FAILURE, SIGNAL])
    def test_closed(self, start_daemon: StartDaemon, kind: int) -> None:
        daemon = start_daemon()
        watcher = monitor(daemon)
        other = daemon.connect()
        while watcher.receive().member != "NameAcquired":
            pass
        fields: dict[str, object] = {"path": "/a", "interface": "a.b", "member": "C"}
        if kind in (RETURN, FAILURE):
            fields = {"reply_serial": 7, "error_name": "a.Error" if kind == FAILURE else None}
        watcher.send(watcher.message(kind, destination=other.unique, **fields))
        watcher.expect_closed()
        other.expect_nothing()
        assert f"Monitoring connection {watcher.unique} (uid=" in daemon.stderr
        assert (
            "is not allowed to send messages; closing it. Please fix the monitor to not do that."
            in daemon.stderr
        )
        assert f'destination="{other.unique}")' in daemon.stderr

    def test_pipelined(self, bus: Daemon, client: Client) -> None:
        """Data after the call in the same write also disconnects it, after the reply to the call."""
        call = client.message(
            CALL, "asu", [], 0, destination=BUS, path=BUS_PATH, interface=MONITORING, member="BecomeMonitor"
        )
        more = client.message(SIGNAL, path="/a", interface="a.b", member="C")
        client.send_bytes(call.encode() + more.encode())
        assert client.reply_to(call.serial).body == ()
        client.take(member="NameLost")
        client.expect_closed()
