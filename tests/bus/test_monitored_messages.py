"""Specification, "org.freedesktop.DBus.Monitoring": the messages that a monitor sees, and their order.

All of it is as dbus-daemon shows it.
"""

from __future__ import annotations

import os
import stat

import pytest

from support.daemon import Daemon, config
from support.message import Flag
from support.monitor import (
    CALL,
    ERROR,
    FAILURE,
    RETURN,
    SIGNAL,
    monitor,
    sees,
    sees_no_more,
)
from support.raw import BUS, BUS_PATH, PEER, BusError, Client

from .conftest import Connect, StartDaemon

NOT_ACTIVE = ":not.active.yet"


class TestSeen:
    """Every message is seen once, before it is delivered."""

    def test_between_clients(self, bus: Daemon, client: Client, other: Client) -> None:
        """Calls, replies, errors, unicast and broadcast signals are seen, with or without a recipient."""
        watcher = monitor(bus)
        serial = client.start_call(other.unique, "Hail", "s", "x")
        call = other.expect(member="Hail")
        other.reply(call, "s", "y")
        client.reply_to(serial)
        client.start_call(other.unique, "Fail")
        other.error(other.expect(member="Fail"), "org.example.Error.No", "no")
        client.take(type=FAILURE)
        client.signal("Alone", destination=other.unique)
        client.signal("News")
        messages = sees(
            watcher,
            (CALL, client.unique, other.unique, "Hail"),
            (RETURN, other.unique, client.unique, None),
            (CALL, client.unique, other.unique, "Fail"),
            (FAILURE, other.unique, client.unique, "org.example.Error.No"),
            (SIGNAL, client.unique, other.unique, "Alone"),
            (SIGNAL, client.unique, None, "News"),
        )
        assert messages[0].serial == serial
        assert messages[0].body == ("x",)
        assert messages[1].body == ("y",)
        assert messages[1].reply_serial == serial

    def test_of_the_bus(self, bus: Daemon, client: Client, name: str) -> None:
        """Calls of the bus, its replies, and its signals to others are seen."""
        watcher = monitor(bus)
        client.own(name)
        with pytest.raises(BusError):
            client.driver("GetNameOwner", "s", "org.example.Absent")
        client.driver("ReleaseName", "s", name)
        mine = client.unique
        messages = sees(
            watcher,
            (CALL, mine, BUS, "RequestName"),
            (SIGNAL, BUS, None, "NameOwnerChanged"),
            (SIGNAL, BUS, mine, "NameAcquired"),
            (RETURN, BUS, mine, None),
            (CALL, mine, BUS, "GetNameOwner"),
            (FAILURE, BUS, mine, ERROR + "NameHasNoOwner"),
            (CALL, mine, BUS, "ReleaseName"),
            (SIGNAL, BUS, mine, "NameLost"),
            (SIGNAL, BUS, None, "NameOwnerChanged"),
            (RETURN, BUS, mine, None),
        )
        assert messages[3].body == (1,)

    def test_connect_and_disconnect(self, bus: Daemon, name: str) -> None:
        """Hello is shown with the assigned name as sender; the loss of every name is shown."""
        watcher = monitor(bus)
        client = bus.connect()
        mine = client.unique
        sees(
            watcher,
            (CALL, mine, BUS, "Hello"),
            (RETURN, BUS, mine, None),
            (SIGNAL, BUS, None, "NameOwnerChanged"),
            (SIGNAL, BUS, mine, "NameAcquired"),
        )
        client.own(name)
        client.close()
        messages = sees(
            watcher,
            (CALL, mine, BUS, "RequestName"),
            (SIGNAL, BUS, None, "NameOwnerChanged"),
            (SIGNAL, BUS, mine, "NameAcquired"),
            (RETURN, BUS, mine, None),
            (SIGNAL, BUS, mine, "NameLost"),
            (SIGNAL, BUS, None, "NameOwnerChanged"),
            (SIGNAL, BUS, mine, "NameLost"),
            (SIGNAL, BUS, None, "NameOwnerChanged"),
        )
        assert [message.body[0] for message in messages[4:]] == [name, name, mine, mine]

    def test_before_hello(self, bus: Daemon) -> None:
        """A connection before Hello is shown as :not.active.yet, also in replies of the bus."""
        watcher = monitor(bus)
        silent = bus.connect(hello=False)
        serial = silent.start_call(BUS, "ListNames", path=BUS_PATH, interface=BUS)
        with pytest.raises(BusError) as caught:
            silent.reply_to(serial)
        assert caught.value.reply.destination == NOT_ACTIVE
        silent.start_call("org.example.Absent", "Hail")
        silent.expect_closed()
        sees(
            watcher,
            (CALL, NOT_ACTIVE, BUS, "ListNames"),
            (FAILURE, BUS, NOT_ACTIVE, ERROR + "AccessDenied"),
            (CALL, NOT_ACTIVE, "org.example.Absent", "Hail"),
        )

    def test_refused_hello(self, start_daemon: StartDaemon) -> None:
        daemon = start_daemon(config("unix:path={dir}/bus", limits={"max_completed_connections": 1}))
        watcher = monitor(daemon)
        silent = daemon.connect(hello=False)
        silent.expect_error(
            silent.start_call(BUS, "Hello", path=BUS_PATH, interface=BUS), ERROR + "LimitsExceeded"
        )
        sees(watcher, (CALL, NOT_ACTIVE, BUS, "Hello"), (FAILURE, BUS, NOT_ACTIVE, ERROR + "LimitsExceeded"))

    def test_no_reply(self, bus: Daemon, client: Client, other: Client) -> None:
        """Errors generated by the bus are seen."""
        watcher = monitor(bus, "type='error'")
        client.start_call(other.unique, "Hail")
        other.take(member="Hail")
        other.close()
        sees(watcher, (FAILURE, BUS, client.unique, ERROR + "NoReply"))

    def test_names_without_owner(self, bus: Daemon, client: Client) -> None:
        """The message is followed by its error, in the order of one sender that sends all at once."""
        watcher = monitor(bus)
        calls = [
            client.message(CALL, destination="org.example.Absent", path="/a", member="One"),
            client.message(CALL, destination=":1.999999", path="/a", member="Two", flags=Flag.NO_AUTO_START),
            client.message(
                SIGNAL, destination="org.example.Absent", path="/a", interface="a.b", member="Three"
            ),
            client.message(SIGNAL, path="/a", interface="a.b", member="Four"),
        ]
        client.send_bytes(b"".join(call.encode() for call in calls))
        mine = client.unique
        sees(
            watcher,
            (CALL, mine, "org.example.Absent", "One"),
            (FAILURE, BUS, mine, ERROR + "ServiceUnknown"),
            (CALL, mine, ":1.999999", "Two"),
            (FAILURE, BUS, mine, ERROR + "NameHasNoOwner"),
            (SIGNAL, mine, "org.example.Absent", "Three"),
            (FAILURE, BUS, mine, ERROR + "ServiceUnknown"),
            (SIGNAL, mine, None, "Four"),
        )

    def test_sender_disconnects(self, bus: Daemon, client: Client) -> None:
        """Messages of a client that disconnects right after sending are seen."""
        watcher = monitor(bus)
        client.start_call("org.example.Absent", "Farewell")
        client.close()
        sees(
            watcher,
            (CALL, client.unique, "org.example.Absent", "Farewell"),
            (FAILURE, BUS, client.unique, ERROR + "ServiceUnknown"),
            (SIGNAL, BUS, client.unique, "NameLost"),
            (SIGNAL, BUS, None, "NameOwnerChanged"),
        )

    def test_without_destination(self, bus: Daemon, client: Client) -> None:
        """A message that has no destination and is no signal isn't seen, nor is its reply."""
        watcher = monitor(bus)
        for member, interface in (("Ping", PEER), ("Nonsense", "a.b")):
            serial = client.start_call(None, member, interface=interface)
            client.take(reply_serial=serial)
        sees_no_more(watcher, client)

    def test_header(self, bus: Daemon, client: Client, other: Client) -> None:
        """Monitors see the corrected SENDER and no unknown header fields."""
        watcher = monitor(bus)
        client.signal(
            "Forged", destination=other.unique, sender="org.example.Forged", extra=((99, "s", "x"),)
        )
        (message,) = sees(watcher, (SIGNAL, client.unique, other.unique, "Forged"))
        assert message.extra == ()

    @pytest.mark.parametrize("order", ["l", "B"])
    @pytest.mark.parametrize("size", [0, 3000, 1 << 20])
    def test_content(self, bus: Daemon, order: str, size: int) -> None:
        """A message keeps its byte order, its serial and its body."""
        watcher = monitor(bus, "member='Long'")
        client = bus.connect(order=order)
        serial = client.signal("Long", "s", "x" * size)
        message = watcher.receive()
        assert (message.order, message.serial, message.body) == (order, serial, ("x" * size,))

    def test_descriptors(self, bus: Daemon, client: Client, other: Client, pipe: tuple[int, int]) -> None:
        """A monitor gets duplicates; one that can't receive descriptors doesn't see the message."""
        watcher = monitor(bus, "type='signal'")
        without = monitor(bus, "type='signal'", unix_fds=False)
        client.signal("Given", "h", 0, fds=[pipe[1]], destination=other.unique)
        client.signal("Next")
        message = watcher.take(member="Given")
        assert stat.S_ISFIFO(os.fstat(message.fds[0]).st_mode)
        assert other.take(member="Given").fds
        assert without.take(path="/org/example/Object").member == "Next"

    def test_unknown_type(self, bus: Daemon, client: Client) -> None:
        """A message of an unknown type is refused, and is seen."""
        watcher = monitor(bus)
        client.send(client.message(9, destination=BUS))
        sees(watcher, (9, client.unique, BUS, None), (FAILURE, BUS, client.unique, ERROR + "AccessDenied"))

    def test_reload(self, start_daemon: StartDaemon) -> None:
        """The outcome of ReloadConfig is seen before the call."""
        daemon = start_daemon()
        watcher = monitor(
            daemon, "member='ReloadConfig'", "member='ActivatableServicesChanged'", "type='method_return'"
        )
        client = daemon.connect()
        client.driver("ReloadConfig")
        watcher.take(type=RETURN)  # of Hello
        sees(
            watcher,
            (SIGNAL, BUS, None, "ActivatableServicesChanged"),
            (CALL, client.unique, BUS, "ReloadConfig"),
            (RETURN, BUS, client.unique, None),
        )

    def test_order(self, bus: Daemon, connect: Connect) -> None:
        """The messages of one client are seen in order, interleaved with the replies of the bus."""
        watcher = monitor(bus, "interface='org.example.Interface'", "interface='org.freedesktop.DBus'")
        client = connect()
        while watcher.receive().member != "NameAcquired":
            pass
        expected: list[str] = []
        data = b""
        for number in range(50):
            members = [f"News{number}", "AddMatch", f"Lost{number}", f"Call{number}"]
            expected += members
            for member, destination in zip(
                members, (None, BUS, "org.example.Absent", client.unique), strict=True
            ):
                rule = ("s", "member='Never'") if destination == BUS else ("",)
                message = client.message(
                    SIGNAL if destination is None else CALL,
                    *rule,
                    path="/a",
                    interface=BUS if destination == BUS else "org.example.Interface",
                    member=member,
                    destination=destination,
                    flags=Flag.NO_REPLY_EXPECTED,
                )
                data += message.encode()
        client.send_bytes(data)
        assert [watcher.receive().member for _ in expected] == expected


class TestFilters:
    """Match rules as in AddMatch, except that a monitor always eavesdrops."""

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ("destination='{SERVICE}'", ["ByName", "ByUniqueName"]),
            ("destination='{service}'", ["ByName", "ByUniqueName"]),
            ("destination='org.example.Absent'", ["ToNobody"]),
            ("sender='{CLIENT}'", ["ByName", "ByUniqueName", "ToAll", "ToNobody"]),
            ("sender='{client}',destination='{SERVICE}'", ["ByName", "ByUniqueName"]),
            ("sender='{service}'", ["Back"]),
            ("member='ToAll',eavesdrop='false'", ["ToAll"]),
            ("sender='{CLIENT}',eavesdrop='false'", ["ByName", "ByUniqueName", "ToAll", "ToNobody"]),
            ("destination='org.example.Other'", []),
        ],
    )
    def test_names(self, bus: Daemon, name: str, name2: str, rule: str, expected: list[str]) -> None:
        """sender, destination: unique and well-known names, whichever of them the message contains."""
        service, client, last = bus.connect(), bus.connect(), bus.connect()
        service.own(name)
        client.own(name2)
        rule = rule.format(SERVICE=name, CLIENT=name2, service=service.unique, client=client.unique)
        watcher = monitor(bus, f"interface='org.example.Interface',{rule}", "member='End'")
        client.signal("ByName", destination=name)
        client.signal("ByUniqueName", destination=service.unique)
        client.signal("ToAll")
        client.signal("ToNobody", destination="org.example.Absent")
        client.take(type=FAILURE)
        service.signal("Back", destination=last.unique)
        last.take(member="Back")
        last.signal("End")
        seen = [watcher.receive().member for _ in range(len(expected) + 1)]
        assert seen == [*expected, "End"]

    def test_of_the_bus(self, bus: Daemon, client: Client) -> None:
        """sender='org.freedesktop.DBus', and as a destination."""
        to, of = monitor(bus, f"destination='{BUS}'"), monitor(bus, f"sender='{BUS}',type='method_return'")
        client.driver("GetId")
        sees(to, (CALL, of.unique, BUS, "Hello"), (CALL, of.unique, BUS, "BecomeMonitor"))
        sees(to, (CALL, client.unique, BUS, "GetId"))
        sees(of, (RETURN, BUS, client.unique, None))

    def test_handover(self, bus: Daemon, client: Client, other: Client, name: str) -> None:
        """At its NameLost the old owner still has the name; at its NameAcquired the new owner has it."""
        client.own(name)
        other.own(name)
        watcher = monitor(bus, f"type='signal',destination='{name}'")
        client.driver("ReleaseName", "s", name)
        other.driver("ReleaseName", "s", name)
        messages = sees(
            watcher, (SIGNAL, BUS, client.unique, "NameLost"), (SIGNAL, BUS, other.unique, "NameLost")
        )
        assert [message.body for message in messages] == [(name,), (name,)]
