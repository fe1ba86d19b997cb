"""omnibusctl metrics: the two formats, files, and the examples that query them."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibus.ctl.connection import Connection
from omnibus.ctl.live import Live
from omnibus.ctl.metrics import MOST_UNITS, Family, _of_units, text_of
from support.broker import broker
from support.daemon import Daemon

from .conftest import PROGRAM, ROOT, Ctl, StartBus

EXAMPLES = ROOT / "docs/examples"
PAGE = ROOT / "docs/using/metrics.md"
NAME = re.compile(r"\b((?:omnibus|dbus)_[a-z_]+)\b")
SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+)\} (-?\d+(?:\.\d+)?(?:e[+-]\d+)?)')


def parse(text: str, form: str) -> dict[str, tuple[str, dict[str, float]]]:
    """Return type and samples by family; fails for what a strict reader would refuse."""
    lines = text.splitlines()
    if form == "openmetrics":
        assert lines.pop() == "# EOF"
    found: dict[str, tuple[str, dict[str, float]]] = {}
    family, helped = "", set()
    for line in lines:
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in found, "the lines of a family are together"
            assert kind in ("gauge", "counter")
            found[family] = kind, {}
        elif line.startswith("# HELP "):
            assert line.split(" ")[2] == family
            assert family not in helped
            helped.add(family)
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            name, labels, value = sample.groups()
            kind, samples = found[family]
            total = kind == "counter" and form == "openmetrics"
            assert name == family + ("_total" if total else "")
            assert form == "prometheus" or not family.endswith("_total")
            assert labels not in samples
            samples[labels] = float(value)
    assert helped == found.keys()
    return found


def names(done: Any) -> set[str]:
    """Return the names of all samples."""
    return {line.partition("{")[0] for line in done.out.splitlines() if not line.startswith("#")}


@pytest.fixture
def bus(start_bus: StartBus) -> Daemon:
    """A bus that has denied, lost and failed something, so that it has all metrics."""
    daemon = start_bus()
    client = daemon.connect()
    client.own("com.example.Name")
    client.close()
    daemon.connect()
    return daemon


@pytest.mark.parametrize("form", ["openmetrics", "prometheus"])
class TestFormats:
    def test_every_bus(self, ctl: Ctl, any_bus: Daemon, form: str) -> None:
        client = any_bus.connect()
        client.own("com.example.Name")
        found = parse(ctl("--address", any_bus.address, "metrics", f"--format={form}").out, form)
        assert list(found["dbus_up"][1].values()) == [1]
        assert list(found["dbus_names"][1].values()) == [1]
        assert sum(found["dbus_connections"][1].values()) >= 2
        assert all(
            f'bus="{any_bus.address}"' in labels for _, samples in found.values() for labels in samples
        )

    def test_broker(self, ctl: Ctl, tmp_path: Path, form: str) -> None:
        with broker(tmp_path) as bus:
            found = parse(ctl("--address", bus.address, "metrics", f"--format={form}").out, form)
        assert list(found["omnibus_user_queued_bytes"][1].values()) == [0]

    def test_no_bus(self, ctl: Ctl, form: str) -> None:
        done = ctl("--address=unix:path=/no/bus", "metrics", f"--format={form}")
        assert done.code == 1
        assert list(parse(done.out, form)) == ["dbus_up"]

    def test_escaped(self, form: str) -> None:
        family = Family("omnibus_x", "counter", "help", (({"reason": 'a"b\\c\nd'}, 1.5),))
        ((_, samples),) = parse(text_of([family], 'a"', form), form).values()
        assert samples == {'bus="a\\"",reason="a\\"b\\\\c\\nd"': 1.5}


class TestSocket:
    """As omnibus-metrics@.service is started: a connection is its standard output."""

    def test_read_to_the_end(self, bus: Daemon) -> None:
        ours, theirs = socket.socketpair()
        with ours, ours.makefile("r") as stream:
            with theirs:
                command = [PROGRAM, "--address", bus.address, "metrics"]
                subprocess.run(command, stdin=subprocess.DEVNULL, stdout=theirs, check=True)
            assert "dbus_up" in parse(stream.read(), "openmetrics")

    def test_units(self) -> None:
        """It is a socket of its own, which the bus is not started with."""
        socket_unit = (ROOT / "systemd/system/omnibus-metrics.socket").read_text()
        assert "\nFileDescriptorName=omnibus-metrics\n" in socket_unit
        assert "\nAccept=yes\n" in socket_unit
        for unit in (ROOT / "systemd").glob("*/omnibus.service"):
            assert "metrics" not in unit.read_text()


def test_earlier_bus(ctl: Ctl, bus: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bus that was started before the program was replaced tells less, and the rest all the same."""
    whole = names(ctl("--address", bus.address, "metrics"))
    of_now = Live.status.fget
    assert of_now is not None
    later = {"Opened", "StartsDone"}
    monkeypatch.setattr(
        Live, "status", property(lambda live: {k: v for k, v in of_now(live).items() if k not in later})
    )
    done = ctl("--address", bus.address, "metrics")
    assert done.code == 0
    assert whole - names(done) == {"omnibus_connections_opened_total"}


class TestUnits:
    """Sums by systemd's unit are for those that ask, and never of more than fifty."""

    def family(self, connections: list[Connection], name: str) -> dict[str, float]:
        (found,) = [one for one in _of_units(connections) if one.name == name]
        return {labels["unit"]: value for labels, value in found.samples}

    def test_asked_for(self, ctl: Ctl, bus: Daemon) -> None:
        assert "omnibus_unit_" not in ctl("--address", bus.address, "metrics").out
        done = ctl("--address", bus.address, "metrics", "--units")
        found = parse(done.out, "openmetrics")
        assert sum(found["omnibus_unit_connections"][1].values()) == sum(
            found["dbus_connections"][1].values()
        )

    def test_sums(self) -> None:
        found = [
            Connection(":1.1", unit="a.service", queued_bytes=5, calls=1, rules=2, incoming_bytes=0),
            Connection(":1.2", unit="a.service", queued_bytes=7, calls=0, rules=2, incoming_bytes=0),
            Connection(":1.3", queued_bytes=1, calls=0, rules=0, incoming_bytes=0),
        ]
        assert self.family(found, "omnibus_unit_connections") == {"a.service": 2, "none": 1}
        assert self.family(found, "omnibus_unit_queued_bytes") == {"a.service": 12, "none": 1}
        assert self.family(found, "omnibus_unit_match_rules") == {"a.service": 4, "none": 0}

    def test_unknown_is_not_nothing(self) -> None:
        """What a bus does not tell has no metric."""
        names = {one.name for one in _of_units([Connection(":1.1", unit="a.service")])}
        assert names == {"omnibus_unit_connections"}

    @given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 10**6), st.integers(0, 9)), max_size=500))
    def test_bounded(self, rows: list[tuple[int, int, int]]) -> None:
        """The others are one; nothing is lost, and none of the others has more than each of the shown."""
        found = [
            Connection(f":1.{n}", unit=f"u{unit}.service", queued_bytes=size, calls=calls, rules=0)
            for n, (unit, size, calls) in enumerate(rows)
        ]
        for name, total in (("connections", len(rows)), ("queued_bytes", sum(size for _, size, _ in rows))):
            if not rows:
                continue
            values = self.family(found, f"omnibus_unit_{name}")
            assert len(values) <= MOST_UNITS + 1
            assert sum(values.values()) == total
        if len({unit for unit, _, _ in rows}) > MOST_UNITS:
            largest = max(rows, key=lambda row: sum(size for unit, size, _ in rows if unit == row[0]))[0]
            if any(size for _, size, _ in rows):
                assert f"u{largest}.service" in self.family(found, "omnibus_unit_queued_bytes")


class TestNumbers:
    def value(self, ctl: Ctl, bus: Daemon, name: str) -> float:
        data = ctl("--json", "--address", bus.address, "metrics").json()
        (family,) = [one for one in data if one["name"] == name]
        return float(sum(one["value"] for one in family["samples"]))

    def test_pending_call(self, ctl: Ctl, bus: Daemon) -> None:
        client, other = bus.connect(), bus.connect()
        assert self.value(ctl, bus, "omnibus_oldest_pending_call_seconds") == 0
        client.start_call(other.unique, "Hang")
        client.sync()
        assert self.value(ctl, bus, "omnibus_pending_calls") == 1
        assert 0 <= self.value(ctl, bus, "omnibus_oldest_pending_call_seconds") < 60

    def test_reloads(self, ctl: Ctl, bus: Daemon) -> None:
        client = bus.connect()
        before = self.value(ctl, bus, "omnibus_reloads")
        client.driver("ReloadConfig")
        assert self.value(ctl, bus, "omnibus_reloads") == before + 1

    def test_connections_and_starts(self, ctl: Ctl, start_bus: StartBus, tmp_path: Path) -> None:
        text = "[D-BUS Service]\nName=com.example.Fails\nExec=/bin/false\n"
        (tmp_path / "com.example.Fails.service").write_text(text)
        bus = start_bus(extra=f"<servicedir>{tmp_path}</servicedir>")
        before = self.value(ctl, bus, "omnibus_connections_opened")
        client = bus.connect()
        client.expect_error(
            client.start_call("com.example.Fails", "Hail"), "org.freedesktop.DBus.Error.Spawn.ChildExited"
        )
        # The other one is that of the question before.
        assert self.value(ctl, bus, "omnibus_connections_opened") == before + 2
        data = ctl("--json", "--address", bus.address, "metrics").json()
        (family,) = [one for one in data if one["name"] == "omnibus_starts"]
        found = {one["labels"]["result"]: one["value"] for one in family["samples"]}
        assert found == {"done": 0, "failed": 1}

    def test_of_users(self, ctl: Ctl, bus: Daemon) -> None:
        """What waits for a service to start is charged to who has sent it."""
        names = ("queued_bytes", "queued_fds", "incoming_bytes", "incoming_fds", "parked_messages")
        for name in names:
            assert self.value(ctl, bus, f"omnibus_user_{name}") >= 0

    def test_counters_only_grow(self, ctl: Ctl, bus: Daemon) -> None:
        client = bus.connect()
        before = self.value(ctl, bus, "omnibus_messages_received")
        client.sync()
        assert self.value(ctl, bus, "omnibus_messages_received") > before


class TestFile:
    def test_replaced(self, ctl: Ctl, bus: Daemon, tmp_path: Path) -> None:
        """The file is readable for the collector, and never there in part."""
        file = tmp_path / "omnibus.prom"
        file.write_text("old")
        inode = file.stat().st_ino
        assert ctl("--address", bus.address, "metrics", "--textfile", file).code == 0
        assert "dbus_up" in parse(file.read_text(), "prometheus")
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
        assert file.stat().st_ino != inode
        assert os.listdir(tmp_path) == ["omnibus.prom"]

    def test_no_directory(self, ctl: Ctl, bus: Daemon, tmp_path: Path) -> None:
        done = ctl("--address", bus.address, "metrics", "--textfile", tmp_path / "none/file")
        assert done.code == 1
        assert "No such file or directory" in done.err


class TestExamples:
    """Queries of the alerts and of the dashboard, and the names of the page, are metrics that there are."""

    def known(self, ctl: Ctl, bus: Daemon) -> set[str]:
        found = names(ctl("--address", bus.address, "metrics", "--units"))
        # A group's reasons are there where it is used.
        return found | {"omnibus_group_asked_total"}

    def test_alerts(self, ctl: Ctl, bus: Daemon) -> None:
        rules = (EXAMPLES / "prometheus/omnibus.rules.yml").read_text()
        queries = re.findall(r"^ *expr: (.*)$", rules, re.MULTILINE)
        assert len(queries) == rules.count("- alert: ") >= 8
        assert {one for query in queries for one in NAME.findall(query)} <= self.known(ctl, bus)

    def test_dashboard(self, ctl: Ctl, bus: Daemon) -> None:
        dashboard = json.loads((EXAMPLES / "grafana/omnibus.json").read_text())
        queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        assert len(queries) > 10
        assert {one for query in queries for one in NAME.findall(query)} <= self.known(ctl, bus)

    def test_page(self, ctl: Ctl, bus: Daemon) -> None:
        text = PAGE.read_text()
        named = set(NAME.findall(text)) | {
            f"omnibus_messages{one}" for one in re.findall(r"`(_[a-z]+_total)`", text)
        }
        assert named == self.known(ctl, bus)
