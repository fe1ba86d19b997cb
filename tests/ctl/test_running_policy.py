"""The policy that a bus applies: to omnibusctl itself, to questions, and to what it has denied."""

from __future__ import annotations

import os
from typing import ClassVar

import pytest

from support.daemon import Daemon
from support.raw import BUS, BUS_PATH, Client

from .conftest import Ctl, StartBus, ask, data, program

INSPECT = "org.omnibus.Inspect1"
NAME = "com.example.Echo"


class TestPermission:
    """No member of Inspect1 tells anything to a user that is neither root nor the bus's own."""

    MEMBERS: ClassVar[dict[str, tuple[str, tuple[object, ...]]]] = {
        "GetStatus": ("", ()),
        "ListConnections": ("tu", (0, 10)),
        "ListQueues": ("", ()),
        "ListPendingCalls": ("t", (0,)),
        "ListStarts": ("", ()),
        "Denials": ("t", (0,)),
        "Gone": ("t", (0,)),
        "GetPolicy": ("", ()),
        "Mediation": ("ssuba{ss}", ("", "", 1, False, {})),
        "Group": ("", ()),
        "Trace": ("as", ([],)),
    }

    def test_members(self, bus: Daemon) -> None:
        """The list above is complete."""
        xml = bus.connect().driver("Introspect", interface="org.freedesktop.DBus.Introspectable")
        interface = xml.partition(f'<interface name="{INSPECT}">')[2].partition("</interface>")[0]
        assert interface.count("<method ") == len(self.MEMBERS)
        assert all(f'<method name="{member}">' in interface for member in self.MEMBERS)

    @pytest.mark.parametrize("member", MEMBERS)
    def test_refused(self, bus: Daemon, unprivileged: int, member: str) -> None:
        """The policy of this bus allows everything: the bus itself refuses."""
        signature, arguments = self.MEMBERS[member]
        client = bus.connect(uid=unprivileged)
        serial = client.start_call(BUS, member, signature, *arguments, interface=INSPECT, path=BUS_PATH)
        text = client.expect_error(serial, "org.freedesktop.DBus.Error.AccessDenied")
        assert f"rejected attempt to call {member}" in text

    @pytest.mark.parametrize("path", ["/", "/org/freedesktop"])
    def test_path(self, bus: Daemon, path: str) -> None:
        """Other paths, which policies may allow, have no such interface."""
        client = bus.connect()
        serial = client.start_call(BUS, "GetStatus", interface=INSPECT, path=path)
        client.expect_error(serial, "org.freedesktop.DBus.Error.UnknownInterface")

    @pytest.mark.parametrize(
        ("verb", "code"),
        [
            (("pending",), 4),
            (("list", "--gone"), 4),
            (("why", "--last"), 5),
            (("list",), 0),
            (("status",), 0),
        ],
    )
    def test_verbs(self, bus: Daemon, unprivileged: int, verb: tuple[str, ...], code: int) -> None:
        """What a verb shows to such a user is what the bus tells every client."""
        done = program(
            "--address", bus.address, *verb, user=unprivileged, group=unprivileged, extra_groups=[]
        )
        assert done.code == code, done
        if code == 4:
            assert "only root and the user of the bus may ask" in done.err


class TestRunningPolicy:
    """why and policy ask the rules in force, which the files may no longer be."""

    DENY = f"""<policy context="mandatory">
<deny send_destination="{NAME}" send_member="Stop" send_interface="a.b"/>
</policy>"""

    def test_changed_files(self, ctl: Ctl, start_bus: StartBus) -> None:
        daemon = start_bus(extra=self.DENY)
        ask_why = ("why", NAME, "a.b.Stop")
        assert ask(ctl, daemon, "policy", "diff").code == 0
        assert ask(ctl, daemon, *ask_why).code == 1
        file = daemon.directory / "bus.conf"
        file.write_text(file.read_text().replace(self.DENY, ""))
        done = ask(ctl, daemon, *ask_why, "--config", str(file))
        assert done.code == 0

    def test_diff(self, ctl: Ctl, start_bus: StartBus) -> None:
        """The file of a session bus is watched, so the difference is looked for before it is reloaded."""
        daemon = start_bus(extra=self.DENY)
        other = daemon.directory / "other"
        other.write_text((daemon.directory / "bus.conf").read_text().replace("Stop", "Start"))
        done = ask(ctl, daemon, "policy", "diff", "--config", str(other))
        assert done.code == 1
        # The same rules of another file are others: each has its place.
        found = data(ctl, daemon, "policy", "diff", "--config", str(other))
        assert isinstance(found, dict)
        assert any('send_member="Stop"' in rule["xml"] for rule in found["running"])
        assert any('send_member="Start"' in rule["xml"] for rule in found["files"])

    def test_owner(self, ctl: Ctl, bus: Daemon) -> None:
        """The receiver is the owner of the name."""
        client = bus.connect()
        client.own(NAME)
        found = data(ctl, bus, "why", NAME, "a.b.C", "--from", client.unique)
        assert isinstance(found, dict)
        assert found["message"]["receiver_from"] == "the owner of the name"
        assert found["uid"] == os.geteuid()
        assert ask(ctl, bus, "why", "--from=:1.999", NAME, "a.b.C").code == 1


class TestLast:
    """why --last: the latest denial, in words that an administrator can act on."""

    POLICY = """<policy context="default">
<allow user="*"/><allow own="*"/>
<deny send_type="method_call"/>
<allow send_destination="org.freedesktop.DBus"/>
<allow send_type="signal"/><allow receive_type="method_call"/><allow receive_type="signal"/>
<allow receive_type="error"/><allow receive_type="method_return"/>
<allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/>
</policy>"""

    @pytest.fixture
    def denying(self, start_bus: StartBus) -> Daemon:
        return start_bus(policy=self.POLICY)

    def deny(self, denying: Daemon, member: str = "Set") -> Client:
        client, service = denying.connect(), denying.connect()
        service.driver("RequestName", "su", NAME, 0)
        serial = client.start_call(NAME, member, interface="com.example.Write")
        client.expect_error(serial, "org.freedesktop.DBus.Error.AccessDenied")
        return client

    def test_text(self, ctl: Ctl, denying: Daemon) -> None:
        client = self.deny(denying)
        done = ask(ctl, denying, "why", "--last")
        assert done.code == 1
        lines = done.out.splitlines()
        assert f"{client.unique} " in lines[0]
        assert f"→ {NAME} com.example.Write.Set: denied (send)" in lines[0]
        assert any("no rule allows it; default <deny send_type=" in line for line in lines)
        rule = f'<allow send_destination="{NAME}" send_interface="com.example.Write" send_member="Set"/>'
        assert rule in [line.strip() for line in lines]

    def test_several(self, ctl: Ctl, denying: Daemon) -> None:
        for member in ("One", "Two", "Three"):
            self.deny(denying, member)
        found = data(ctl, denying, "why", "--last=2")
        assert isinstance(found, list)
        assert [one["denial"]["header"]["member"] for one in found] == ["Two", "Three"]
        assert all(one["still_denied"] and len(one["hint"]["lines"]) == 3 for one in found)

    def test_since(self, ctl: Ctl, denying: Daemon) -> None:
        self.deny(denying)
        assert ask(ctl, denying, "why", "--last", "--since=1h").code == 1
        assert ask(ctl, denying, "why", "--last", "--since=0s").code == 0

    def test_nothing(self, ctl: Ctl, denying: Daemon) -> None:
        done = ask(ctl, denying, "why", "--last")
        assert (done.code, done.out) == (0, "nothing was denied\n")

    def test_hint_works(self, ctl: Ctl, denying: Daemon) -> None:
        """With the proposed lines in its configuration the bus lets the call pass, and no other."""
        self.deny(denying)
        found = data(ctl, denying, "why", "--last")
        assert isinstance(found, list)
        lines = "\n".join(found[0]["hint"]["lines"])
        file = denying.directory / "bus.conf"
        file.write_text(file.read_text().replace("</busconfig>", f"{lines}\n</busconfig>"))
        assert ask(ctl, denying, "reload").code == 0
        client, service = denying.connect(), denying.connect()
        service.driver("RequestName", "su", "com.example.Other", 0)
        client.start_call(NAME, "Set", interface="com.example.Write", flags=1)
        client.sync()
        serial = client.start_call(NAME, "Clear", interface="com.example.Write")
        client.expect_error(serial, "org.freedesktop.DBus.Error.AccessDenied")
        assert ask(ctl, denying, "why", NAME, "com.example.Write.Set").code == 0
