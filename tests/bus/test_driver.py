"""Specification, "Message Bus Messages": the methods of org.freedesktop.DBus, their arguments and their errors."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.daemon import Daemon
from support.message import Flag
from support.raw import BUS, BUS_PATH, PEER, PROPERTIES, BusError, Client
from support.wire import Variant

from .conftest import Connect

ERROR = "org.freedesktop.DBus.Error."
INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
# What each method takes.
ARGUMENTS = {
    "Hello": "",
    "RequestName": "su",
    "ReleaseName": "s",
    "StartServiceByName": "su",
    "UpdateActivationEnvironment": "a{ss}",
    "NameHasOwner": "s",
    "ListNames": "",
    "ListActivatableNames": "",
    "AddMatch": "s",
    "RemoveMatch": "s",
    "GetNameOwner": "s",
    "ListQueuedOwners": "s",
    "GetConnectionUnixUser": "s",
    "GetConnectionUnixProcessID": "s",
    "GetAdtAuditSessionData": "s",
    "GetConnectionSELinuxSecurityContext": "s",
    "ReloadConfig": "",
    "GetId": "",
    "GetConnectionCredentials": "s",
}
# Methods that are about one connection, and what their error calls that.
ABOUT_A_CONNECTION = {
    "GetNameOwner": "owner",
    "ListQueuedOwners": "owners",
    "GetConnectionUnixUser": "UID",
    "GetConnectionUnixProcessID": "PID",
    "GetConnectionCredentials": "credentials",
    "GetAdtAuditSessionData": "audit session data",
    "GetConnectionSELinuxSecurityContext": "security context",
}


def refused(client: Client, error: str, *call: object, **options: object) -> str:
    """Make a call of the bus that must fail with this error, and return the text."""
    with pytest.raises(BusError) as caught:
        client.driver(*call, **options)  # type: ignore[arg-type]
    assert caught.value.name == ERROR + error
    return caught.value.text


class TestArguments:
    @pytest.mark.parametrize("member", ARGUMENTS)
    def test_wrong(self, client: Client, member: str) -> None:
        """A call with other arguments than those of the method: InvalidArgs, which says what was expected."""
        expected = ARGUMENTS[member]
        calls: list[tuple[str, tuple[object, ...]]] = [("", ()), ("u", (1,)), ("ss", ("a", "b")), ("o", ("/a",))]
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
        """A call without an interface may mean any that has the method."""
        assert len(client.driver("GetId", interface=None)) == 32
        assert client.driver("Ping", interface=None) is None
        assert client.driver("GetAll", "s", BUS, interface=None)
        assert refused(client, "UnknownMethod", "NoSuchMethod", interface=None)

    def test_no_reply_expected(self, client: Client, other: Client) -> None:
        """NO_REPLY_EXPECTED: it is done, and where the reply would be empty there is none."""
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
        """Errors are told nevertheless, as in the reference."""
        serial = client.start_call(
            BUS, "NoSuchMethod", interface=BUS, path=BUS_PATH, flags=Flag.NO_REPLY_EXPECTED
        )
        assert client.expect_error(serial, ERROR + "UnknownMethod")


class TestPaths:
    @pytest.mark.parametrize("path", ["/", "/org/freedesktop", "/org/freedesktop/DBus/sub", "/x"])
    def test_any(self, client: Client, path: str, name: str) -> None:
        """The older methods are at every path."""
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
        """What isn't for everybody is at /org/freedesktop/DBus only."""
        text = refused(client, "AccessDenied", member, "a{ss}", {"A": "b"}, path="/")
        assert text == f"Method '{member}' is only available at the canonical object path '{BUS_PATH}'"

    def test_properties(self, client: Client) -> None:
        """Properties are at the canonical path."""
        text = refused(client, "UnknownInterface", "Get", "ss", BUS, "Features", interface=PROPERTIES, path="/")
        assert text == f"{BUS} does not understand message Get"


class TestNameHasOwner:
    def test_names(self, client: Client, name: str) -> None:
        """NameHasOwner: whether somebody owns the name, unique or not."""
        client.own(name)
        for owned in (client.unique, BUS, name):
            assert client.driver("NameHasOwner", "s", owned) is True

    @pytest.mark.parametrize("absent", ["org.example.Nobody", ":1.99999", "bad", "", "!", "a." + "b" * 300])
    def test_not_owned(self, client: Client, absent: str) -> None:
        """What can't be a name has no owner."""
        assert client.driver("NameHasOwner", "s", absent) is False


class TestGetNameOwner:
    def test_names(self, client: Client, name: str) -> None:
        """GetNameOwner: the unique name of the primary owner; the bus itself owns its own name."""
        client.own(name)
        assert client.driver("GetNameOwner", "s", name) == client.unique
        assert client.driver("GetNameOwner", "s", client.unique) == client.unique
        assert client.driver("GetNameOwner", "s", BUS) == BUS

    @pytest.mark.parametrize("member", ABOUT_A_CONNECTION)
    @pytest.mark.parametrize("absent", ["org.example.Nobody", ":1.99999", "bad", ""])
    def test_no_owner(self, client: Client, member: str, absent: str) -> None:
        """Without an owner: NameHasNoOwner."""
        text = refused(client, "NameHasNoOwner", member, "s", absent)
        assert text == f"Could not get {ABOUT_A_CONNECTION[member]} of name '{absent}': no such name"


class TestListNames:
    def test_all(self, client: Client, other: Client, name: str) -> None:
        """ListNames: all names that are owned, unique and well-known, and the bus's own."""
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
        """ListQueuedOwners: the owner first, then those who wait, in their order."""
        third = connect()
        for one in (other, client, third):
            one.own(name)
        assert client.driver("ListQueuedOwners", "s", name) == [other.unique, client.unique, third.unique]
        assert client.driver("ListQueuedOwners", "s", client.unique) == [client.unique]
        assert client.driver("ListQueuedOwners", "s", BUS) == [BUS]

    def test_activatable(self, client: Client) -> None:
        """ListActivatableNames: without service directories only the bus itself."""
        assert client.driver("ListActivatableNames") == [BUS]


class TestCredentials:
    def test_user(self, client: Client, name: str) -> None:
        """GetConnectionUnixUser: the user at the other end."""
        client.own(name)
        for one in (client.unique, name, BUS):
            assert client.driver("GetConnectionUnixUser", "s", one) == os.geteuid()

    def test_another_user(self, bus: Daemon, client: Client, unprivileged: int) -> None:
        stranger = bus.connect(uid=unprivileged)
        assert client.driver("GetConnectionUnixUser", "s", stranger.unique) == unprivileged
        credentials = client.driver("GetConnectionCredentials", "s", stranger.unique)
        assert credentials["UnixUserID"] == Variant("u", unprivileged)

    def test_process(self, bus: Daemon, client: Client) -> None:
        """GetConnectionUnixProcessID: the process at the other end, and the bus's own."""
        assert client.driver("GetConnectionUnixProcessID", "s", client.unique) == os.getpid()
        assert client.driver("GetConnectionUnixProcessID", "s", BUS) == bus.pid

    def test_credentials(self, client: Client, name: str) -> None:
        """GetConnectionCredentials: UnixUserID, ProcessID, UnixGroupIDs in numerical order."""
        client.own(name)
        for one in (client.unique, name):
            credentials = client.driver("GetConnectionCredentials", "s", one)
            assert credentials["UnixUserID"] == Variant("u", os.geteuid())
            assert credentials["ProcessID"] == Variant("u", os.getpid())
            assert credentials["UnixGroupIDs"] == Variant("au", sorted({os.getegid(), *os.getgroups()}))

    def test_credentials_of_the_bus(self, bus: Daemon, client: Client) -> None:
        credentials = client.driver("GetConnectionCredentials", "s", BUS)
        assert credentials["UnixUserID"] == Variant("u", os.geteuid())
        assert credentials["ProcessID"] == Variant("u", bus.pid)

    def test_security_label(self, client: Client) -> None:
        """LinuxSecurityLabel: bytes that end in NUL, if the kernel has one."""
        label = Path("/proc/self/attr/current")
        try:
            there = bool(label.read_bytes())
        except OSError:
            there = False
        credentials = client.driver("GetConnectionCredentials", "s", client.unique)
        assert ("LinuxSecurityLabel" in credentials) == there
        if there:
            assert credentials["LinuxSecurityLabel"].value.endswith(b"\0")

    @pytest.mark.deviation("process-fd")
    def test_process_descriptor(self, client: Client) -> None:
        """ProcessFD: a descriptor of the process, if the client can take one."""
        reply = client.call(BUS, "GetConnectionCredentials", "s", client.unique, interface=BUS, path=BUS_PATH)
        credentials = reply.body[0]
        assert credentials["ProcessFD"].signature == "h"
        descriptor = reply.fds[credentials["ProcessFD"].value]
        assert f"Pid:\t{os.getpid()}\n" in Path(f"/proc/self/fdinfo/{descriptor}").read_text()

    def test_no_descriptor_for_who_cannot_take_it(self, connect: Connect) -> None:
        client = connect(unix_fds=False)
        reply = client.call(BUS, "GetConnectionCredentials", "s", client.unique, interface=BUS, path=BUS_PATH)
        assert "ProcessFD" not in reply.body[0]
        assert not reply.unix_fds

    def test_selinux(self, client: Client) -> None:
        """GetConnectionSELinuxSecurityContext: without SELinux there is none."""
        if Path("/sys/fs/selinux/enforce").exists():
            pytest.skip("SELinux is there")
        for one in (client.unique, BUS):
            text = refused(client, "SELinuxSecurityContextUnknown", "GetConnectionSELinuxSecurityContext", "s", one)
            assert text == f"Could not determine security context for '{one}'"

    def test_audit(self, client: Client) -> None:
        """GetAdtAuditSessionData is of Solaris."""
        for one in (client.unique, BUS):
            text = refused(client, "AdtAuditDataUnknown", "GetAdtAuditSessionData", "s", one)
            assert text == f"Could not determine audit session data for '{one}'"

    @pytest.mark.deviation("unknown-user")
    def test_user_without_an_account(self, bus: Daemon, client: Client, unprivileged: int) -> None:
        stranger = bus.connect(uid=54321)
        assert client.driver("GetConnectionUnixUser", "s", stranger.unique) == 54321


class TestGetId:
    def test_form(self, client: Client, other: Client) -> None:
        """GetId: 32 hex digits, the same for everybody."""
        assert client.driver("GetId") == other.driver("GetId")
        assert bytes.fromhex(client.driver("GetId"))


class TestStartServiceByName:
    @pytest.mark.parametrize("absent", ["org.example.Nobody", ":1.99999", "bad"])
    def test_unknown(self, client: Client, absent: str) -> None:
        """StartServiceByName: what nothing provides can't be started."""
        text = refused(client, "ServiceUnknown", "StartServiceByName", "su", absent, 0)
        assert text == f"The name {absent} was not provided by any .service files"


class TestReloadConfig:
    def test_reload(self, client: Client, other: Client, name: str) -> None:
        """ReloadConfig: an empty reply when it is done; names and rules stay."""
        client.own(name)
        other.match(f"sender='{name}'")
        assert other.driver("ReloadConfig") is None
        assert other.driver("GetNameOwner", "s", name) == client.unique
        client.signal("News")
        other.expect(member="News")

    def test_calls_during_a_reload(self, client: Client, other: Client) -> None:
        """Everybody else is served meanwhile, and the caller's next messages come after it."""
        serial = client.start_call(BUS, "ReloadConfig", interface=BUS, path=BUS_PATH)
        client.signal("News", destination=other.unique)
        assert other.driver("GetId")
        other.take(member="News")
        assert client.reply_to(serial).body == ()

    def test_new_policy(self, start_daemon: Callable[..., Daemon]) -> None:
        """A new policy is in force when the reply is there, also for those who are connected."""
        daemon = start_daemon()
        client = daemon.connect()
        path = daemon.directory / "bus.conf"
        text = path.read_text()
        denied = '<policy context="mandatory"><deny own="org.example.Denied"/></policy></busconfig>'
        assert client.own("org.example.Denied") == 1
        assert client.driver("ReleaseName", "s", "org.example.Denied") == 1
        path.write_text(text.replace("</busconfig>", denied))
        client.driver("ReloadConfig")
        assert refused(client, "AccessDenied", "RequestName", "su", "org.example.Denied", 0)
        path.write_text(text)
        client.driver("ReloadConfig")
        assert client.driver("RequestName", "su", "org.example.Denied", 0) == 1

    def test_bad_file(self, start_daemon: Callable[..., Daemon]) -> None:
        """A bad file changes nothing, and the error says why."""
        daemon = start_daemon()
        client = daemon.connect()
        (daemon.directory / "bus.conf").write_text("<busconfig>\n<type>session</typo></busconfig>")
        with pytest.raises(BusError, match=r"line 2.*mismatched tag"):
            client.driver("ReloadConfig")
        assert client.own("org.example.Name") == 1


class TestProperties:
    """org.freedesktop.DBus.Properties of the bus: Features and Interfaces, both of them constant."""

    def test_features(self, client: Client) -> None:
        """Features: abilities of this bus, such as HeaderFiltering."""
        features = client.driver("Get", "ss", BUS, "Features", interface=PROPERTIES)
        assert features.signature == "as"
        assert "HeaderFiltering" in features.value

    def test_interfaces(self, client: Client) -> None:
        """Interfaces: the further interfaces of the bus, each of which can be introspected."""
        interfaces = client.driver("Get", "ss", BUS, "Interfaces", interface=PROPERTIES)
        assert interfaces.signature == "as"
        xml = ElementTree.fromstring(client.driver("Introspect", interface=INTROSPECTABLE))
        always = {BUS, PROPERTIES, INTROSPECTABLE, PEER}
        assert {interface.get("name") for interface in xml.iter("interface")} == {*interfaces.value, *always}
        assert "org.freedesktop.DBus.Verbose" not in interfaces.value

    def test_all(self, client: Client) -> None:
        found = client.driver("GetAll", "s", BUS, interface=PROPERTIES)
        assert set(found) == {"Features", "Interfaces"}
        for property in found:
            assert found[property] == client.driver("Get", "ss", BUS, property, interface=PROPERTIES)

    def test_all_of_an_interface_without(self, client: Client) -> None:
        for interface in (PROPERTIES, PEER, INTROSPECTABLE):
            assert client.driver("GetAll", "s", interface, interface=PROPERTIES) == {}

    def test_unknown(self, client: Client) -> None:
        text = refused(client, "UnknownProperty", "Get", "ss", BUS, "Nothing", interface=PROPERTIES)
        assert text == f'Property "{BUS}.Nothing" not found'
        text = refused(client, "UnknownProperty", "Set", "ssv", BUS, "No", Variant("s", "x"), interface=PROPERTIES)
        assert text == f'Property "{BUS}.No" not found'

    def test_unknown_interface(self, client: Client) -> None:
        for call in (("Get", "ss", "a.b", "X"), ("GetAll", "s", "a.b"), ("Set", "ssv", "a.b", "X", Variant("y", 1))):
            assert refused(client, "UnknownInterface", *call, interface=PROPERTIES) == 'Interface "a.b" not found'

    def test_read_only(self, client: Client) -> None:
        for property in ("Features", "Interfaces"):
            value = Variant("as", [])
            text = refused(client, "PropertyReadOnly", "Set", "ssv", BUS, property, value, interface=PROPERTIES)
            assert text == f"Property '{BUS}.{property}' cannot be set"


class TestIntrospect:
    def xml(self, client: Client, path: str) -> ElementTree.Element:
        return ElementTree.fromstring(client.driver("Introspect", interface=INTROSPECTABLE, path=path))

    def test_methods(self, client: Client) -> None:
        """Every method with its arguments."""
        (interface,) = (one for one in self.xml(client, BUS_PATH) if one.get("name") == BUS)
        found = {
            method.get("name"): "".join(arg.get("type", "") for arg in method if arg.get("direction") == "in")
            for method in interface.iter("method")
        }
        assert found == ARGUMENTS

    def test_signals(self, client: Client) -> None:
        (interface,) = (one for one in self.xml(client, BUS_PATH) if one.get("name") == BUS)
        signals = {one.get("name"): [arg.get("type") for arg in one] for one in interface.iter("signal")}
        assert signals["NameOwnerChanged"] == ["s"] * 3
        assert signals["NameLost"] == signals["NameAcquired"] == ["s"]

    def test_properties(self, client: Client) -> None:
        (interface,) = (one for one in self.xml(client, BUS_PATH) if one.get("name") == BUS)
        found = {one.get("name"): (one.get("type"), one.get("access")) for one in interface.iter("property")}
        assert found == {"Features": ("as", "read"), "Interfaces": ("as", "read")}

    def test_what_it_says_is_there(self, client: Client) -> None:
        """Whatever is listed can be called: no UnknownMethod, no UnknownInterface."""
        for interface in self.xml(client, BUS_PATH):
            for method in interface.iter("method"):
                try:
                    client.driver(str(method.get("name")), "x", 1, interface=interface.get("name"))
                except BusError as error:
                    assert error.name == ERROR + "InvalidArgs"

    @pytest.mark.parametrize(
        ("path", "node"),
        [("/", "org/freedesktop/DBus"), ("/org", "freedesktop/DBus"), ("/org/freedesktop", "DBus"), ("/x", None)],
    )
    def test_tree(self, client: Client, path: str, node: str | None) -> None:
        """At the paths above, the way to the bus's object is shown, and only what works there."""
        xml = self.xml(client, path)
        assert [one.get("name") for one in xml.iter("node")][1:] == ([node] if node else [])
        assert {one.get("name") for one in xml.iter("interface")} == {BUS, INTROSPECTABLE, PEER}

    def test_doctype(self, client: Client) -> None:
        text = client.driver("Introspect", interface=INTROSPECTABLE)
        assert text.startswith('<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"')


class TestPeer:
    """org.freedesktop.DBus.Peer"""

    def test_ping(self, client: Client) -> None:
        """Ping: an empty reply."""
        assert client.driver("Ping", interface=PEER) is None

    def test_machine_id(self, client: Client) -> None:
        """GetMachineId: the hex-encoded UUID of the machine."""
        files = [Path("/var/lib/dbus/machine-id"), Path("/etc/machine-id")]
        ids = [path.read_text().strip() for path in files if path.exists()]
        if not ids:
            pytest.skip("this machine has no ID")
        assert client.driver("GetMachineId", interface=PEER) == ids[0]
