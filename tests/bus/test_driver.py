"""Specification, "Message Bus Messages": the methods of org.freedesktop.DBus and their errors."""

from __future__ import annotations

import os

import pytest

from support.daemon import Daemon
from support.driver import ARGUMENTS, refused
from support.message import Flag
from support.raw import BUS, BUS_PATH, ERROR, INTROSPECTABLE, PEER, PROPERTIES, Client

from .conftest import Connect

# Methods about one connection, and the subject of their errors.
ABOUT_A_CONNECTION = {
    "GetNameOwner": "owner",
    "ListQueuedOwners": "owners",
    "GetConnectionUnixUser": "UID",
    "GetConnectionUnixProcessID": "PID",
    "GetConnectionCredentials": "credentials",
    "GetAdtAuditSessionData": "audit session data",
    "GetConnectionSELinuxSecurityContext": "security context",
}


class TestArguments:
    @pytest.mark.parametrize("member", ARGUMENTS)
    def test_wrong(self, client: Client, member: str) -> None:
        """A call with wrong arguments: InvalidArgs, with the expected signature."""
        expected = ARGUMENTS[member]
        calls: list[tuple[str, tuple[object, ...]]] = [
            ("", ()),
            ("u", (1,)),
            ("ss", ("a", "b")),
            ("o", ("/a",)),
        ]
        for signature, body in calls:
            if signature != expected:
                text = refused(client, "InvalidArgs", member, signature, *body)
                assert text == f"Call to {member} has wrong args ({signature}, expected {expected})"

    @pytest.mark.parametrize("member", ["Ping", "GetMachineId"])
    def test_peer(self, client: Client, member: str) -> None:
        text = refused(client, "InvalidArgs", member, "s", "x", interface=PEER)
        assert text == f"Call to {member} has wrong args (s, expected )"

    def test_properties(self, client: Client) -> None:
        text = refused(client, "InvalidArgs", "Get", "s", BUS, interface=PROPERTIES)
        assert text == "Call to Get has wrong args (s, expected ss)"


class TestUnknown:
    def test_method(self, client: Client) -> None:
        text = refused(client, "UnknownMethod", "NoSuchMethod")
        assert text == f"{BUS} does not understand message NoSuchMethod"

    def test_method_of_another_interface(self, client: Client) -> None:
        assert refused(client, "UnknownMethod", "GetId", interface=PROPERTIES)
        assert refused(client, "UnknownMethod", "Ping")

    def test_interface(self, client: Client) -> None:
        text = refused(client, "UnknownInterface", "GetId", interface="org.example.Interface")
        assert text == f"{BUS} does not understand message GetId"

    def test_without_interface(self, client: Client) -> None:
        """A call without an interface may mean any interface that has the method."""
        assert len(client.driver("GetId", interface=None)) == 32
        assert client.driver("Ping", interface=None) is None
        assert client.driver("GetAll", "s", BUS, interface=None)
        assert refused(client, "UnknownMethod", "NoSuchMethod", interface=None)

    def test_no_reply_expected(self, client: Client, other: Client) -> None:
        """NO_REPLY_EXPECTED: the call is executed without an empty reply."""
        rule = "type='signal',member='News'"
        for member, signature, body, interface in (
            ("AddMatch", "s", (rule,), BUS),
            ("AddMatch", "s", (rule,), BUS),
            ("RemoveMatch", "s", (rule,), BUS),
            ("Ping", "", (), PEER),
        ):
            flags = Flag.NO_REPLY_EXPECTED
            client.start_call(BUS, member, signature, *body, interface=interface, path=BUS_PATH, flags=flags)
        client.expect_nothing()
        other.signal("News")
        client.expect(member="News")

    def test_error_although_no_reply_expected(self, client: Client) -> None:
        """Errors are sent nevertheless, as by the reference."""
        serial = client.start_call(
            BUS, "NoSuchMethod", interface=BUS, path=BUS_PATH, flags=Flag.NO_REPLY_EXPECTED
        )
        assert client.expect_error(serial, ERROR + "UnknownMethod")


class TestPaths:
    @pytest.mark.parametrize("path", ["/", "/org/freedesktop", "/org/freedesktop/DBus/sub", "/x"])
    def test_any(self, client: Client, path: str, name: str) -> None:
        """The older methods are available on every path."""
        assert client.driver("RequestName", "su", name, 0, path=path) == 1
        assert client.driver("GetNameOwner", "s", name, path=path) == client.unique
        assert name in client.driver("ListNames", path=path)
        assert client.driver("NameHasOwner", "s", name, path=path) is True
        assert client.driver("ListQueuedOwners", "s", name, path=path) == [client.unique]
        assert client.driver("GetConnectionUnixUser", "s", name, path=path) == os.geteuid()
        assert client.driver("GetConnectionCredentials", "s", name, path=path)
        assert client.driver("AddMatch", "s", "type='error'", path=path) is None
        assert client.driver("RemoveMatch", "s", "type='error'", path=path) is None
        assert client.driver("ReleaseName", "s", name, path=path) == 1
        assert client.driver("GetId", path=path)
        assert client.driver("Ping", interface=PEER, path=path) is None
        assert client.driver("GetMachineId", interface=PEER, path=path)
        assert client.driver("Introspect", interface=INTROSPECTABLE, path=path)

    @pytest.mark.parametrize("member", ["UpdateActivationEnvironment"])
    def test_only_canonical(self, client: Client, member: str) -> None:
        """Privileged methods are available on /org/freedesktop/DBus only."""
        text = refused(client, "AccessDenied", member, "a{ss}", {"A": "b"}, path="/")
        assert text == f"Method '{member}' is only available at the canonical object path '{BUS_PATH}'"

    def test_properties(self, client: Client) -> None:
        """Properties are available on the canonical path."""
        text = refused(
            client, "UnknownInterface", "Get", "ss", BUS, "Features", interface=PROPERTIES, path="/"
        )
        assert text == f"{BUS} does not understand message Get"


class TestNameHasOwner:
    def test_names(self, client: Client, name: str) -> None:
        """NameHasOwner: whether the name has an owner, unique or not."""
        client.own(name)
        for owned in (client.unique, BUS, name):
            assert client.driver("NameHasOwner", "s", owned) is True

    @pytest.mark.parametrize("absent", ["org.example.Absent", ":1.99999", "bad", "", "!", "a." + "b" * 300])
    def test_not_owned(self, client: Client, absent: str) -> None:
        """An invalid name has no owner."""
        assert client.driver("NameHasOwner", "s", absent) is False


class TestGetNameOwner:
    def test_names(self, client: Client, name: str) -> None:
        """GetNameOwner: the unique name of the primary owner; the bus itself owns its own name."""
        client.own(name)
        assert client.driver("GetNameOwner", "s", name) == client.unique
        assert client.driver("GetNameOwner", "s", client.unique) == client.unique
        assert client.driver("GetNameOwner", "s", BUS) == BUS

    @pytest.mark.parametrize("member", ABOUT_A_CONNECTION)
    @pytest.mark.parametrize("absent", ["org.example.Absent", ":1.99999", "bad", ""])
    def test_no_owner(self, client: Client, member: str, absent: str) -> None:
        """Without an owner: NameHasNoOwner."""
        text = refused(client, "NameHasNoOwner", member, "s", absent)
        assert text == f"Could not get {ABOUT_A_CONNECTION[member]} of name '{absent}': no such name"


class TestListNames:
    def test_all(self, client: Client, other: Client, name: str) -> None:
        """ListNames: all owned names, unique and well-known, including that of the bus."""
        other.own(name)
        names = client.driver("ListNames")
        assert {BUS, client.unique, other.unique, name} <= set(names)
        assert len(names) == len(set(names))

    def test_not_those_without_hello(self, bus: Daemon, client: Client) -> None:
        before = set(client.driver("ListNames"))
        bus.connect(hello=False)
        assert set(client.driver("ListNames")) == before

    def test_many(self, client: Client, connect: Connect) -> None:
        others = [connect() for _ in range(50)]
        assert {other.unique for other in others} <= set(client.driver("ListNames"))

    def test_queued(self, client: Client, other: Client, connect: Connect, name: str) -> None:
        """ListQueuedOwners: the primary owner first, then the queue in order."""
        third = connect()
        for one in (other, client, third):
            one.own(name)
        assert client.driver("ListQueuedOwners", "s", name) == [other.unique, client.unique, third.unique]
        assert client.driver("ListQueuedOwners", "s", client.unique) == [client.unique]
        assert client.driver("ListQueuedOwners", "s", BUS) == [BUS]

    def test_activatable(self, client: Client) -> None:
        """ListActivatableNames: without service directories the bus only."""
        assert client.driver("ListActivatableNames") == [BUS]


class TestGetId:
    def test_form(self, client: Client, other: Client) -> None:
        """GetId: 32 hex digits, the same for all clients."""
        assert client.driver("GetId") == other.driver("GetId")
        assert bytes.fromhex(client.driver("GetId"))


class TestStartServiceByName:
    @pytest.mark.parametrize("absent", ["org.example.Absent", ":1.99999", "bad"])
    def test_unknown(self, client: Client, absent: str) -> None:
        """StartServiceByName: a name without a service file can't be started."""
        text = refused(client, "ServiceUnknown", "StartServiceByName", "su", absent, 0)
        assert text == f"The name {absent} was not provided by any .service files"
