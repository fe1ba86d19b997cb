"""What counts was verified: a bus that isn't right fails the case, whatever it does wrong."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omnibus.bench import busbench
from omnibus.bench.daemons import COMMANDS, OURS, Daemon
from omnibus.bench.settings import STOCK

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="a C compiler builds the clients")

Lie = Callable[[bytes], bytes]
WARM = 20  # messages that pass before the lie


@pytest.fixture(scope="module", autouse=True)
def build() -> None:
    busbench.PROGRAM.parent.mkdir(exist_ok=True)
    with (busbench.PROGRAM.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "-C", busbench.HERE], check=True)


@pytest.fixture(scope="module")
def bus() -> Iterator[Daemon]:
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    directory.chmod(0o755)  # those who make trouble are another user
    daemon = Daemon(OURS, COMMANDS[OURS], STOCK, directory / "bus")
    yield daemon
    daemon.stop()
    shutil.rmtree(directory)


class Liar:
    """Stands between clients and a bus, and tells one lie: about the first call after the warm-up."""

    def __init__(self, bus: Daemon, lie: Lie, directory: Path) -> None:
        self.address = f"unix:path={directory}/liar"
        self._bus = bus
        self._lie = lie
        self._calls = 0
        self._sockets: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{directory}/liar")
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in [*self._sockets, self._listener]:
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._bus.socket))
                self._sockets += [client, server]
                for ends in (client, server), (server, client):
                    thread = threading.Thread(target=self._pump, args=(*ends, ends[0] is server))
                    self._threads.append(thread)
                    thread.start()

    def _pump(self, source: socket.socket, target: socket.socket, from_bus: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if from_bus and b"Echo\0" in data:
                    self._calls += 1
                    if self._calls == WARM:
                        data = self._lie(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def flip_last_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def rename(data: bytes, at: int) -> bytes:
    """Change the first digit of a unique name."""
    return data[: at + 3] + bytes([data[at + 3] ^ 1]) + data[at + 4 :]


def rename_first(data: bytes) -> bytes:
    return rename(data, data.index(b":1."))


def rename_last(data: bytes) -> bytes:
    return rename(data, data.rindex(b":1."))


@pytest.mark.parametrize(
    ("lie", "found"),
    [
        (lambda data: data, None),
        (flip_last_bit, "altered"),
        (lambda data: data + data, "LOST OR REORDERED"),
        (rename_first, "wrong call"),
        (rename_last, "wrong call"),
        (lambda data: data.replace(b"Echo\0", b"Ecco\0"), "wrong call"),
        (lambda data: data[:4] + b"\xff\xff\xff\xff" + data[8:], "implausible message length"),
    ],
)
def test_a_lie_is_found(bus: Daemon, tmp_path: Path, lie: Lie, found: str | None) -> None:
    liar = Liar(bus, lie, tmp_path)
    try:
        # long enough for WARM messages on a busy machine; a lie ends it
        base = ["--address", liar.address, "--seconds", "1", "--warm", "0.01"]
        (result,) = busbench.run([*base, "rtt"])
    finally:
        liar.close()
    assert result["ok"] is (found is None), result
    assert (found or "") in result.get("error", "")


@pytest.mark.parametrize("case", ["pipeline", "fanout", "connect", "driver", "mixed", "bystander=large"])
def test_an_honest_bus_passes(bus: Daemon, case: str) -> None:
    base = ["--address", bus.address, "--seconds", "0.05", "--warm", "0.01"]
    results = busbench.run([*base, "--subs", "1,3", "--clients", "16", case])
    assert results
    assert [result for result in results if not result["ok"]] == []
