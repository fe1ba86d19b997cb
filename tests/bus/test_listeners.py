"""org.omnibus.Listeners1 (docs/using/listeners.md): an owner of names learns who listens to them."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import pytest

from support.daemon import OPEN_POLICY, Daemon, config
from support.driver import refused
from support.message import Message, Type
from support.raw import BUS, BUS_PATH, INTROSPECTABLE, PROPERTIES, Client

from .conftest import Connect, StartDaemon

LISTENERS = "org.omnibus.Listeners1"
NAME = "org.example.Watched"
UNPRIVILEGED = 65534
EVERYTHING = "type='signal'"
Listener = tuple[str, str, int]

pytestmark = pytest.mark.deviation("listeners")


class Observer:
    """A connection that knows who listens to it."""

    def __init__(self, client: Client, *names: str) -> None:
        self.client = client
        self.known: dict[tuple[str, str], int] = {}
        for name in names:
            assert client.own(name) == 1

    def ask(self, member: str, **options: Any) -> Any:
        return self.client.driver(member, interface=LISTENERS, **options)

    def watch(self) -> dict[tuple[str, str], int]:
        """Call Watch; return what is told before its reply."""
        self.known.clear()
        self.ask("Watch")
        self.client.inbox = [one for one in self.client.inbox if not self._hear(one)]
        return self.known

    def _hear(self, message: Message) -> bool:
        if message.interface != LISTENERS:
            return False
        assert (message.sender, message.path, message.member) == (BUS, BUS_PATH, "Changed")
        assert (message.type, message.destination) == (Type.SIGNAL, self.client.unique)
        for connection, rule, copies in message.body[0]:
            self.known[connection, rule] = copies
            if not copies:
                del self.known[connection, rule]
        return True

    def hear(self) -> Sequence[Listener]:
        """Receive the next message, a change."""
        (listeners,) = self.client.expect(interface=LISTENERS, member="Changed").body
        return [tuple(one) for one in listeners]


@pytest.fixture
def observer(connect: Connect) -> Observer:
    return Observer(connect(), NAME)


class TestWatch:
    """The state of the moment, told before the reply."""

    @pytest.mark.parametrize(
        "rule",
        [
            "type='signal'",
            "sender='{name}'",
            "type='signal',member='M',sender='{name}'",
            "type='signal',sender='{unique}'",
            "type='signal',interface='org.example.I',member='M',path='/a'",
            "type='signal',path_namespace='/a',eavesdrop='true',arg0='x',arg1path='/a/',arg2='it'\\''s'",
            "type='signal',arg0namespace='org.example'",
        ],
    )
    def test_rules_that_broadcasts_of_the_caller_can_match(
        self, observer: Observer, connect: Connect, rule: str
    ) -> None:
        text, listener = rule.format(name=NAME, unique=observer.client.unique), connect()
        listener.match(text)
        assert observer.watch() == {(listener.unique, text): 1}

    @pytest.mark.parametrize(
        "rule",
        [
            "type='method_call'",
            "type='signal',sender='org.example.Other'",
            "type='signal',sender='org.example'",
            "type='signal',sender='{own}'",
            "type='signal',sender='org.freedesktop.DBus'",
            "type='signal',destination='{own}'",
        ],
    )
    def test_no_others(self, observer: Observer, connect: Connect, rule: str) -> None:
        listener = connect()
        listener.match(rule.format(own=listener.unique))
        assert observer.watch() == {}

    def test_copies(self, observer: Observer, connect: Connect) -> None:
        listener, other = connect(), connect()
        rule = f"type='signal',sender='{NAME}'"
        for client in (listener, listener, other):
            client.match(rule)
        assert observer.watch() == {(listener.unique, rule): 2, (other.unique, rule): 1}

    def test_canonical_text(self, observer: Observer, connect: Connect) -> None:
        listener = connect()
        listener.match(f" sender={NAME}, member=M,type='signal'")
        assert observer.watch() == {(listener.unique, f"type='signal',member='M',sender='{NAME}'"): 1}

    def test_again(self, observer: Observer, connect: Connect) -> None:
        connect().match(EVERYTHING)
        assert observer.watch() == observer.watch() != {}

    def test_many(self, observer: Observer, connect: Connect) -> None:
        """In several signals, each of which an ordinary client can read."""
        texts = [f"type='signal',path='/{'x' * 900}',sender='{NAME}',arg0='{n}'" for n in range(20)]
        clients = [connect() for _ in range(5)]
        for client in clients:
            for text in texts:
                client.match(text)
        observer.client.start_call(BUS, "Watch", path=BUS_PATH, interface=LISTENERS)
        found: list[Listener] = []
        while len(found) < 100:
            found += observer.hear()
        assert sorted(found) == sorted((one.unique, text, 1) for one in clients for text in texts)
        observer.client.expect(type=Type.METHOD_RETURN)


class TestChanged:
    """Each change after it."""

    def test_rules_come_and_go(self, observer: Observer, connect: Connect) -> None:
        observer.watch()
        listener, rule = connect(), f"type='signal',sender='{NAME}'"
        for member, copies in (("AddMatch", 1), ("AddMatch", 2), ("RemoveMatch", 1), ("RemoveMatch", 0)):
            listener.driver(member, "s", rule)
            assert observer.hear() == [(listener.unique, rule, copies)]

    def test_others_are_not_told(self, observer: Observer, connect: Connect) -> None:
        observer.watch()
        listener = connect()
        for rule in ("type='signal',sender='org.example.Other'", "type='method_call'"):
            listener.match(rule)
            listener.driver("RemoveMatch", "s", rule)
        observer.client.expect_nothing(listener)

    def test_a_change_comes_before_what_the_listener_sends_next(
        self, observer: Observer, connect: Connect
    ) -> None:
        observer.watch()
        listener = connect()
        for member, body in (("AddMatch", (EVERYTHING,)), ("AddMatch", (f"sender='{NAME}'",))):
            listener.start_call(BUS, member, "s", *body, path=BUS_PATH, interface=BUS)
        listener.start_call(NAME, "Call")
        assert [observer.hear()[0][1] for _ in range(2)] == [EVERYTHING, f"sender='{NAME}'"]
        observer.client.expect(member="Call")

    def test_each_observer_is_told_of_its_own(self, observer: Observer, connect: Connect) -> None:
        other, listener = Observer(connect(), "org.example.Other"), connect()
        observer.watch()
        other.watch()
        listener.match("type='signal',sender='org.example.Other'")
        listener.match("type='signal',member='Both'")
        assert [one[1] for one in observer.hear()] == ["type='signal',member='Both'"]
        assert [other.hear()[0][1] for _ in range(2)] == [
            "type='signal',sender='org.example.Other'",
            "type='signal',member='Both'",
        ]

    def test_end_of_a_connection_is_its_name_s(self, observer: Observer, connect: Connect) -> None:
        """As NameOwnerChanged tells that, there is no signal."""
        listener = connect()
        listener.match(EVERYTHING)
        observer.client.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg2=''")
        observer.watch()
        listener.close()
        observer.client.expect(member="NameOwnerChanged", body=(listener.unique, listener.unique, ""))
        observer.client.expect_nothing()
        assert observer.watch() == {}

    def test_unwatch(self, observer: Observer, connect: Connect) -> None:
        observer.watch()
        observer.ask("Unwatch")
        observer.ask("Unwatch")
        listener = connect()
        listener.match(EVERYTHING)
        observer.client.expect_nothing(listener)

    def test_observer_that_becomes_a_monitor(self, observer: Observer, connect: Connect) -> None:
        observer.watch()
        monitor = observer.client
        monitor.driver("BecomeMonitor", "asu", [f"interface='{LISTENERS}'"], 0, interface=f"{BUS}.Monitoring")
        listener = connect()
        listener.match(EVERYTHING)
        listener.sync()
        listener.signal("Shown", interface=LISTENERS)
        while (seen := monitor.receive()).member != "Shown":
            assert seen.interface != LISTENERS


class TestNames:
    """A name that the observer acquires brings its listeners; one that it loses takes them."""

    def test_acquired(self, observer: Observer, connect: Connect) -> None:
        rule = "type='signal',sender='org.example.Later'"
        listener = connect()
        listener.match(rule)
        observer.watch()
        assert observer.client.driver("RequestName", "su", "org.example.Later", 0) == 1
        observer.client.take(member="NameAcquired")
        assert observer.hear() == [(listener.unique, rule, 1)]

    def test_acquired_before_the_next_call(self, observer: Observer, connect: Connect) -> None:
        """A call to the name finds an owner that knows the rules of its sender."""
        listener, name = connect(), "org.example.Later"
        listener.match(f"sender='{name}'")
        observer.watch()
        observer.client.start_call(BUS, "RequestName", "su", name, 0, path=BUS_PATH, interface=BUS)
        observer.client.take(member="NameAcquired")
        listener.start_call(name, "Call")
        assert observer.hear() == [(listener.unique, f"sender='{name}'", 1)]

    @pytest.mark.parametrize("how", ["released", "gone", "replaced"])
    def test_acquired_from_another(self, observer: Observer, connect: Connect, how: str) -> None:
        owner, listener, name = connect(), connect(), "org.example.Shared"
        rule = f"type='signal',sender='{name}'"
        listener.match(rule)
        assert owner.own(name, 1) == 1  # ALLOW_REPLACEMENT
        observer.watch()
        serial = observer.client.start_call(
            BUS, "RequestName", "su", name, 2 if how == "replaced" else 0, path=BUS_PATH, interface=BUS
        )
        if how != "replaced":
            assert observer.client.reply_to(serial).body == (2,)  # IN_QUEUE
            assert observer.client.inbox == []
        if how == "released":
            owner.driver("ReleaseName", "s", name)
        elif how == "gone":
            owner.close()
        observer.client.take(member="NameAcquired")
        assert observer.hear() == [(listener.unique, rule, 1)]

    def test_lost(self, observer: Observer, connect: Connect) -> None:
        listener, rule = connect(), f"type='signal',sender='{NAME}'"
        listener.match(rule)
        assert observer.watch() == {(listener.unique, rule): 1}
        observer.client.driver("ReleaseName", "s", NAME)
        observer.client.inbox.clear()
        listener.driver("RemoveMatch", "s", rule)
        observer.client.expect_nothing(listener)
        assert observer.watch() == {}


class TestLimits:
    """No listener and no observer costs others more than a bounded price."""

    def test_connection_with_many_rules_listens_to_everything(
        self, observer: Observer, connect: Connect
    ) -> None:
        observer.watch()
        listener, rules = connect(), [f"type='signal',sender='{NAME}',arg0='{n}'" for n in range(200)]
        for rule in rules:
            listener.match(rule)
        told = []
        while (one := observer.hear())[0][1] != EVERYTHING:
            told += one
        assert one == [(listener.unique, EVERYTHING, 1)]
        assert told == [(listener.unique, rule, 1) for rule in rules[: len(told)]]
        for rule in rules:
            listener.driver("RemoveMatch", "s", rule)
        observer.client.expect_nothing(listener)
        assert observer.watch() == {(listener.unique, EVERYTHING): 1}

    def test_many_rules_before(self, observer: Observer, connect: Connect) -> None:
        listener = connect()
        for number in range(200):
            listener.match(f"type='signal',sender='org.example.Other',arg0='{number}'")
        assert observer.watch() == {(listener.unique, EVERYTHING): 1}

    def test_observer_that_does_not_read(self, limited: Any) -> None:
        """Lost is the last that it is told, until it calls Watch again."""
        bus: Daemon = limited(max_outgoing_bytes=100_000)
        observer, listener = Observer(bus.connect(), NAME), bus.connect()
        observer.watch()
        rule = f"type='signal',path='/{'x' * 900}'"
        for _ in range(2000):
            for member in ("AddMatch", "RemoveMatch"):
                listener.start_call(BUS, member, "s", rule, path=BUS_PATH, interface=BUS, flags=1)
        listener.sync()
        listener.match(EVERYTHING)
        while (one := observer.client.receive()).member != "Lost":
            assert one.member == "Changed"
        assert (one.type, one.interface, one.path, one.signature) == (Type.SIGNAL, LISTENERS, BUS_PATH, "")
        observer.client.expect_nothing(listener)
        assert observer.watch() == {(listener.unique, EVERYTHING): 1}

    def test_state_that_does_not_fit(self, limited: Any) -> None:
        """Watch fails, and the caller is no observer."""
        bus: Daemon = limited(max_outgoing_bytes=20_000)
        observer = Observer(bus.connect(), NAME)
        for _ in range(5):
            listener = bus.connect()
            for number in range(20):
                listener.match(f"type='signal',path='/{'x' * 900}',arg0='{number}'")
        refused(observer.client, "LimitsExceeded", "Watch", interface=LISTENERS)
        observer.client.inbox.clear()
        listener.match(EVERYTHING)
        observer.client.expect_nothing(listener)


def policy(*rules: str) -> str:
    return OPEN_POLICY + "<policy context='mandatory'>" + "".join(rules) + "</policy>"


ALLOW = f"<allow send_destination='{BUS}' send_interface='{LISTENERS}'/>"


class TestPermission:
    """Root and the bus's own user; others by a rule of the policy that names the interface."""

    def observer(self, start_daemon: StartDaemon, *rules: str, **options: Any) -> Observer:
        if os.geteuid() != 0:
            pytest.skip("needs root: the client is another user's")
        bus = start_daemon(config("unix:path={dir}/bus", policy=policy(*rules)))
        bus.directory.chmod(0o755)
        return Observer(bus.connect(uid=UNPRIVILEGED, **options), NAME)

    def test_another_user(self, start_daemon: StartDaemon) -> None:
        observer = self.observer(start_daemon)
        text = refused(observer.client, "AccessDenied", "Watch", interface=LISTENERS)
        assert text.startswith(f"rejected attempt to call Watch by connection {observer.client.unique} (")

    def test_rule(self, start_daemon: StartDaemon) -> None:
        observer = self.observer(start_daemon, ALLOW)
        observer.client.match(EVERYTHING)
        assert observer.watch() == {(observer.client.unique, EVERYTHING): 1}

    def test_rule_and_a_later_one_that_denies(self, start_daemon: StartDaemon) -> None:
        deny = f"<deny send_destination='{BUS}' send_interface='{LISTENERS}'/>"
        observer = self.observer(start_daemon, ALLOW, deny)
        text = refused(observer.client, "AccessDenied", "Watch", interface=LISTENERS)
        assert text.startswith("Rejected send message")

    def test_rule_about_another_interface(self, start_daemon: StartDaemon) -> None:
        observer = self.observer(start_daemon, f"<allow send_destination='{BUS}' send_interface='{BUS}'/>")
        refused(observer.client, "AccessDenied", "Watch", interface=LISTENERS)

    def test_call_without_an_interface(self, start_daemon: StartDaemon) -> None:
        """No rule that names the interface applies to it."""
        observer = self.observer(start_daemon, ALLOW)
        refused(observer.client, "AccessDenied", "Watch", interface=None)


class TestInterface:
    """It is the bus's, at its own path."""

    def test_introspection(self, connect: Connect) -> None:
        data = connect().driver("Introspect", interface=INTROSPECTABLE)
        (found,) = [one for one in ET.fromstring(data) if one.get("name") == LISTENERS]
        assert {one.get("name"): [arg.get("type") for arg in one] for one in found} == {
            "Watch": [],
            "Unwatch": [],
            "Changed": ["a(ssu)"],
            "Lost": [],
        }

    def test_property(self, connect: Connect) -> None:
        assert LISTENERS in connect().driver("Get", "ss", BUS, "Interfaces", interface=PROPERTIES).value

    @pytest.mark.parametrize("member", ["Watch", "Unwatch"])
    def test_wrong_calls(self, connect: Connect, member: str) -> None:
        client = connect()
        refused(client, "UnknownInterface", member, interface=LISTENERS, path="/elsewhere")
        refused(client, "InvalidArgs", member, "s", "x", interface=LISTENERS)

    def test_no_reply_expected(self, observer: Observer) -> None:
        observer.client.start_call(BUS, "Watch", path=BUS_PATH, interface=LISTENERS, flags=1)
        observer.client.expect_nothing()
