"""omnibusctl graph and latency, on every bus and of captures, and what they make of messages."""

from __future__ import annotations

import dataclasses
import json
import pty
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from omnibus.ctl.exits import Stop
from omnibus.ctl.filter import Filter
from omnibus.ctl.message import Ledger
from omnibus.ctl.verbs import graph, latency
from support.daemon import Daemon
from support.message import Message
from support.monitor import monitor
from support.raw import BUS, BUS_PATH, DEADLINE, Client

from .conftest import PROGRAM, Ctl, Done, StartBus, program
from .watching import INSPECT, ME, NAME, Echo, watching

CALLS = 200


class Named:
    """What a graph asks of a source of messages."""

    def __init__(self, units: dict[str, str]) -> None:
        self.ledger = Ledger({NAME: ":1.2"})
        self._units = units

    def text(self, name: str | None, unique: str | None) -> str:
        return f"{name} prog[1]"

    def unit(self, unique: str) -> str | None:
        return self._units.get(unique)

    def ended(self, unique: str) -> str | None:
        return None


class TestGraph:
    def run(self, bus: Daemon, *options: str) -> tuple[Done, Client, Client]:
        client, service = bus.connect(), bus.connect()
        echo = Echo(service)
        done: list[Done] = []
        verb = threading.Thread(target=lambda: done.append(program("--address", bus.address, *options)))
        verb.start()
        end = time.monotonic() + DEADLINE
        while verb.is_alive() and time.monotonic() < end:
            client.call(NAME, "Get")
            client.signal("News")
        echo.stop(client)
        return done[0], client, service

    def test_json(self, start_bus: StartBus) -> None:
        done, client, _ = self.run(start_bus(), "--json", "graph", "-t", "1")
        edges = {(one["from"], one["to"], one["kind"]): one["messages"] for one in done.json()}
        calls = {
            to: n for (a, to, kind), n in edges.items() if kind == "calls" and a.startswith(client.unique)
        }
        assert any(to.startswith(f"{NAME} ") and ME in to and n > 3 for to, n in calls.items())
        assert any(to == "*" and kind == "signals" for (_, to, kind) in edges)

    def test_dot(self, start_bus: StartBus) -> None:
        done, _, _ = self.run(start_bus(), "graph", "-t", "1", "--dot")
        assert done.out.startswith("digraph bus {")
        assert NAME in done.out

    def test_units(self) -> None:
        """Name, process and unit; a connection without a unit has none."""
        ledger = Ledger({NAME: ":1.2"})
        call = Message(
            type=1, sender=":1.1", destination=NAME, serial=1, path="/", interface="a.b", member="M"
        )
        seen = [ledger.see(call.encode(), 0, 0)]
        (((a, b, kind), n),) = graph.Graph(seen, Named({":1.2": "echo.service"})).edges(1)  # type: ignore[arg-type]
        assert (a, b, kind, n) == (":1.1 prog[1]", f"{NAME} prog[1] echo.service", "calls", 1)

    def test_short_lived(self, start_bus: StartBus) -> None:
        """Connections that are gone when they are asked for are their program's, together."""
        bus = start_bus()
        echo = Echo(bus.connect())
        client = bus.connect()
        with watching(bus.address, "--json", "graph", "-t", "2") as running:
            for _ in range(10):
                passing = Client(bus.address)
                passing.call(NAME, "Get")
                passing.close()
            edges = json.loads(running.read_all())["data"]
        echo.stop(client)
        calls = {
            one["from"]: one["messages"] for one in edges if one["kind"] == "calls" and NAME in one["to"]
        }
        assert list(calls.values()) == [10], calls
        # The bus knows the program by its command line.
        command = Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode()
        assert list(calls) == [Path(command).name]

    def test_progress(self, start_bus: StartBus) -> None:
        """On a terminal it is shown how far it is; the output itself is as ever."""
        address = start_bus().address
        main, terminal = pty.openpty()
        with open(main, "rb", buffering=0) as shown:
            with open(terminal, "wb", buffering=0) as stderr:
                command = [PROGRAM, "--address", address, "graph", "-t", "1.2", "--dot"]
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, check=True)
            text = shown.read(4096).decode()
        assert " s left" in text
        assert done.stdout.startswith(b"digraph bus {")

    def test_svg(self) -> None:
        if shutil.which("dot") is None:
            pytest.skip("Graphviz is not installed")
        text = graph.svg(self.EDGES)  # type: ignore[arg-type]
        assert "</svg>" in text
        assert "10 calls" in text

    def test_no_graphviz(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        with pytest.raises(Stop, match="Graphviz can't draw it"):
            graph.svg(self.EDGES)  # type: ignore[arg-type]

    EDGES: ClassVar = [((':1.5 a"b[1]', "com.example.Echo x[2]", "calls"), 10), ((":1.5", "*", "signals"), 1)]

    def test_quoted(self) -> None:
        text = graph.dot(self.EDGES)  # type: ignore[arg-type]
        assert '  n0 [label=":1.5\\na\\"b[1]"];' in text
        assert '  n1 [label="com.example.Echo\\nx[2]"];' in text
        assert '  n0 -> n1 [label="10 calls", color=black, penwidth=5.0];' in text

    def test_mermaid(self) -> None:
        assert graph.mermaid(self.EDGES).splitlines() == [  # type: ignore[arg-type]
            "flowchart LR",
            '  n0[":1.5<br>a#quot;b[1]"]',
            '  n1["com.example.Echo<br>x[2]"]',
            '  n2[":1.5<br>1 signal"]',
            '  n0 -->|"10 calls"| n1',
        ]

    def test_picture(self) -> None:
        """Errors are shown with the calls that they answer; the bus itself has no box."""
        edges = [
            (("a", "b", "calls"), 9),
            (("b", "a", "errors"), 2),
            (("b", "c", "errors"), 1),
            (("b", "a", "signals"), 1),
            (("b", "*", "signals"), 7),
            (("a", BUS, "calls"), 50),
            ((BUS, "a", "errors"), 5),
            (("d", BUS, "calls"), 5),
        ]
        picture = graph.Picture(edges)
        assert picture.boxes == {"a": 0, "b": 7, "c": 0}
        assert [one[:3] for one in picture.arrows] == [
            ("a", "b", "9 calls, 2 errors"),
            ("b", "c", "1 error"),
            ("b", "a", "1 signal"),
        ]

    def test_names_of_the_gone(self) -> None:
        """A connection that has ended, or given its name up, is known by the name that it had."""
        ledger = Ledger()
        for body in ((NAME, "", ":1.2"), (NAME, ":1.2", "")):
            changed = Message(
                type=4, sender=BUS, serial=1, path=BUS_PATH, interface=BUS, member="NameOwnerChanged"
            )
            changed = dataclasses.replace(changed, signature="sss", body=body)
            ledger.see(changed.encode(), 0, 0)
        assert (ledger.owners, ledger.names) == ({}, {":1.2": NAME})


class TestLatency:
    def test_live(self, ctl: Ctl, start_bus: StartBus) -> None:
        """A service that waits 20 ms has replies after 20 ms."""
        bus = start_bus()
        client, service = bus.connect(), bus.connect()
        echo = Echo(service, pause=0.02)
        with watching(bus.address, "--json", "latency", NAME, "-t", "3") as running:
            for _ in range(5):
                client.call(NAME, "Get")
            data = json.loads(running.read_all())["data"]
        echo.stop(client)
        (member,) = data["members"]
        assert data["precision"] == "exact"
        assert (member["member"], member["calls"]) == ("org.example.Interface.Get", 5)
        assert member["p50_us"] >= 18_000
        assert sum(one["calls"] for one in member["buckets"]) == 5

    def test_known_time(self, start_bus: StartBus) -> None:
        """Each time is at least what the service has waited, 100 µs, and at most what the caller has.

        Both are measured by the clock of the bus, so this holds on any machine.
        """
        bus = start_bus()
        client, service = bus.connect(), bus.connect()
        waited: dict[int, int] = {}
        took: dict[int, int] = {}

        def serve() -> None:
            for _ in range(CALLS):
                call = service.take(type=1)
                begin = now = time.monotonic_ns()
                while now - begin < 100_000:
                    now = time.monotonic_ns()
                waited[call.serial] = (now - begin) // 1000
                service.reply(call)

        thread = threading.Thread(target=serve)
        options = ("--json", "monitor", "--to", service.unique, "--member", "Get", "-n", str(2 * CALLS))
        with watching(bus.address, *options) as running:
            thread.start()
            for _ in range(CALLS):
                begin = time.monotonic_ns()
                serial = client.start_call(service.unique, "Get")
                client.reply_to(serial)
                took[serial] = -(-(time.monotonic_ns() - begin) // 1000)
            events = [json.loads(line) for line in running.read_all().splitlines()]
        thread.join(DEADLINE)
        told = {one["reply_serial"]: one["duration_us"] for one in events if one["type"] == "return"}
        assert told.keys() == took.keys() == waited.keys()
        # Stamps are whole microseconds.
        assert [n for n in told if not waited[n] - 1 <= told[n] <= took[n] + 1] == []
        assert min(told.values()) >= 99

    def test_other_bus(self, ctl: Ctl, start_bus: StartBus) -> None:
        """The times of a bus that has no stamps are called coarse."""
        bus = start_bus(executable="/usr/bin/dbus-daemon")
        client, service = bus.connect(), bus.connect()
        echo = Echo(service)
        with watching(bus.address, "--json", "latency", NAME, "-t", "1") as running:
            client.call(NAME, "Get")
            data = json.loads(running.read_all())["data"]
        echo.stop(client)
        assert data["precision"] == "coarse"

    def test_stamps(self, start_bus: StartBus) -> None:
        """Each message has a stamp in front, of the time between its sending and its receipt."""
        bus = start_bus()
        tracer, client, service = bus.connect(), bus.connect(), bus.connect()
        tracer.driver("Trace", "as", ["member='Hail'", "type='method_return'"], interface=INSPECT)
        tracer.take(member="NameLost")
        before = time.monotonic_ns() // 1000
        call = client.start_call(service.unique, "Hail")
        got = service.take(member="Hail")
        between = time.monotonic_ns() // 1000
        service.reply(got)
        client.reply_to(call)
        after = time.monotonic_ns() // 1000
        seen = [tracer.take(type=4, member="Stamp"), tracer.receive(), tracer.receive(), tracer.receive()]
        assert [one.member or one.reply_serial for one in seen] == ["Stamp", "Hail", "Stamp", call]
        assert {one.sender for one in seen if one.member == "Stamp"} == {BUS}
        first, second = seen[0].body[0], seen[2].body[0]
        assert before <= first <= between + 1 <= second + 1 <= after + 2

    def test_monitors_see_no_stamps(self, start_bus: StartBus) -> None:
        """They are a tracer's alone."""
        bus = start_bus()
        watching, tracer, client = monitor(bus), bus.connect(), bus.connect()
        tracer.driver("Trace", "as", [], interface=INSPECT)
        client.signal("News")
        client.sync()
        while (one := watching.receive()).member != "News":
            assert one.member != "Stamp"

    def test_no_call(self, ctl: Ctl, start_bus: StartBus) -> None:
        done = ctl("--address", start_bus().address, "latency", NAME, "-t", "0.1")
        assert (done.code, done.out) == (1, "no call was answered\n")

    def test_numbers(self) -> None:
        durations = sorted([1, 3, 100, 100, 5000])
        assert latency.percentile(durations, 0.5) == 100
        assert latency.percentile(durations, 1.0) == 5000
        counted = dict(latency.buckets(durations))
        assert {low: n for low, n in counted.items() if n} == {1: 1, 2: 1, 64: 2, 4096: 1}
        assert list(counted) == [1 << n for n in range(13)]


class TestLedger:
    def message(self, type: int, serial: int, sender: str, destination: str, **fields: Any) -> bytes:
        fields |= {"sender": sender, "destination": destination, "serial": serial}
        return Message(type=type, **fields).encode()

    def test_reply(self) -> None:
        ledger = Ledger()
        call = {"path": "/", "interface": "a.b", "member": "M"}
        ledger.see(self.message(1, 7, ":1.1", NAME, **call), 0, 100)
        reply = ledger.see(self.message(2, 9, ":1.2", ":1.1", reply_serial=7), 0, 350)
        assert (reply.member, reply.duration) == ("M", 250)
        # The same reply again answers nothing.
        again = ledger.see(self.message(2, 9, ":1.2", ":1.1", reply_serial=7), 0, 400)
        assert again.duration is None
        # The reply has told who owns the name.
        assert ledger.owners == {NAME: ":1.2"}

    def test_bound(self) -> None:
        ledger = Ledger()
        call = {"path": "/", "interface": "a.b", "member": "M"}
        for serial in range(1, Ledger.MOST + 3):
            ledger.see(self.message(1, serial, ":1.1", NAME, **call), 0, 0)
        assert ledger.see(self.message(2, 9, ":1.2", ":1.1", reply_serial=1), 0, 0).duration is None
        assert ledger.see(self.message(2, 9, ":1.2", ":1.1", reply_serial=3), 0, 0).duration == 0

    def test_rules(self) -> None:
        """Both names, since dbus-broker compares monitors' rules with unique ones."""
        assert Filter(member="M").rules({}) == []
        rules = Filter(receiver=NAME).rules({NAME: ":1.2"})
        assert rules[1:] == [f"{key}='{one}'" for one in (NAME, ":1.2") for key in ("sender", "destination")]
