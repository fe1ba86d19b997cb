"""omnibusctl monitor, capture, graph and latency: on every bus, and of captures."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibus.ctl import pcapng
from omnibus.ctl.exits import Stop
from omnibus.ctl.filter import Filter
from omnibus.ctl.message import Ledger
from omnibus.ctl.rotation import Rotation
from omnibus.ctl.verbs import graph, latency
from omnibus.ctl.verbs.capture import moment
from support.broker import broker
from support.capture import read_capture, wait_for_capture
from support.daemon import Daemon
from support.message import Message
from support.monitor import monitor
from support.programs import Program
from support.raw import BUS, DEADLINE, Client

from .conftest import PROGRAM, Ctl, Done, StartBus, program

NAME = "com.example.Echo"
INSPECT = "org.omnibus.Inspect1"
ME = f"[{os.getpid()}]"


class Echo:
    """A service that answers every call after a pause, in a thread."""

    def __init__(self, client: Client, pause: float = 0.0) -> None:
        self.client = client
        self.pause = pause
        client.driver("RequestName", "su", NAME, 0)
        self._thread = threading.Thread(target=self._serve)
        self._ends = False
        self._thread.start()

    def _serve(self) -> None:
        while True:
            call = self.client.take(type=1)
            if call.member == "End":
                return
            threading.Event().wait(self.pause)
            if call.member == "Fail":
                self.client.error(call, "com.example.Error.Failed", "no")
            else:
                self.client.reply(call)

    def stop(self, client: Client) -> None:
        client.start_call(self.client.unique, "End", flags=1)
        self._thread.join(DEADLINE)


@contextmanager
def watching(address: str, *arguments: str) -> Iterator[Program]:
    """Run a verb of long duration, which is a monitor when this returns."""
    client = Client(address)
    running = Program([str(PROGRAM), "--address", address, *arguments], os.environ)
    try:
        client.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged'")
        # A monitor loses its unique name.
        lost: set[str] = set()
        end = time.monotonic() + DEADLINE
        while not lost and time.monotonic() < end:
            changed = client.take(type=4, member="NameOwnerChanged")
            name, old, new = changed.body
            if name.startswith(":") and old and not new:
                lost.add(name)
        yield running
    finally:
        client.close()
        running.stop()


def address_of(bus: Any) -> str:
    return str(bus.address)


@pytest.fixture(params=["omnibusd", "dbus-daemon", "dbus-broker"])
def every_bus(request: pytest.FixtureRequest, start_bus: StartBus, tmp_path: Path) -> Iterator[str]:
    """The address of a bus of each kind."""
    if request.param == "dbus-broker":
        with broker(tmp_path) as bus:
            yield bus.address
    elif request.param == "dbus-daemon":
        yield start_bus(executable="/usr/bin/dbus-daemon").address
    else:
        yield start_bus().address


class TestMonitor:
    def events(
        self, running: Program, enough: Callable[[list[dict[str, Any]]], bool]
    ) -> list[dict[str, Any]]:
        """Read events until there are enough."""

        def parsed() -> list[dict[str, Any]]:
            return [json.loads(line) for line in running.output.split("\n")[:-1]]

        running.read(lambda: enough(parsed()))
        return parsed()

    def test_calls_and_replies(self, every_bus: str) -> None:
        """A filter for a well-known name: its calls, their replies with the time since, and nothing else."""
        service, client, stranger = Client(every_bus), Client(every_bus), Client(every_bus)
        echo = Echo(service, pause=0.02)
        with watching(every_bus, "--json", "monitor", "--to", NAME) as running:
            stranger.signal("News")
            stranger.sync()
            client.call(NAME, "Get")
            client.signal("News")
            found = self.events(running, lambda found: len(found) >= 2)
        echo.stop(client)
        call, reply = found
        assert (call["type"], call["member"], call["destination"]) == ("call", "Get", NAME)
        assert (call["sender"], call["destination_unique"]) == (client.unique, service.unique)
        assert (reply["type"], reply["member"], reply["reply_serial"]) == ("return", "Get", call["serial"])
        assert reply["duration_us"] >= 15_000
        for one in (service, client, stranger):
            one.close()

    def test_line(self, start_bus: StartBus) -> None:
        bus = start_bus()
        client, service = bus.connect(), bus.connect()
        echo = Echo(service)
        with watching(bus.address, "monitor", NAME, "-n", "2") as running:
            client.start_call(NAME, "Fail", "su", "text\x1b", 5)
            lines = running.read_lines(2)
        echo.stop(client)
        assert f"call   {client.unique} " in lines[0]
        assert f"{ME} → {NAME} " in lines[0]
        assert '("text\\x1b", 5)' in lines[0]
        assert "error  " in lines[1]
        assert "com.example.Error.Failed of org.example.Interface.Fail for #" in lines[1]

    def test_errors_only(self, start_bus: StartBus) -> None:
        bus = start_bus()
        client, service = bus.connect(), bus.connect()
        echo = Echo(service)
        with watching(bus.address, "--json", "monitor", "--errors-only", "--no-body") as running:
            client.call(NAME, "Get")
            client.start_call(NAME, "Fail")
            (found,) = self.events(running, lambda found: len(found) >= 1)
        echo.stop(client)
        assert found["error"] == "com.example.Error.Failed"
        assert "body" not in found

    def test_owner_changes(self, start_bus: StartBus) -> None:
        """A name that moves to another connection is followed."""
        bus = start_bus()
        first, second, client = bus.connect(), bus.connect(), bus.connect()
        first.own(NAME)
        with watching(bus.address, "--json", "monitor", "--from", NAME) as running:
            first.driver("ReleaseName", "s", NAME)
            second.own(NAME)
            first.signal("Old")
            first.sync()
            second.signal("New")
            found = self.events(running, lambda found: any(one["member"] == "New" for one in found))
        assert not any(one["member"] == "Old" for one in found)
        client.close()

    def test_unprivileged(self, start_bus: StartBus, unprivileged: int) -> None:
        bus = start_bus()
        user = {"user": unprivileged, "group": unprivileged, "extra_groups": []}
        done = program("--address", bus.address, "monitor", "-t", "1", **user)
        assert done.code == 4, done


class TestCapture:
    def record(self, bus: Daemon, file: Path, *options: str) -> tuple[Client, Client]:
        client, service = bus.connect(), bus.connect()
        echo = Echo(service)
        with watching(bus.address, "capture", "-w", str(file), *options) as running:
            for member in ("Get", "Fail", "Set"):
                client.start_call(NAME, member, "s", "x" * 50)
            client.sync()
            client.call(NAME, "Last")
            wait_for_capture(file, "Last", lambda: time.sleep(0.01))
            running.process.send_signal(2)
            assert running.process.wait(DEADLINE) == 0
        echo.stop(client)
        return client, service

    def test_file(self, ctl: Ctl, start_bus: StartBus, tmp_path: Path) -> None:
        """The file has every message, for its owner alone, and names the senders; it can be read back."""
        file = tmp_path / "bus.pcapng"
        client, _ = self.record(start_bus(), file)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        members = [message.member for message in read_capture(file.read_bytes())]
        assert {"Get", "Fail", "Set"} <= set(members)
        with file.open("rb") as stream:
            comments = [packet.comment for packet in pcapng.read(stream) if packet.comment]
        assert any(one.startswith(f"{client.unique} = ") and ME in one for one in comments)
        done = ctl("--json", "capture", "read", file, "--to", NAME, "--errors-only")
        (error,) = [json.loads(line) for line in done.out.splitlines()]
        assert error["member"] == "Fail"
        assert error["sender"] != error["destination"]
        assert ME in ctl("capture", "read", file, "--member=Set").out

    def test_existing_file(self, start_bus: StartBus, tmp_path: Path) -> None:
        """A file that exists is replaced: its readers and its mode are not inherited."""
        file, victim = tmp_path / "bus.pcapng", tmp_path / "victim"
        victim.write_text("untouched")
        victim.chmod(0o666)
        file.symlink_to(victim)
        self.record(start_bus(), file)
        assert victim.read_text() == "untouched"
        assert stat.S_IMODE(file.lstat().st_mode) == 0o600

    def test_times(self, ctl: Ctl, start_bus: StartBus, tmp_path: Path) -> None:
        file = tmp_path / "bus.pcapng"
        self.record(start_bus(), file)
        assert ctl("capture", "read", file, "--until", "1999-01-01").out == ""
        assert ctl("capture", "read", file, "--since", "1999-01-01").out != ""
        assert ctl("capture", "read", file, "--since", "yesterday").code == 2

    def test_perfetto(self, ctl: Ctl, start_bus: StartBus, tmp_path: Path) -> None:
        """Chrome's JSON format: complete events have a start and a duration, in microseconds."""
        file, trace = tmp_path / "bus.pcapng", tmp_path / "trace.json"
        client, service = self.record(start_bus(), file)
        assert ctl("capture", "read", file, "--perfetto", trace).code == 0
        assert stat.S_IMODE(trace.stat().st_mode) == 0o600
        events = json.loads(trace.read_text())["traceEvents"]
        rows = {one["tid"]: one["args"]["name"] for one in events if one["name"] == "thread_name"}
        slices = [one for one in events if one["ph"] == "X"]
        assert {one["name"] for one in slices} >= {"org.example.Interface.Get", "org.example.Interface.Fail"}
        for one in slices:
            assert isinstance(one["ts"], int) and isinstance(one["dur"], int) and one["dur"] >= 0
            assert one["pid"] == 1 and one["tid"] in rows
        (failed,) = [one for one in slices if one["name"].endswith(".Fail")]
        assert (failed["cat"], failed["args"]["caller"]) == ("error", client.unique)
        assert rows[failed["tid"]].startswith(f"{service.unique} ")
        assert all(one["ph"] in "XiM" for one in events)

    def test_no_file(self, ctl: Ctl, tmp_path: Path) -> None:
        assert ctl("capture").code == 2
        assert ctl("capture", "read").code == 2
        assert ctl("capture", "read", tmp_path / "none").code == 1
        (tmp_path / "text").write_text("this is no capture")
        assert ctl("capture", "read", tmp_path / "text").code == 1

    def test_wireshark(self, start_bus: StartBus, tmp_path: Path) -> None:
        """Wireshark opens it, and shows the comments."""
        file = tmp_path / "bus.pcapng"
        client, _ = self.record(start_bus(), file)
        try:
            done = subprocess.run(
                ["tshark", "-r", file, "-T", "fields", "-e", "dbus.member", "-e", "frame.comment"],
                capture_output=True,
                text=True,
                check=True,
            )
        except FileNotFoundError:
            pytest.skip("tshark is not installed")
        assert "Get" in done.stdout
        assert f"{client.unique} = " in done.stdout


class TestFiles:
    """pcapng files, and their rotation."""

    @given(
        st.lists(
            st.builds(
                pcapng.Packet,
                st.integers(0, 2**62),
                st.binary(max_size=50),
                st.integers(0, 2**31),
                st.one_of(st.none(), st.text(min_size=1, max_size=5)),
            ),
            max_size=5,
        )
    )
    def test_both_ways(self, packets: list[pcapng.Packet]) -> None:
        import io

        data = pcapng.header() + b"".join(map(pcapng.packet, packets))
        assert list(pcapng.read(io.BytesIO(data))) == packets

    @given(st.binary(max_size=200), st.booleans())
    def test_noise(self, data: bytes, with_head: bool) -> None:
        import io
        from contextlib import suppress

        with suppress(ValueError):
            list(pcapng.read(io.BytesIO((pcapng.header() if with_head else b"") + data)))

    def test_cut_short(self, tmp_path: Path) -> None:
        """What is being written can be read."""
        import io

        data = pcapng.header() + pcapng.packet(pcapng.Packet(1, b"abc", 3)) * 2
        assert len(list(pcapng.read(io.BytesIO(data[:-5])))) == 1

    def test_rotation(self, tmp_path: Path) -> None:
        rotation = Rotation(str(tmp_path / "f"), max_bytes=200, n_files=2)
        for _ in range(7):
            if rotation.is_due:
                rotation.begin()
            rotation.write(pcapng.Packet(1, bytes(100), 100))
        rotation.close()
        assert rotation.number > 3
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == [f"f.{rotation.number - 1}", f"f.{rotation.number}"]
        for path in tmp_path.iterdir():
            with path.open("rb") as stream:
                assert list(pcapng.read(stream))

    def test_by_time(self, tmp_path: Path) -> None:
        rotation = Rotation(str(tmp_path / "f"), seconds=1e-9)
        assert rotation.is_due
        rotation.close()

    def test_moment(self) -> None:
        assert moment(None) is None
        assert moment("2026-11-30 10:00") == moment("2026-11-30 10:00:00")
        today = moment("10:00")
        assert today is not None
        assert time.localtime(today / 1e6)[3:6] == (10, 0, 0)


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
        assert '":1.5\\na\\"b[1]" -> "com.example.Echo\\nx[2]" [label="10 calls", color=black' in text

    def test_mermaid(self) -> None:
        assert graph.mermaid(self.EDGES).splitlines() == [  # type: ignore[arg-type]
            "flowchart LR",
            '  n0[":1.5 a#quot;b[1]"]',
            '  n1["com.example.Echo x[2]"]',
            '  n0 -->|"10 calls"| n1',
            '  n2[":1.5"]',
            '  n3["*"]',
            '  n2 -->|"1 signals"| n3',
        ]


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
