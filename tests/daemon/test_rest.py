"""A bus at rest: what it keeps of the machine's memory, and that it is never woken."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import DEADLINE, Daemon, start

CONFIGURATIONS = Path(__file__).parents[2] / "daemon/conf"
# KiB of its own. The same modules take 2 MiB more in Python 3.14.
MOST = (14 if sys.version_info >= (3, 14) else 12) * 1024
QUIET = 1.0  # seconds without a wake-up after which a bus has settled
SECONDS = float(os.environ.get("IDLE_SECONDS", "30"))
OF_THE_MACHINE = (
    "include",
    "includedir",
    "servicedir",
    "standard_session_servicedirs",
    "standard_system_servicedirs",
)
WATCHDOG = 15.0  # seconds; it tells the manager three times as often


def processes(pid: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from processes(int(child))


def own_memory(pid: int) -> int:
    """Return the KiB that no other process shares, and that are in memory or swapped, of all processes."""
    found = 0
    for one in processes(pid):
        fields = re.findall(
            r"^(?:Private_Dirty|Swap): +(\d+) kB", Path(f"/proc/{one}/smaps_rollup").read_text(), re.MULTILINE
        )
        found += sum(map(int, fields))
    return found


def wakeups(pid: int) -> int:
    """Return how often a thread of the process, or of its descendants, went to sleep."""
    found = 0
    for one in processes(pid):
        for task in Path(f"/proc/{one}/task").iterdir():
            (n,) = re.findall(
                r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.MULTILINE
            )
            found += int(n)
    return found


def wait_until_settled(bus: Daemon) -> None:
    """Wait until files are watched, and until what has followed from that is done."""
    end = time.monotonic() + DEADLINE
    before = -1
    while not bus.watches() or wakeups(bus.pid) != before:
        assert time.monotonic() < end, bus.stderr
        before = wakeups(bus.pid)
        time.sleep(QUIET)


def start_settled(executable: str, configuration: str, *without: str, **options: object) -> Daemon:
    """Start a bus with a configuration as installed, one client, and wait until it has nothing to do.

    ``without``: more elements to leave out.
    """
    text = (CONFIGURATIONS / configuration).read_text()
    for element in ("listen", "user", "pidfile", "fork", *without):
        text = re.sub(rf"<{element}[^>/]*>.*?</{element}>|<{element} */>", "", text, flags=re.DOTALL)
    text = text.replace("</busconfig>", "<listen>unix:path={dir}/bus</listen></busconfig>")
    # The file of its own in /etc would be looked for, and other tests change /etc.
    bus = start(executable, text, ["--nopidfile", "--omnibus-config={dir}/omnibus.conf"], **options)
    bus.connect()
    wait_until_settled(bus)
    return bus


@pytest.fixture(params=["session.conf", "system.conf"])
def configuration(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestMemory:
    def test_own(self, request: pytest.FixtureRequest, configuration: str) -> None:
        """A bus with the configuration as installed keeps at most 12 MiB of its own, 14 with Python 3.14."""
        bus = start_settled(str(request.config.option.daemon), configuration)
        try:
            assert own_memory(bus.pid) < MOST
        finally:
            bus.stop()


class TestIdle:
    def test_no_wakeup(self, request: pytest.FixtureRequest, configuration: str) -> None:
        """Nothing happens, so nothing is woken. Others may change the machine's files, which are left out."""
        bus = start_settled(str(request.config.option.daemon), configuration, *OF_THE_MACHINE)
        try:
            before = wakeups(bus.pid)
            time.sleep(SECONDS)  # the time is the test
            assert wakeups(bus.pid) == before
        finally:
            bus.stop()

    def test_watchdog(self, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        """With systemd's watchdog: for each message to the manager one thread asks the other, and no more."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "notify"))
            environment = os.environ | {
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": str(int(WATCHDOG * 1e6)),
            }
            daemon = str(request.config.option.daemon)
            bus = start_settled(daemon, "session.conf", *OF_THE_MACHINE, env=environment)
            try:
                before, began = wakeups(bus.pid), time.monotonic()
                time.sleep(SECONDS)
                messages = 1 + (time.monotonic() - began) / (WATCHDOG / 3)
                assert wakeups(bus.pid) - before <= 3 * messages
            finally:
                bus.stop()
