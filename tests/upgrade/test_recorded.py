"""A release resumes the state that each release before it has written (``record.py``), and what a client
had then goes on."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from omnibus import __version__
from support.daemon import Daemon, launch, private_directory
from support.message import LITTLE, Type
from support.raw import BUS, BUS_PATH, DEADLINE, BusError, Client

from .record import HALF, LAST, NAME, REST_OF_AUTH, RULE, STATES, half_a_signal, record
from .state_file import StateFile

FIRST = 300  # our copies of the descriptors have numbers that no recorded one has
# Gives each descriptor its recorded number, and becomes the program.
PLACE = f"""
import json, os, sys
for number, fd in json.loads(sys.argv[1]).items():
    os.dup2(fd, int(number))
os.closerange({FIRST}, {2 * FIRST})
os.execv(sys.argv[2], sys.argv[2:])
"""
RELEASES = sorted(path.stem for path in STATES.glob("*.state"))


class Kept(Client):
    """The client's end of a connection that the state has."""

    def __init__(self, end: socket.socket, unique: str) -> None:
        end.settimeout(DEADLINE)
        self.deadline, self.socket = DEADLINE, end
        self.buffer, self.fds, self.kept = bytearray(), [], []
        self.order, self.inbox, self.serial, self.unique = LITTLE, [], 1000, unique


def _copy(sock: socket.socket) -> int:
    return fcntl.fcntl(sock, fcntl.F_DUPFD, FIRST)


class Resumed:
    """A bus that goes on with a recorded state, and the other ends of its connections."""

    def __init__(self, release: str, executable: str, stack: contextlib.ExitStack) -> None:
        self.state = StateFile((STATES / f"{release}.state").read_bytes())
        self.roles = json.loads((STATES / f"{release}.json").read_text())
        self.directory = private_directory()
        self.fds: dict[int, int] = {}
        self.ends: dict[int, socket.socket] = {}
        doors = self.roles["doors"]
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(self.directory / "bus"))
            door.listen()
            self.fds |= {number: _copy(door) for number in doors}
        for number in set(self.state.numbers()).difference(doors):
            ours, self.ends[number] = socket.socketpair()
            stack.callback(self.ends[number].close)
            with ours:
                self.fds[number] = _copy(ours)
        self.state.identify(self.fds)
        self.state.set_handshake_time(int(time.monotonic() * 1000))
        self.daemon = self._start(executable)
        stack.callback(self.daemon.stop)

    def _start(self, executable: str) -> Daemon:
        memfd = os.memfd_create("omnibus-state", os.MFD_ALLOW_SEALING)
        os.write(memfd, self.state.encode())
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, seals)
        last = max(self.fds) + 1
        passed = self.fds | {last: fcntl.fcntl(memfd, fcntl.F_DUPFD, FIRST)}
        os.close(memfd)
        options = [f"--resume-fd={last}", f"--config-file={self.directory}/bus.conf", "--nofork"]
        command = [json.dumps(passed), executable, *options]
        try:
            process = launch(
                sys.executable, ["-c", PLACE, *command], self.directory, pass_fds=list(passed.values())
            )
        finally:
            for fd in passed.values():
                os.close(fd)
        return Daemon(process, f"unix:path={self.directory}/bus", self.directory)

    def client(self, part: str) -> Client:
        unique, number = self.roles["clients"][part]
        return Kept(self.ends[number], unique)


@pytest.fixture(scope="module", params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def resumed(release: str, executable: str) -> Iterator[Resumed]:
    with contextlib.ExitStack() as stack:
        yield Resumed(release, executable, stack)


class TestRecording:
    def test_of_this_release(self, executable: str) -> None:
        """It has the sections and versions that are written today; otherwise run ``make record-state``."""
        assert __version__ in RELEASES
        recorded = StateFile((STATES / f"{__version__}.state").read_bytes())
        today, _ = record(executable)
        assert (today.format, today.heads) == (recorded.format, recorded.heads)


class TestRecordedState:
    def test_names(self, resumed: Resumed) -> None:
        """The queue of a name, with its flags."""
        owner, second = resumed.client("owner"), resumed.client("second")
        assert owner.driver("ListQueuedOwners", "s", NAME) == [owner.unique, second.unique]
        owner.driver("ReleaseName", "s", NAME)
        second.take(type=Type.SIGNAL, member="NameAcquired", body=(NAME,))

    def test_match_rules(self, resumed: Resumed) -> None:
        """A rule that was added twice; the half of a signal that was received is completed."""
        listener, half = resumed.client("listener"), resumed.client("half")
        half.send_bytes(half_a_signal(half)[HALF:])
        assert listener.take(member="Half").sender == half.unique
        for _ in range(2):
            listener.driver("RemoveMatch", "s", RULE)
        with pytest.raises(BusError):
            listener.driver("RemoveMatch", "s", RULE)

    def test_pending_replies(self, resumed: Resumed) -> None:
        caller, service = resumed.client("caller"), resumed.client("service")
        service.send(
            service.message(Type.METHOD_RETURN, "s", "late", destination=caller.unique, reply_serial=42)
        )
        assert caller.reply_to(42).body == ("late",)

    def test_unread_messages(self, resumed: Resumed) -> None:
        """What a client has not read follows in order, from the byte that was to be written next."""
        slow = resumed.client("slow")
        slow.start_call(BUS, "GetId", path=BUS_PATH, interface=BUS)
        deadline = time.monotonic() + DEADLINE
        # The beginning of the first is in a socket that is gone.
        while (begin := slow.buffer.find(b"l\4\0\1")) < 0:
            slow.fill(deadline)
        assert slow.buffer[:begin].strip(b"x\0") == b""
        del slow.buffer[:begin]
        found = []
        while (message := slow.read_message(deadline)).type == Type.SIGNAL:
            found.append(message)
        numbers = [message.body[0] for message in found if message.member == "M"]
        assert numbers == [numbers[0], numbers[0] + 1, LAST]
        assert found[-1].member == "Fd"
        assert len(found[-1].fds) == 1
        slow.close_fds()

    def test_monitor(self, resumed: Resumed) -> None:
        """It sees what it asked for, and is no connection with a name."""
        monitor, sender = resumed.client("monitor"), resumed.client("sender")
        sender.signal("Other")
        sender.signal("Seen")
        assert monitor.take(type=Type.SIGNAL).member == "Seen"
        assert monitor.unique not in sender.driver("ListNames")

    def test_authentication(self, resumed: Resumed) -> None:
        """Half a conversation is heard again, what was answered is not answered twice, and it goes on."""
        end = resumed.ends[resumed.roles["handshake"]]
        wire = Kept(end, "")
        wire.send_bytes(REST_OF_AUTH)
        assert wire.read_line() == b"AGREE_UNIX_FD"
        assert str(wire.driver("Hello")).startswith(":1.")

    def test_new_connections(self, resumed: Resumed) -> None:
        """The socket accepts, and no unique name is given twice."""
        client = Client(resumed.daemon.address)
        taken = [unique for unique, _ in resumed.roles["clients"].values()]
        assert client.unique not in taken
        client.close()
