"""How the driver finds and checks a method, in the reference's order and with its texts."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from omnibus.daemon.codec import read_strings
from omnibus.daemon.driver import INTERFACES, Driver, Method
from omnibus.daemon.driver.inspection import INSPECT
from omnibus.daemon.driver.introspectable import describe
from omnibus.daemon.peers import Peer
from omnibus.transport.relay import EventKind
from support.plane import BUS_PATH, FakeEvent, make_credentials
from support.wire import BIG, LITTLE, Variant, marshal

from .conftest import Desk

BUS = "org.freedesktop.DBus"
ERROR = BUS + ".Error."
PEER = "org.freedesktop.DBus.Peer"
PROPERTIES = "org.freedesktop.DBus.Properties"


class TestFindingTheMethod:
    def test_unknown_method(self, desk: Desk, peer: Peer) -> None:
        expected = (ERROR + "UnknownMethod", "org.freedesktop.DBus does not understand message Nope")
        assert desk.fails(peer, "Nope") == expected
        assert desk.fails(peer, "Nope", interface=None) == expected

    def test_unknown_interface(self, desk: Desk, peer: Peer) -> None:
        expected = (ERROR + "UnknownInterface", "org.freedesktop.DBus does not understand message GetId")
        assert desk.fails(peer, "GetId", interface="no.such") == expected

    def test_method_of_another_interface(self, desk: Desk, peer: Peer) -> None:
        assert desk.fails(peer, "Ping")[0] == ERROR + "UnknownMethod"

    def test_without_interface(self, desk: Desk, peer: Peer) -> None:
        """A call may leave out the interface."""
        reply, _ = desk.call(peer, "ListActivatableNames", interface=None)
        assert reply[0] == "reply"

    def test_interface_of_the_canonical_path(self, desk: Desk, peer: Peer) -> None:
        """Properties exists only at /org/freedesktop/DBus: elsewhere it is an unknown interface."""
        text = "org.freedesktop.DBus does not understand message Get"
        assert desk.fails(peer, "Get", interface=PROPERTIES, path="/") == (ERROR + "UnknownInterface", text)
        assert desk.fails(peer, "Get", interface=None, path="/") == (ERROR + "UnknownMethod", text)

    def test_method_of_the_canonical_path(self, desk: Desk) -> None:
        root = desk.attach(make_credentials(uid=0))
        expected = (
            ERROR + "AccessDenied",
            "Method 'UpdateActivationEnvironment' is only available at the canonical object path "
            "'/org/freedesktop/DBus'",
        )
        assert desk.fails(root, "UpdateActivationEnvironment", path="/") == expected

    def test_any_path(self, desk: Desk, peer: Peer) -> None:
        reply, _ = desk.call(peer, "ListActivatableNames", path="/any/where")
        assert reply[0] == "reply"


class TestCheckingTheCall:
    @pytest.mark.parametrize(
        ("member", "given", "args", "expected"),
        [("ListNames", "s", ["x"], ""), ("RequestName", "", [], "su"), ("RequestName", "s", ["a.b"], "su")],
    )
    def test_wrong_arguments(
        self, desk: Desk, peer: Peer, member: str, given: str, args: list[Any], expected: str
    ) -> None:
        text = f"Call to {member} has wrong args ({given}, expected {expected})\n"
        assert desk.fails(peer, member, given, *args) == (ERROR + "InvalidArgs", text)

    def test_privileged(self, desk: Desk, peer: Peer) -> None:
        """Privileges are checked before the path and the arguments."""
        text = (
            "rejected attempt to call UpdateActivationEnvironment by connection :1.0 (uid=1000 pid=42)"
            " with uid 1000"
        )
        assert desk.fails(peer, "UpdateActivationEnvironment", path="/") == (ERROR + "AccessDenied", text)
        assert desk.log.lines == [text]

    def test_privileged_needs_a_known_uid(self, desk: Desk) -> None:
        peer = desk.attach(make_credentials(uid=None))
        assert desk.fails(peer, "UpdateActivationEnvironment")[1].endswith("with unknown uid")

    def test_only_hello_before_hello(self, desk: Desk) -> None:
        silent = desk.attach(hello=False)
        text = "Client tried to send a message other than Hello without being registered"
        assert desk.fails(silent, "ListNames") == (ERROR + "AccessDenied", text)

    def test_questions_before_hello(self, desk: Desk) -> None:
        """Root may ask what changes nothing, even if the bus has refused its Hello; others may not."""
        found = {
            f"{interface.name}.{method.name}"
            for interface in INTERFACES
            for method in interface.methods
            if method.before_hello
        }
        stats = {f"org.freedesktop.DBus.Debug.Stats.{name}" for name in ("GetStats", "GetAllMatchRules")}
        inspect = {f"org.omnibus.Inspect1.{method.name}" for method in INSPECT.methods}
        assert found == stats | inspect - {"org.omnibus.Inspect1.Trace"}
        root, stranger = (desk.attach(make_credentials(uid=uid), hello=False) for uid in (0, 1000))
        reply, _ = desk.call(root, "GetStatus", interface=INSPECT.name)
        assert reply[0] == "reply"
        assert desk.fails(stranger, "GetStatus", interface=INSPECT.name)[0] == ERROR + "AccessDenied"
        # Of another interface, or without one, it is another method.
        assert desk.fails(root, "GetStatus")[0] == ERROR + "AccessDenied"
        assert desk.fails(root, "GetStatus", interface=None)[0] == ERROR + "AccessDenied"
        assert desk.fails(root, "Hello", interface=INSPECT.name)[0] == ERROR + "AccessDenied"

    def test_calls_answered_by_the_data_plane(self, desk: Desk, peer: Peer) -> None:
        assert desk.fails(peer, "GetId")[0] == ERROR + "Failed"

    def test_big_endian(self, desk: Desk, peer: Peer) -> None:
        body = b"\0\0\0\7org.foo\0\0\0\0\0\0\0\0\4"
        event = FakeEvent(
            peer=peer.id, member="RequestName", signature="su", body=body[:12] + body[16:], big_endian=True
        )
        assert desk.happen(event)[0] == ("set_queue", "org.foo", (0,))


class TestOtherMessages:
    @pytest.mark.parametrize("kind", [2, 3, 4])
    def test_ignored(self, desk: Desk, peer: Peer, kind: int) -> None:
        """The bus ignores signals and replies sent to it; their sender is resumed."""
        assert desk.happen(FakeEvent(peer=peer.id, type=kind, member="Hello")) == [("resume", peer.id)]


class TestWithoutDestination:
    """A call without destination is handled by the bus's end of the connection, before Hello too."""

    @pytest.fixture(params=[True, False])
    def new_or_active(self, desk: Desk, request: pytest.FixtureRequest) -> Peer:
        return desk.attach(hello=request.param)

    def test_ping(self, desk: Desk, new_or_active: Peer) -> None:
        commands = desk.call(new_or_active, "Ping", interface=PEER, destination=None)
        assert commands == [("reply", new_or_active.id, 1, "", b""), ("resume", new_or_active.id)]

    def test_machine_id(self, desk: Desk, new_or_active: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("omnibus.daemon.driver.peer.read_machine_id", lambda: "0" * 32)
        reply, _ = desk.call(new_or_active, "GetMachineId", interface=PEER, destination=None)
        assert reply[3:5] == ("s", b"\x20\0\0\0" + b"0" * 32 + b"\0")

    def test_unknown_method_of_peer(self, desk: Desk, new_or_active: Peer) -> None:
        expected = (ERROR + "UnknownMethod", "Unknown method invoked on org.freedesktop.DBus.Peer interface")
        assert desk.fails(new_or_active, "Nope", interface=PEER, destination=None) == expected

    @pytest.mark.parametrize(("interface", "shown"), [("x.y", "x.y"), (None, "(null)")])
    def test_anything_else(self, desk: Desk, new_or_active: Peer, interface: str | None, shown: str) -> None:
        text = f'Method "ListNames" with signature "s" on interface "{shown}" doesn\'t exist\n'
        failure = desk.fails(new_or_active, "ListNames", "s", "x", interface=interface, destination=None)
        assert failure == (ERROR + "UnknownMethod", text)


class TestNoReplyExpected:
    def test_empty_reply(self, desk: Desk, peer: Peer) -> None:
        """An empty reply is suppressed."""
        assert desk.call(peer, "Ping", interface=PEER, destination=None, flags=1) == [("resume", peer.id)]

    def test_reply_with_a_result(self, desk: Desk, peer: Peer) -> None:
        """A reply with a result is sent nevertheless, as by the reference ..."""
        assert desk.call(peer, "ListActivatableNames", flags=1)[0][0] == "reply"

    def test_error(self, desk: Desk, peer: Peer) -> None:
        """... or an error."""
        assert desk.fails(peer, "Nope", flags=1)[0] == ERROR + "UnknownMethod"


class TestFailingHandler:
    def test_caller_is_resumed(self, desk: Desk, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> tuple[Method, None]:
            raise ZeroDivisionError("oops")

        monkeypatch.setattr(desk.bus.driver, "handle", fail)
        assert desk.fails(peer, "ListNames") == (ERROR + "Failed", "The message bus failed to answer")
        assert "oops" in desk.log.lines[0]

    def test_other_events_are_handled(self, desk: Desk, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A failure for one connection does not affect the others."""

        def fail(*_: object) -> None:
            raise ZeroDivisionError("oops")

        monkeypatch.setattr(desk.bus.activation, "park", fail)
        parked = FakeEvent(EventKind.PARKED, peer.id, parked=9, destination="org.example.Absent")
        desk.call(peer, "RequestName", "su", "org.example.Name", 0)
        delivered = FakeEvent(EventKind.PARKED, peer.id, parked=10, destination="org.example.Name")
        rejected = ("reject", 9, ERROR + "Failed", "The message bus failed to answer")
        assert desk.happen(parked, delivered) == [rejected, ("deliver", 10)]
        assert "oops" in desk.log.lines[0]


class TestLargeArguments:
    """Arguments that the reply does not depend on are not decoded; large ones are read in parts."""

    def test_set(self, desk: Desk, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
        def decode(*_: object) -> None:
            raise AssertionError("it was decoded")

        monkeypatch.setattr("omnibus.daemon.codec.Variant", decode)
        value = Variant("as", ["x"] * 1000)
        name, _ = desk.fails(peer, "Set", "ssv", BUS, "Features", value, interface=BUS + ".Properties")
        assert name == ERROR + "PropertyReadOnly"

    @pytest.mark.parametrize("order", [LITTLE, BIG])
    @pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 100])
    def test_strings(self, monkeypatch: pytest.MonkeyPatch, n: int, order: str) -> None:
        """Each string is read once, in parts, with any length and thus any alignment."""
        monkeypatch.setattr("omnibus.daemon.codec.STRINGS_AT_ONCE", 8)
        texts = ["x" * (i % 11) for i in range(n)]
        pairs = {f"{i}{text}": text for i, text in enumerate(texts)}
        for signature, values in (("as", texts), ("a{ss}", pairs)):
            body = memoryview(marshal(signature, (values,), order))
            found = list(read_strings(body, order == BIG, pairs=signature == "a{ss}"))
            assert all(len(some) == 8 for some in found[:-1])
            flat = [text for some in found for text in some]
            assert flat == (texts if signature == "as" else [text for pair in pairs.items() for text in pair])

    def test_truncated_array(self) -> None:
        with pytest.raises(ValueError, match="ends behind the body"):
            list(read_strings(memoryview(marshal("as", (["text"],))[:-1]), False))


class TestIntrospection:
    def interfaces(self, path: str) -> dict[str | None, ElementTree.Element]:
        root = ElementTree.fromstring(describe(Driver().at(path), path))
        return {child.get("name"): child for child in root if child.tag == "interface"}

    def test_every_method(self) -> None:
        """Parameters are single complete types."""
        for interface in INTERFACES:
            shown = self.interfaces(BUS_PATH)[interface.name]
            for method in interface.methods:
                (element,) = (one for one in shown.iter("method") if one.get("name") == method.name)
                for direction, signature in (("in", method.inputs), ("out", method.outputs)):
                    args = [arg.get("type") for arg in element if arg.get("direction") == direction]
                    assert "".join(str(arg) for arg in args) == signature

    def test_properties_and_signals(self) -> None:
        shown = self.interfaces(BUS_PATH)["org.freedesktop.DBus"]
        assert [one.get("name") for one in shown.iter("property")] == ["Features", "Interfaces"]
        assert {one.get("access") for one in shown.iter("property")} == {"read"}
        assert [one.get("name") for one in shown.iter("signal")] == [
            "NameOwnerChanged",
            "NameLost",
            "NameAcquired",
            "ActivatableServicesChanged",
        ]

    def test_named_arguments(self) -> None:
        (signal,) = self.interfaces(BUS_PATH)[PROPERTIES].iter("signal")
        assert [arg.get("name") for arg in signal] == [
            "interface_name",
            "changed_properties",
            "invalidated_properties",
        ]

    def test_other_path(self) -> None:
        assert set(self.interfaces("/x")) == {
            "org.freedesktop.DBus",
            "org.freedesktop.DBus.Introspectable",
            "org.freedesktop.DBus.Peer",
        }

    @pytest.mark.parametrize(
        ("path", "child"),
        [
            ("/", "org/freedesktop/DBus"),
            ("/org", "freedesktop/DBus"),
            ("/org/freedesktop", "DBus"),
            ("/x", None),
        ],
    )
    def test_parent_paths(self, path: str, child: str | None) -> None:
        root = ElementTree.fromstring(describe(Driver().at(path), path))
        assert [node.get("name") for node in root.iter("node") if node is not root] == (
            [child] if child else []
        )

    def test_introspect(self, desk: Desk, peer: Peer) -> None:
        reply, _ = desk.call(peer, "Introspect", interface="org.freedesktop.DBus.Introspectable", path="/org")
        assert describe(Driver().at("/org"), "/org").encode() in reply[4]

    def test_on_the_command_line(self) -> None:
        assert Driver().introspection() == describe(INTERFACES, BUS_PATH)
