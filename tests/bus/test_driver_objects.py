"""Properties, introspection and Peer of org.freedesktop.DBus."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from support.driver import ARGUMENTS, refused
from support.raw import BUS, BUS_PATH, ERROR, INTROSPECTABLE, PEER, PROPERTIES, BusError, Client
from support.wire import Variant


class TestProperties:
    """org.freedesktop.DBus.Properties of the bus: Features and Interfaces, both of them constant."""

    def test_features(self, client: Client) -> None:
        """Features: capabilities of this bus, such as HeaderFiltering."""
        features = client.driver("Get", "ss", BUS, "Features", interface=PROPERTIES)
        assert features.signature == "as"
        assert {"ActivatableServicesChanged", "HeaderFiltering"} <= set(features.value)
        assert "SystemdActivation" not in features.value

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
        text = refused(
            client, "UnknownProperty", "Set", "ssv", BUS, "No", Variant("s", "x"), interface=PROPERTIES
        )
        assert text == f'Property "{BUS}.No" not found'

    def test_unknown_interface(self, client: Client) -> None:
        for call in (
            ("Get", "ss", "a.b", "X"),
            ("GetAll", "s", "a.b"),
            ("Set", "ssv", "a.b", "X", Variant("y", 1)),
        ):
            assert (
                refused(client, "UnknownInterface", *call, interface=PROPERTIES)
                == 'Interface "a.b" not found'
            )

    def test_read_only(self, client: Client) -> None:
        for property in ("Features", "Interfaces"):
            value = Variant("as", [])
            text = refused(
                client, "PropertyReadOnly", "Set", "ssv", BUS, property, value, interface=PROPERTIES
            )
            assert text == f"Property '{BUS}.{property}' cannot be set"


class TestIntrospect:
    def xml(self, client: Client, path: str) -> ElementTree.Element:
        return ElementTree.fromstring(client.driver("Introspect", interface=INTROSPECTABLE, path=path))

    def test_methods(self, client: Client) -> None:
        """Every method is listed with its arguments."""
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
        (interface,) = (one for one in self.xml(client, BUS_PATH) if one.get("name") == PROPERTIES)
        (signal,) = interface.iter("signal")
        assert signal.get("name") == "PropertiesChanged"
        assert [arg.get("type") for arg in signal] == ["s", "a{sv}", "as"]

    def test_properties(self, client: Client) -> None:
        (interface,) = (one for one in self.xml(client, BUS_PATH) if one.get("name") == BUS)
        found = {one.get("name"): (one.get("type"), one.get("access")) for one in interface.iter("property")}
        assert found == {"Features": ("as", "read"), "Interfaces": ("as", "read")}

    def test_everything_listed_exists(self, client: Client) -> None:
        """Everything listed can be called: no UnknownMethod, no UnknownInterface."""
        for interface in self.xml(client, BUS_PATH):
            for method in interface.iter("method"):
                try:
                    client.driver(str(method.get("name")), "x", 1, interface=interface.get("name"))
                except BusError as error:
                    assert error.name == ERROR + "InvalidArgs"

    @pytest.mark.parametrize(
        ("path", "node"),
        [
            ("/", "org/freedesktop/DBus"),
            ("/org", "freedesktop/DBus"),
            ("/org/freedesktop", "DBus"),
            ("/x", None),
        ],
    )
    def test_tree(self, client: Client, path: str, node: str | None) -> None:
        """The paths above lead to the bus's object, and list only the interfaces that work there."""
        xml = self.xml(client, path)
        assert [one.get("name") for one in xml.iter("node")][1:] == ([node] if node else [])
        assert {one.get("name") for one in xml.iter("interface")} == {BUS, INTROSPECTABLE, PEER}

    def test_doctype(self, client: Client) -> None:
        text = client.driver("Introspect", interface=INTROSPECTABLE)
        assert text.startswith(
            '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"'
        )


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
