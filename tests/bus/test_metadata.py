"""org.omnibus.Metadata1 (docs/using/metadata.md): what a connection says of itself, for others to ask."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from support.daemon import OPEN_POLICY, config
from support.driver import refused
from support.raw import BUS, INTROSPECTABLE, PROPERTIES, Client
from support.wire import BIG, Variant

from .conftest import Connect, StartDaemon

METADATA = "org.omnibus.Metadata1"
NAME = "org.example.Described"
UNPRIVILEGED = 65534
HOST = {"org.example.Host": Variant("s", "web")}
MAX_SIZE = 4096

pytestmark = pytest.mark.deviation("metadata")


def say(client: Client, metadata: dict[str, Variant], **options: Any) -> None:
    client.driver("SetMetadata", "a{sv}", metadata, interface=METADATA, **options)


def said(client: Client, name: str) -> Any:
    return client.driver("GetMetadata", "s", name, interface=METADATA)


class TestMetadata:
    def test_by_each_name(self, connect: Connect) -> None:
        client, other = connect(), connect()
        client.own(NAME)
        say(client, HOST)
        assert said(other, NAME) == said(other, client.unique) == HOST

    def test_of_each_type(self, connect: Connect) -> None:
        """As they are, in either byte order."""
        metadata = {
            "text": Variant("s", "…"),
            "numbers": Variant("ai", [1, -2]),
            "nested": Variant("a{sv}", {"path": Variant("o", "/a"), "bytes": Variant("ay", b"\0\xff")}),
            "pair": Variant("(tb)", (2**64 - 1, True)),
        }
        client, other = connect(), connect()
        say(client, metadata)
        before = said(other, client.unique)
        assert before.keys() == metadata.keys()
        assert (before["text"], before["numbers"]) == (metadata["text"], metadata["numbers"])
        assert before["nested"].value["path"] == Variant("o", "/a")
        say(client, metadata, order=BIG)
        assert said(other, client.unique) == before

    def test_nothing_is_said(self, connect: Connect) -> None:
        client = connect()
        assert said(client, client.unique) == said(client, BUS) == {}

    def test_again(self, connect: Connect) -> None:
        """What was said before is void."""
        client = connect()
        say(client, HOST)
        say(client, {"a": Variant("u", 1)})
        assert said(client, client.unique) == {"a": Variant("u", 1)}
        say(client, {})
        assert said(client, client.unique) == {}

    def test_order(self, connect: Connect) -> None:
        """Who gets what the connection sends next can ask already."""
        client, other = connect(), connect()
        client.start_call(
            BUS, "SetMetadata", "a{sv}", HOST, path="/org/freedesktop/DBus", interface=METADATA, flags=1
        )
        client.signal("Tick", destination=other.unique)
        other.take(member="Tick")
        assert said(other, client.unique) == HOST

    def test_the_end(self, connect: Connect) -> None:
        client, other = connect(), connect()
        say(client, HOST)
        other.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg2=''")
        client.close()
        other.expect(member="NameOwnerChanged", body=(client.unique, client.unique, ""))
        text = refused(other, "NameHasNoOwner", "GetMetadata", "s", client.unique, interface=METADATA)
        assert text == f"Could not get metadata of name '{client.unique}': no such name"


class TestLimits:
    def test_size(self, connect: Connect) -> None:
        """Of the marshalled argument; what is too long changes nothing."""
        client = connect()
        room = MAX_SIZE - (4 + 4 + 4 + 2 + 3 + 3 + 4 + 1)  # array, padding, key "a", signature "s", text
        for size in (room, room - 1):
            say(client, {"a": Variant("s", "x" * size)})
        say(client, HOST)
        text = refused(
            client,
            "LimitsExceeded",
            "SetMetadata",
            "a{sv}",
            {"a": Variant("s", "x" * (room + 1))},
            interface=METADATA,
        )
        assert text == f"The metadata have {MAX_SIZE + 1} bytes, and {MAX_SIZE} are allowed"
        assert said(client, client.unique) == HOST

    @pytest.mark.parametrize(
        "value",
        [Variant("h", 0), Variant("ah", []), Variant("v", Variant("h", 0)), Variant("av", [Variant("h", 0)])],
    )
    def test_no_descriptors(self, connect: Connect, value: Variant) -> None:
        """An index is that of one message."""
        client = connect()
        refused(client, "InvalidArgs", "SetMetadata", "a{sv}", {"a": value}, interface=METADATA)
        assert said(client, client.unique) == {}


ALLOW = f"<allow send_destination='{BUS}' send_interface='{METADATA}'/>"
ASK = f"<allow send_destination='{BUS}' send_interface='{METADATA}' send_member='GetMetadata'/>"


class TestPermission:
    """Root and the bus's own user say something of themselves; others by a rule that names the interface."""

    def client(self, start_daemon: StartDaemon, *rules: str) -> Client:
        if os.geteuid() != 0:
            pytest.skip("needs root: the client is another user's")
        text = OPEN_POLICY + "<policy context='mandatory'>" + "".join(rules) + "</policy>"
        bus = start_daemon(config("unix:path={dir}/bus", policy=text))
        bus.directory.chmod(0o755)
        say(bus.connect(), HOST)
        return bus.connect(uid=UNPRIVILEGED)

    @pytest.mark.parametrize("rules", [(), (ASK,)])
    def test_another_user(self, start_daemon: StartDaemon, rules: tuple[str, ...]) -> None:
        """It may ask all the same."""
        client = self.client(start_daemon, *rules)
        text = refused(client, "AccessDenied", "SetMetadata", "a{sv}", HOST, interface=METADATA)
        assert text.startswith(f"rejected attempt to call SetMetadata by connection {client.unique} (")
        assert said(client, client.unique) == {}

    def test_rule(self, start_daemon: StartDaemon) -> None:
        client = self.client(start_daemon, ALLOW)
        say(client, HOST)
        assert said(client, client.unique) == HOST

    def test_call_without_an_interface(self, start_daemon: StartDaemon) -> None:
        """No rule that names the interface applies to it."""
        client = self.client(start_daemon, ALLOW)
        refused(client, "AccessDenied", "SetMetadata", "a{sv}", HOST, interface=None)


class TestInterface:
    """It is the bus's, at its own path."""

    def test_introspection(self, connect: Connect) -> None:
        data = connect().driver("Introspect", interface=INTROSPECTABLE)
        (found,) = [one for one in ET.fromstring(data) if one.get("name") == METADATA]
        assert {one.get("name"): [arg.get("type") for arg in one] for one in found} == {
            "SetMetadata": ["a{sv}"],
            "GetMetadata": ["s", "a{sv}"],
        }

    def test_property(self, connect: Connect) -> None:
        assert METADATA in connect().driver("Get", "ss", BUS, "Interfaces", interface=PROPERTIES).value

    def test_wrong_calls(self, connect: Connect) -> None:
        client = connect()
        refused(client, "UnknownInterface", "SetMetadata", "a{sv}", {}, interface=METADATA, path="/elsewhere")
        refused(client, "UnknownInterface", "GetMetadata", "s", BUS, interface=METADATA, path="/elsewhere")
        for member in ("SetMetadata", "GetMetadata"):
            refused(client, "InvalidArgs", member, "u", 1, interface=METADATA)
