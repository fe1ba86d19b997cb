"""omnibusctl log: what the bus tells, and what is in the journal; and the parsing of denials."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibus.ctl.denials import parse
from omnibus.ctl.process import command_of
from omnibus.ctl.verbs.log import from_journal
from support.daemon import Daemon
from support.raw import BUS, DEADLINE

from .conftest import Ctl, StartBus

LINE = (
    'Rejected send message, 3 matched rules; type="method_call", sender=":1.3" '
    '(uid=1000 pid=5 comm="/bin/a b) x")'
    ' interface="a.b" member="C" error name="(unset)" requested_reply="0" destination="com.example.A"'
    ' (uid=0 pid=7 comm="/sbin/init")'
)


class TestLog:
    @pytest.fixture
    def bus(self, start_bus: StartBus) -> Daemon:
        policy = """<policy context="default"><allow user="*"/><allow own="*"/>
<allow send_destination="org.freedesktop.DBus"/><allow receive_type="method_return"/>
<allow receive_type="error"/><allow receive_type="signal"/></policy>"""
        return start_bus(policy=policy)

    def test_denied(self, ctl: Ctl, bus: Daemon) -> None:
        client, other = bus.connect(), bus.connect()
        serial = client.start_call(other.unique, "M")
        client.expect_error(serial, "org.freedesktop.DBus.Error.AccessDenied")
        done = ctl("--json", "--address", bus.address, "log")
        (entry,) = [json.loads(line) for line in done.out.splitlines()]
        assert entry["kind"] == "denied"
        assert entry["text"].startswith("Rejected send message, ")
        assert ctl("--address", bus.address, "log", "--kind=reload,start").out == ""
        assert " denied Rejected send" in ctl("--address", bus.address, "log", "--since=10min").out

    def test_cut_off(self, ctl: Ctl, bus: Daemon) -> None:
        """A connection that has sent nonsense is lost with a reason."""
        client = bus.connect()
        unique = client.unique
        client.driver("ListQueuedOwners", "s", BUS)  # now the control plane knows of it
        client.send_bytes(b"x" * 100)
        client.expect_closed()
        end = time.monotonic() + DEADLINE
        while not (done := ctl("--address", bus.address, "log", "--kind=cutoff")).out:
            assert time.monotonic() < end
        assert f"{unique} (uid=" in done.out
        assert done.out.endswith(": invalid\n")

    def test_times(self, ctl: Ctl, bus: Daemon) -> None:
        """Ages, or times of the clock."""
        client, other = bus.connect(), bus.connect()
        serial = client.start_call(other.unique, "M")
        client.expect_error(serial, "org.freedesktop.DBus.Error.AccessDenied")

        def lines(*options: str) -> int:
            done = ctl("--address", bus.address, "log", *options)
            assert done.code == 0, done
            return len(done.out.splitlines())

        assert lines("--since=2001-01-01") == 1
        assert lines("--since=2001-01-01", "--until=0s") == 1
        assert lines("--since=2001-01-01", "--until=1h") == 0
        assert lines("--since=2001-01-01", "--until=2001-01-02 10:00") == 0
        for options in (("--since=yesterday",), ("--until=25:00",), ("--until=",)):
            assert ctl("--address", bus.address, "log", *options).code == 2

    def test_unknown_kind(self, ctl: Ctl, bus: Daemon) -> None:
        assert ctl("--address", bus.address, "log", "--kind=x").code == 2

    def test_other_bus(self, ctl: Ctl, start_bus: StartBus) -> None:
        daemon = start_bus(executable="/usr/bin/dbus-daemon")
        assert ctl("--address", daemon.address, "log").code == 5

    @pytest.mark.parametrize(
        ("fields", "text", "kind", "place"),
        [
            ({"MESSAGE_ID": "ec79bd348aa7438890299b57c310b3c7"}, "x", "denied", None),
            ({"MESSAGE_ID": "1d0ac86c85f640408178b98158a8e24d", "CONFIG_FILE": "/a"}, "x", "reload", "/a"),
            ({}, ":1.5 (uid=0) was disconnected: why", "cutoff", None),
            ({"CONFIG_FILE": "/a", "CONFIG_LINE": "3"}, "x", "other", "/a:3"),
        ],
    )
    def test_journal(self, fields: dict[str, str], text: str, kind: str, place: str | None) -> None:
        entry = from_journal(fields | {"__REALTIME_TIMESTAMP": "1000000"}, text)
        assert (entry.kind, entry.place, entry.realtime) == (kind, place, 1_000_000)


class TestDenials:
    def test_parsed(self) -> None:
        """A command with parentheses and quotes does not end the description of its process."""
        one = parse(LINE, 5, "/f", 3)
        assert one is not None
        assert (one.side, one.sender, one.uid, one.to_uid) == ("send", ":1.3", 1000, 0)
        assert (one.header.interface, one.header.member, one.header.error_name) == ("a.b", "C", None)
        assert (one.header.destination, one.requested, one.process) == ("com.example.A", False, "a[5]")

    def test_log_only(self) -> None:
        one = parse(LINE.replace("Rejected send message", "Would reject message"), 0, "", 0)
        assert one is not None
        assert one.only_logged

    @pytest.mark.parametrize("text", ["", "Reloaded configuration", LINE.replace("method_call", "nonsense")])
    def test_no_denial(self, text: str) -> None:
        assert parse(text, 0, "", 0) is None

    @given(st.text(max_size=100))
    def test_any_text(self, text: str) -> None:
        parse(text, 0, "", 0)
        parse(LINE.replace("/bin/a b", text), 0, "", 0)
        command_of(text)
