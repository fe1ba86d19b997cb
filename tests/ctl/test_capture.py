"""omnibusctl capture, on every bus, and its files."""

from __future__ import annotations

import json
import stat
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibus.ctl import pcapng
from omnibus.ctl.rotation import Rotation, ring
from omnibus.ctl.verbs.capture import moment
from support.capture import read_capture, wait_for_capture
from support.daemon import Daemon
from support.raw import DEADLINE, Client

from .conftest import Ctl, StartBus
from .watching import ME, NAME, Echo, watching


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

    def test_ring(self, ctl: Ctl, start_bus: StartBus, tmp_path: Path) -> None:
        """A ring is read as one capture by its name, while it goes on, too."""
        bus, file = start_bus(), tmp_path / "bus.pcapng"
        client, service = bus.connect(), bus.connect()
        echo = Echo(service)
        with watching(bus.address, "capture", "-w", str(file), "-C", "0.002", "-W", "50") as running:
            for number in range(20):
                client.call(NAME, f"Get{number}", "s", "x" * 500)
            client.call(NAME, "Last")
            end = time.monotonic() + DEADLINE
            while "Last" not in (found := ctl("capture", "read", file, "--type", "call").out):
                assert time.monotonic() < end
            running.process.send_signal(15)
            assert running.process.wait(DEADLINE) == 0
        echo.stop(client)
        assert [f"Get{n}" in found for n in range(20)] == [True] * 20
        assert len(ring(str(file))) > 5
        assert all(stat.S_IMODE(Path(one).stat().st_mode) == 0o600 for one in ring(str(file)))
        assert ctl("capture", "read", tmp_path / "none/file").code == 1

    def test_perfetto(self, ctl: Ctl, start_bus: StartBus, tmp_path: Path) -> None:
        """Chrome's JSON format: complete events have a start and a duration, in microseconds.

        Field by field, as no package ships Perfetto's trace processor: the one of that name downloads it.
        """
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

    def test_ring_goes_on(self, tmp_path: Path) -> None:
        """A program that is started again continues the ring: nothing is overwritten, and no more is kept."""
        for number in (3, 4, 9):
            (tmp_path / f"f.{number}").write_bytes(pcapng.header())
        for other in ("f", "f.", "f.07", "f.x", "f.4.part", "g.1"):
            (tmp_path / other).write_text("another file")
        rotation = Rotation(str(tmp_path / "f"), max_bytes=200, n_files=3)
        assert rotation.number == 10
        rotation.close()
        assert ring(str(tmp_path / "f")) == [str(tmp_path / f"f.{number}") for number in (4, 9, 10)]
        assert len(list(tmp_path.iterdir())) == 3 + 6

    def test_by_time(self, tmp_path: Path) -> None:
        rotation = Rotation(str(tmp_path / "f"), seconds=1e-9)
        assert rotation.is_due
        rotation.close()

    def test_moment(self) -> None:
        assert moment("2026-11-30 10:00") == moment("2026-11-30 10:00:00")
        today = moment("10:00")
        assert time.localtime(today / 1e6)[3:6] == (10, 0, 0)
