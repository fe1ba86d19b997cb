"""What verbs tell of a running bus: omnibusd, dbus-daemon and dbus-broker."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from omnibus.ctl import process
from omnibus.ctl.verbs import group
from support.broker import broker
from support.daemon import Daemon, config
from support.raw import BUS, DEADLINE, Client
from support.wire import Variant

from .conftest import ROOT, Ctl, StartBus, ask, data

INSPECT = "org.omnibus.Inspect1"
NAME = "com.example.Echo"


class TestList:
    def test_every_bus(self, ctl: Ctl, any_bus: Daemon) -> None:
        """Names, processes and users are what every bus tells."""
        client = any_bus.connect()
        client.own(NAME)
        client.match("type='signal'")
        (found,) = [one for one in data(ctl, any_bus, "list") if one["name"] == client.unique]  # type: ignore[attr-defined]
        assert found["names"] == [NAME]
        assert (found["pid"], found["uid"], found["rules"]) == (os.getpid(), os.geteuid(), 1)
        assert found["command"] == Path("/proc/self/comm").read_text().strip()

    def test_broker(self, ctl: Ctl, tmp_path: Path) -> None:
        with broker(tmp_path) as bus:
            client = Client(bus.address)
            client.own(NAME)
            done = ctl("--json", "--address", bus.address, "list")
            (found,) = [one for one in done.json() if one["name"] == client.unique]
            client.close()
        assert found["names"] == [NAME]
        assert found["queued_bytes"] == 0
        assert found["messages_in"] is None

    def test_unknown_is_not_nothing(self, ctl: Ctl, start_bus: StartBus) -> None:
        """A column that dbus-daemon can't fill shows - for every connection."""
        daemon = start_bus(executable="/usr/bin/dbus-daemon")
        rows = ask(ctl, daemon, "list", "--no-legend").out.splitlines()
        assert rows
        assert all(" - " in row for row in rows)

    def test_counts(self, ctl: Ctl, bus: Daemon) -> None:
        client = bus.connect()
        before = self.of(ctl, bus, client)
        for _ in range(5):
            client.signal("News", "s", "x" * 100)
        client.sync()
        after = self.of(ctl, bus, client)
        assert after["messages_in"] - before["messages_in"] == 8  # sync makes three calls
        assert after["bytes_in"] - before["bytes_in"] > 500
        assert after["age"] > before["age"]

    def of(self, ctl: Ctl, bus: Daemon, client: Client) -> dict[str, int]:
        rows = data(ctl, bus, "list")
        assert isinstance(rows, list)
        return next(one for one in rows if one["name"] == client.unique)

    def test_many(self, ctl: Ctl, bus: Daemon) -> None:
        """More connections than one answer has."""
        clients = [bus.connect() for _ in range(150)]
        rows = data(ctl, bus, "list")
        assert isinstance(rows, list)
        assert {one.unique for one in clients} <= {row["name"] for row in rows}

    def test_sums(self, ctl: Ctl, bus: Daemon) -> None:
        clients = [bus.connect() for _ in range(3)]
        clients[0].match("type='signal'")
        rows = data(ctl, bus, "list", "--by=uid")
        assert isinstance(rows, list)
        assert rows[0]["connections"] >= 3
        assert rows[0]["rules"] == 1

    def test_gone(self, ctl: Ctl, bus: Daemon) -> None:
        client = bus.connect()
        unique = client.unique
        client.own(NAME)
        client.close()
        end = time.monotonic() + DEADLINE
        while not (found := [one for one in data(ctl, bus, "list", "--gone") if one["name"] == unique]):  # type: ignore[attr-defined]
            assert time.monotonic() < end
        assert found[0]["reason"] == "closed"
        assert found[0]["pid"] == os.getpid()


class TestUnits:
    """A process can give cgroups of its own any name, and never passes for a unit of the system."""

    @pytest.mark.parametrize(
        ("cgroup", "unit"),
        [
            ("/system.slice/systemd-logind.service", "systemd-logind.service"),
            ("/init.scope", "init.scope"),
            ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
            ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
            ("/user.slice/user-7.slice/user@7.service/app.slice/app-x.scope", "user@7.service/app-x.scope"),
            ("/user.slice/user-5.slice/user@5.service/app.slice/app-x.scope", "app-x.scope"),
            ("/user.slice/user-5.slice/user@5.service/init.scope", "init.scope"),
            ("/user.slice/user-7.slice/user@7.service", "user@7.service"),
            ("/user.slice/user-7.slice/user@7.service/a.service/polkit.service", "user@7.service/a.service"),
            (
                "/machine.slice/systemd-nspawn@m.service/payload/system.slice/x.service",
                "systemd-nspawn@m.service",
            ),
            ("/user.slice/user-7.slice/session-3.scope/polkit.service", "session-3.scope"),
            ("/", None),
            ("", None),
        ],
    )
    def test_unit(self, cgroup: str, unit: str | None) -> None:
        assert process.unit_of(cgroup, 5) == unit


class TestShow:
    def test_lines(self, ctl: Ctl, bus: Daemon) -> None:
        client, other = bus.connect(), bus.connect()
        client.own(NAME)
        client.match("type='signal',member='M'")
        other.start_call(NAME, "Hang")
        other.sync()
        done = ask(ctl, bus, "show", NAME)
        assert done.code == 0
        assert done.out.startswith(f"{client.unique}  {NAME}\n")
        assert "1 of 50000" in done.out
        assert f"owes {other.unique} a reply since " in done.out
        assert "\n    type='signal',member='M'\n" in done.out
        assert f"waits for {client.unique} since " in ask(ctl, bus, "show", other.unique).out

    def test_metadata(self, ctl: Ctl, bus: Daemon) -> None:
        """What a client says of itself is escaped like all that comes from clients."""
        client = bus.connect()
        metadata = {"a.Host": Variant("s", "web\x1b"), "a.Id": Variant("ay", b"\1\xff")}
        client.driver("SetMetadata", "a{sv}", metadata, interface="org.omnibus.Metadata1")
        done = ask(ctl, bus, "show", client.unique)
        assert "\n  says      a.Host: web\\x1b\n  says      a.Id: 01ff\n" in done.out
        found = data(ctl, bus, "show", client.unique)
        assert isinstance(found, dict)
        assert found["metadata"] == {"a.Host": "web\x1b", "a.Id": "01ff"}

    def test_json(self, ctl: Ctl, any_bus: Daemon) -> None:
        client = any_bus.connect()
        found = data(ctl, any_bus, "show", client.unique)
        assert isinstance(found, dict)
        assert found["match_rules"] == []

    @pytest.mark.parametrize("name", ["com.example.Absent", BUS])
    def test_no_connection(self, ctl: Ctl, bus: Daemon, name: str) -> None:
        assert ask(ctl, bus, "show", name).code == 1


class TestPending:
    def test_age(self, ctl: Ctl, bus: Daemon) -> None:
        """The age is right to 10 ms, and counts from the call."""
        caller, callee = bus.connect(), bus.connect()
        earliest = time.monotonic()
        serial = caller.start_call(callee.unique, "Hang")
        caller.sync()
        latest = time.monotonic()
        begin = time.monotonic()
        (call,) = data(ctl, bus, "pending", "--min=0")  # type: ignore[misc]
        end = time.monotonic()
        assert (call["caller"], call["callee"], call["serial"]) == (caller.unique, callee.unique, serial)
        age = call["age_us"] / 1e6
        assert begin - latest - 0.011 <= age <= end - earliest + 0.011

    def test_answered(self, ctl: Ctl, bus: Daemon) -> None:
        caller, callee = bus.connect(), bus.connect()
        caller.start_call(callee.unique, "Hail")
        callee.reply(callee.take(member="Hail"))
        callee.sync()
        assert data(ctl, bus, "pending", "--min=0") == []
        assert ask(ctl, bus, "pending").out == "AGE CALLER CALLEE SERIAL\nno call has waited that long\n"

    def test_least_age(self, ctl: Ctl, bus: Daemon) -> None:
        caller, callee = bus.connect(), bus.connect()
        caller.start_call(callee.unique, "Hang")
        caller.sync()
        assert data(ctl, bus, "pending", "--min=1h") == []

    def test_of_a_name(self, ctl: Ctl, bus: Daemon) -> None:
        caller, callee, other = bus.connect(), bus.connect(), bus.connect()
        callee.own(NAME)
        for one in (callee, other):
            caller.start_call(one.unique, "Hang")
        caller.sync()
        (call,) = data(ctl, bus, "pending", "--min=0", NAME)  # type: ignore[misc]
        assert call["callee"] == callee.unique

    @pytest.mark.parametrize("text", ["1week", "x", "", "1e999s"])
    def test_no_time(self, ctl: Ctl, bus: Daemon, text: str) -> None:
        assert ask(ctl, bus, "pending", f"--min={text}").code == 2


class TestNames:
    def test_queue(self, ctl: Ctl, any_bus: Daemon) -> None:
        first, second = any_bus.connect(), any_bus.connect()
        first.own(NAME)
        second.driver("RequestName", "su", NAME, 0)
        (found,) = data(ctl, any_bus, "names", NAME)  # type: ignore[misc]
        assert (found["owner"], found["waiting"]) == (first.unique, [second.unique])

    def test_no_owner(self, ctl: Ctl, any_bus: Daemon) -> None:
        assert ask(ctl, any_bus, "names", NAME).code == 1


class TestMatches:
    def test_rules(self, ctl: Ctl, any_bus: Daemon) -> None:
        client = any_bus.connect()
        for rule in ("type='signal'", "type='signal',sender='com.example.A',interface='a.b'"):
            client.match(rule)
        rows = data(ctl, any_bus, "matches", client.unique)
        assert isinstance(rows, list)
        assert [row["cost"] is not None for row in rows] == [True, False]
        costly = data(ctl, any_bus, "matches", client.unique, "--costly")
        assert isinstance(costly, list)
        assert [row["rule"] for row in costly] == ["type='signal'"]

    def test_numbers(self, ctl: Ctl, any_bus: Daemon) -> None:
        client = any_bus.connect()
        client.match("type='signal'")
        rows = data(ctl, any_bus, "matches")
        assert isinstance(rows, list)
        assert rows[0] == {"name": client.unique, "rules": 1}

    def test_broker(self, ctl: Ctl, tmp_path: Path) -> None:
        with broker(tmp_path) as bus:
            assert ctl("--address", bus.address, "matches").code == 5


class TestTop:
    def test_rates(self, ctl: Ctl, bus: Daemon) -> None:
        """The rates are those between two looks: the client of omnibusctl itself is busy."""
        client = bus.connect()
        done = ctl("--json", "--address", bus.address, "top", "-n", "2", "-d", "0.1")
        assert done.code == 0
        lines = done.out.splitlines()
        assert len(lines) == 2
        assert '"messages_in_per_s": 0.0' in lines[0]
        assert f'"name": "{client.unique}"' in lines[0]

    def test_sums(self, ctl: Ctl, any_bus: Daemon) -> None:
        """One line for all connections of a program; what a bus does not tell stays unknown."""
        for _ in range(3):
            any_bus.connect().match("type='signal'")
        done = ctl("--json", "--address", any_bus.address, "top", "--once", "-d", "0.1", "--by=comm")
        rows = {one["name"]: one for one in json.loads(done.out)["connections"]}
        ours = rows[Path("/proc/self/comm").read_text().strip()]
        assert ours["rules"] == 3
        assert (ours["messages_in_per_s"] is None) == (ours["stalled"] is None)
        assert int(ours["command"].partition(" ")[0]) >= 3

    def test_table(self, ctl: Ctl, any_bus: Daemon) -> None:
        done = ask(ctl, any_bus, "top", "--once", "-d", "0.1")
        assert done.code == 0
        assert done.out.splitlines()[1].split()[:3] == ["NAME", "PID", "PROCESS"]

    def test_broker(self, ctl: Ctl, tmp_path: Path) -> None:
        with broker(tmp_path) as bus:
            assert ctl("--address", bus.address, "top", "--once", "-d", "0.1").code == 0


class TestStatus:
    def test_healthy(self, ctl: Ctl, any_bus: Daemon) -> None:
        done = ask(ctl, any_bus, "status")
        assert done.code == 0, done.out
        assert done.out.endswith("healthy\n")
        assert ctl("--address", any_bus.address).out.splitlines()[0] == done.out.splitlines()[0]

    def test_broker(self, ctl: Ctl, tmp_path: Path) -> None:
        with broker(tmp_path) as bus:
            done = ctl("--address", bus.address, "status")
        assert done.code == 0
        assert done.out.startswith("this bus is not omnibusd")

    def test_limit(self, ctl: Ctl, start_bus: StartBus) -> None:
        daemon = start_bus(limits={"max_match_rules_per_connection": 10})
        client = daemon.connect()
        for number in range(9):
            client.match(f"arg0='{number}'")
        done = ask(ctl, daemon, "status")
        assert done.code == 1
        assert "9 of max_match_rules_per_connection 10" in done.out
        assert "not healthy" in done.out

    def test_passed_over_file(self, ctl: Ctl, start_bus: StartBus, tmp_path: Path) -> None:
        (tmp_path / "bad.conf").write_text("<busconfig>")
        daemon = start_bus(config("unix:path={dir}/bus", extra=f"<includedir>{tmp_path}</includedir>"))
        done = ask(ctl, daemon, "status")
        assert done.code == 1
        assert f"configuration: {tmp_path}/bad.conf:1: " in done.out

    def test_stalled(self, ctl: Ctl, bus: Daemon) -> None:
        """A client that does not read is found, with what waits for it."""
        client, other = bus.connect(), bus.connect()
        other.match("type='signal'")
        for _ in range(40):
            client.signal("Long", "ay", bytes(100_000))
        client.sync()
        end = time.monotonic() + DEADLINE
        while (done := ask(ctl, bus, "status")).code == 0:
            assert time.monotonic() < end
        assert f"stalled: {other.unique} " in done.out


class TestActivation:
    def test_start(self, ctl: Ctl, start_bus: StartBus, tmp_path: Path) -> None:
        """A start in progress, and what waits for it; then a failed one, and by which request."""
        for name, command in (("Slow", "/bin/sleep 1000"), ("Fails", "/bin/false")):
            text = f"[D-BUS Service]\nName=com.example.{name}\nExec={command}\n"
            (tmp_path / f"com.example.{name}.service").write_text(text)
        daemon = start_bus(extra=f"<servicedir>{tmp_path}</servicedir>")
        client = daemon.connect()
        client.start_call("com.example.Slow", "Hail")
        client.expect_error(
            client.start_call("com.example.Fails", "Hail"), "org.freedesktop.DBus.Error.Spawn.ChildExited"
        )
        starting, failed = data(ctl, daemon, "activation")  # type: ignore[misc]
        assert (starting["state"], starting["name"]) == ("starting", "com.example.Slow")
        assert starting["waiting"] == [client.unique]
        assert starting["exec"] == "/bin/sleep 1000"
        assert Path(f"/proc/{starting['pid']}/comm").read_text() == "sleep\n"
        assert 0 <= starting["age_us"] < starting["timeout_us"]
        assert (failed["state"], failed["name"]) == ("failed", "com.example.Fails")
        assert failed["requested_by"] == client.unique
        assert failed["text"] == "Process com.example.Fails exited with status 1"
        done = ask(ctl, daemon, "activation", "--failed")
        assert done.code == 1
        assert "Slow" not in done.out
        assert "exited with status 1" in ask(ctl, daemon, "status").out

    def test_nothing(self, ctl: Ctl, bus: Daemon) -> None:
        assert ask(ctl, bus, "activation", "--failed").code == 0


class TestGroup:
    def test_reasons(self) -> None:
        """Each reason of the kernel's is explained."""
        header = (ROOT / "kernel/include/uapi/linux/unix_multicast.h").read_text()
        enum = header.split("enum {\n\tUMC_ASKED_")[1].split("};")[0]
        names = set(re.findall(r"\b(?:UMC_ASKED_)?([A-Z]+)(?: = 1)?,", enum)) - {"REASONS"}
        assert {name.lower() for name in names} == group.REASONS.keys()

    def test_off(self, ctl: Ctl, bus: Daemon) -> None:
        found = data(ctl, bus, "group")
        assert isinstance(found, dict)
        assert found["members"] == 0


class TestOtherBuses:
    """What only omnibusd knows ends with an exit status of its own."""

    @pytest.mark.parametrize(
        "verb",
        [
            ("pending",),
            ("activation",),
            ("group",),
            ("list", "--gone"),
            ("policy", "diff"),
            ("why", "--last"),
        ],
    )
    def test_cannot(self, ctl: Ctl, start_bus: StartBus, verb: list[str]) -> None:
        daemon = start_bus(executable="/usr/bin/dbus-daemon")
        done = ask(ctl, daemon, *verb)
        assert done.code == 5, done
        assert done.err.startswith("omnibusctl: this bus ")
