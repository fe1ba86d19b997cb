"""omnibusctl log-level, and org.freedesktop.LogControl1 (org.freedesktop.LogControl1(5)), which it sets."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from omnibus.daemon.logging import LEVELS
from support.daemon import Daemon
from support.raw import BUS, BUS_PATH, ERROR, INTROSPECTABLE, PROPERTIES, Client
from support.wire import Variant

from .conftest import Ctl, StartBus, ask, program

PATH = "/org/freedesktop/LogControl1"
CONTROL = "org.freedesktop.LogControl1"
LIKE_DEBIAN = f"""<policy context="default">
  <allow user="*"/>
  <deny own="*"/>
  <deny send_type="method_call"/>
  <allow send_type="signal"/>
  <allow receive_type="method_call"/><allow receive_type="method_return"/>
  <allow receive_type="error"/><allow receive_type="signal"/>
  <allow send_destination="{BUS}" send_interface="{BUS}"/>
  <allow send_destination="{BUS}" send_interface="{PROPERTIES}"/>
</policy>
<policy user="root"><allow send_destination="{BUS}"/></policy>"""


def call(client: Client, member: str, signature: str, *values: Any, path: str = PATH) -> int:
    return client.start_call(BUS, member, signature, *values, interface=PROPERTIES, path=path)


def fails(client: Client, error: str, *arguments: Any, path: str = PATH) -> str:
    return client.expect_error(call(client, *arguments, path=path), ERROR + error)


class TestVerb:
    def test_show_and_set(self, ctl: Ctl, bus: Daemon) -> None:
        assert ask(ctl, bus, "log-level").out == "info\n"
        for level in LEVELS:
            assert ask(ctl, bus, "log-level", level).code == 0
            assert ask(ctl, bus, "log-level").out == f"{level}\n"

    def test_json(self, ctl: Ctl, bus: Daemon) -> None:
        assert ctl("--json", "--address", bus.address, "log-level", "err").json() == {"level": "err"}

    def test_no_level(self, ctl: Ctl, bus: Daemon) -> None:
        assert ask(ctl, bus, "log-level", "loud").code == 2

    def test_other_bus(self, ctl: Ctl, start_bus: StartBus) -> None:
        done = ask(ctl, start_bus(executable="/usr/bin/dbus-daemon"), "log-level")
        assert done.code == 5
        assert "omnibusd has" in done.err

    @pytest.mark.parametrize("policy", [LIKE_DEBIAN, None])
    @pytest.mark.parametrize("level", [(), ("debug",)])
    def test_stranger(
        self, start_bus: StartBus, unprivileged: int, policy: str | None, level: tuple[str, ...]
    ) -> None:
        """The policies of distributions let every user ask for the bus's properties: the bus refuses."""
        bus = start_bus() if policy is None else start_bus(policy=policy)
        who = {"user": unprivileged, "group": unprivileged, "extra_groups": []}
        done = program("--address", bus.address, "log-level", *level, **who)
        assert done.code == 4
        assert "rejected attempt to call" in done.err

    def test_root_on_a_system_bus(self, ctl: Ctl, start_bus: StartBus) -> None:
        assert ask(ctl, start_bus(policy=LIKE_DEBIAN), "log-level", "debug").code == 0


class TestLines:
    def deny(self, bus: Daemon) -> None:
        client, other = bus.connect(), bus.connect()
        client.expect_error(client.start_call(other.unique, "M"), f"{ERROR}AccessDenied")

    def test_warning(self, ctl: Ctl, start_bus: StartBus) -> None:
        """Denials are notices: not in the log any more, but the bus still tells of them."""
        bus = start_bus(policy=LIKE_DEBIAN)
        ask(ctl, bus, "log-level", "warning")
        self.deny(bus)
        bus.connect().driver("GetId")
        assert "Rejected send message" in ask(ctl, bus, "log").out
        assert "Rejected send message" not in bus.stderr
        ask(ctl, bus, "log-level", "notice")
        self.deny(bus)
        assert len(ask(ctl, bus, "log").out.splitlines()) == 2
        assert bus.stderr.count("Rejected send message") == 1

    def test_debug(self, ctl: Ctl, bus: Daemon) -> None:
        """Connections that begin and end, which nothing else logs."""
        client = bus.connect()
        assert "has connected" not in bus.stderr
        ask(ctl, bus, "log-level", "debug")
        later = bus.connect()
        later.driver("ListQueuedOwners", "s", BUS)  # now the control plane knows of it
        unique = later.unique
        later.close()
        end = [f"{unique} (", "has ended: closed"]
        client.match("type='signal',member='NameOwnerChanged'")
        while not any(all(part in line for part in end) for line in bus.stderr.splitlines()):
            client.sync()
        assert f"{unique} (uid=" in bus.stderr
        assert "has connected" in bus.stderr


class TestInterface:
    @pytest.fixture
    def client(self, bus: Daemon) -> Client:
        return bus.connect()

    def test_properties(self, client: Client) -> None:
        (found,) = client.reply_to(call(client, "GetAll", "s", CONTROL)).body
        assert {name: one.value for name, one in found.items()} == {
            "LogLevel": "info",
            "LogTarget": "console",
            "SyslogIdentifier": "omnibusd",
        }
        for name, value in found.items():
            assert client.reply_to(call(client, "Get", "ss", CONTROL, name)).body == (value,)

    def test_not_kept(self, client: Client) -> None:
        """The data plane answers for the constant properties of the bus, and not for these."""
        for level in ("err", "debug", "info"):
            client.reply_to(call(client, "Set", "ssv", CONTROL, "LogLevel", Variant("s", level)))
            (found,) = client.reply_to(call(client, "Get", "ss", CONTROL, "LogLevel")).body
            assert found.value == level

    @pytest.mark.parametrize(
        ("name", "value", "error"),
        [
            ("LogLevel", Variant("s", "loud"), "InvalidArgs"),
            ("LogLevel", Variant("s", ""), "InvalidArgs"),
            ("LogLevel", Variant("u", 3), "InvalidArgs"),
            ("LogTarget", Variant("s", "syslog"), "PropertyReadOnly"),
            ("SyslogIdentifier", Variant("s", "x"), "PropertyReadOnly"),
            ("Nothing", Variant("s", "x"), "UnknownProperty"),
        ],
    )
    def test_refused_values(self, client: Client, name: str, value: Variant, error: str) -> None:
        fails(client, error, "Set", "ssv", CONTROL, name, value)
        (found,) = client.reply_to(call(client, "Get", "ss", CONTROL, "LogLevel")).body
        assert found.value == "info"

    @pytest.mark.parametrize("path", [BUS_PATH, "/", "/org/freedesktop"])
    def test_only_there(self, client: Client, path: str) -> None:
        fails(client, "UnknownInterface", "Get", "ss", CONTROL, "LogLevel", path=path)
        text = str(
            client.reply_to(client.start_call(BUS, "Introspect", interface=INTROSPECTABLE, path=path)).body
        )
        assert CONTROL not in text

    def test_introspection(self, client: Client) -> None:
        serial = client.start_call(BUS, "Introspect", interface=INTROSPECTABLE, path=PATH)
        (xml,) = client.reply_to(serial).body
        (interface,) = [one for one in ElementTree.fromstring(xml) if one.get("name") == CONTROL]
        access = {one.get("name"): one.get("access") for one in interface.iter("property")}
        assert access == {"LogLevel": "readwrite", "LogTarget": "read", "SyslogIdentifier": "read"}

    def test_other_interfaces(self, client: Client) -> None:
        """What every path has is there, and what is the bus's own is not."""
        serial = client.start_call(BUS, "Ping", interface="org.freedesktop.DBus.Peer", path=PATH)
        assert client.reply_to(serial).body == ()
        serial = client.start_call(BUS, "GetStats", interface=f"{BUS}.Debug.Stats", path=PATH)
        client.expect_error(serial, f"{ERROR}UnknownInterface")

    @pytest.mark.parametrize(
        ("member", "signature", "values"),
        [
            ("Get", "ss", (CONTROL, "LogLevel")),
            ("GetAll", "s", (CONTROL,)),
            ("Set", "ssv", (CONTROL, "LogLevel", Variant("s", "debug"))),
            ("Get", "ss", (CONTROL, "Nothing")),
        ],
    )
    def test_privileged(
        self, bus: Daemon, unprivileged: int, member: str, signature: str, values: tuple[Any, ...]
    ) -> None:
        client = bus.connect(uid=unprivileged)
        assert "rejected attempt" in fails(client, "AccessDenied", member, signature, *values)
