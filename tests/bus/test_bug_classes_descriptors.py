"""Bugs of other buses with descriptors (docs/contributing/bug-classes.md)."""

from __future__ import annotations

import contextlib
import os
from typing import ClassVar

import pytest

from support import malformed
from support.daemon import Daemon, config
from support.message import LITTLE, Field, Type
from support.raw import Client, Closed
from support.rlimits import limited_daemon

from .conftest import Connect, StartDaemon


class TestTooManyDescriptors:
    """CVE-2014-3636: a message with too many descriptors to pass on disconnected its receiver."""

    def test_in_one_message(self, bus: Daemon, client: Client, other: Client, pipe: tuple[int, int]) -> None:
        before = bus.open_files()
        with contextlib.suppress(Closed):
            client.start_call(other.unique, "Take", fds=pipe[:1] * 253)
        client.expect_closed()
        other.expect_nothing()
        assert bus.open_files() < before

    def test_without_a_message(self, bus: Daemon, other: Client, pipe: tuple[int, int]) -> None:
        """Descriptors sent with single bytes of a message that claims none are delivered to no client."""
        before = bus.open_files()
        client = bus.connect()
        message = client.message(
            Type.METHOD_CALL, path="/a", member="Take", destination=other.unique
        ).encode()
        with contextlib.suppress(Closed):
            for at in range(len(message)):
                client.send_bytes(message[at : at + 1], pipe)
        client.close()
        other.sync()
        assert sum(len(one.fds) for one in other.inbox) == other.descriptor_count() == 0
        other.match(f"member='NameOwnerChanged',arg0='{client.unique}'")
        while client.unique in other.driver("ListNames"):
            pass
        assert bus.open_files() <= before


class TestTruncatedControlData:
    """CVE-2014-3635, CVE-2020-12049, dbus-broker v22: descriptors for which the bus has no room."""

    def test_no_room(self, start_daemon: StartDaemon, unprivileged: int, pipe: tuple[int, int]) -> None:
        """The sender is disconnected, its descriptors are closed, other clients continue."""
        text = config("unix:path={dir}/bus", limits={"max_message_unix_fds": 250})
        daemon = limited_daemon(start_daemon, unprivileged, 80, text)
        other = daemon.connect()
        other.driver("ReloadConfig")  # which also starts the file watch
        before = daemon.open_files()
        for _ in range(3):
            client = daemon.connect()
            with contextlib.suppress(Closed):
                client.start_call(other.unique, "Take", fds=pipe[:1] * 78)
            client.expect_closed()
            other.expect_nothing()
        other.start_call(other.unique, "Take", fds=pipe)
        assert len(other.expect(member="Take").fds) == 2
        other.sync()
        assert daemon.open_files() <= before  # which may include the end of the reload


class TestNeverFinishedMessages:
    """CVE-2014-3637: descriptors of an incomplete message were kept indefinitely."""

    @pytest.fixture
    def daemon(self, limited: StartDaemon) -> Daemon:
        return limited(pending_fd_timeout=200)

    def half(self, client: Client, *fds: int) -> None:
        data = malformed.signal(LITTLE, (Field.UNIX_FDS, "u", 1))
        client.send_bytes(data[: len(data) // 2], fds)

    def test_time_out(self, daemon: Daemon, unprivileged: int) -> None:
        client = daemon.connect(uid=unprivileged)
        read, write = os.pipe()
        self.half(client, write)
        os.close(write)
        assert os.read(read, 1) == b""
        os.close(read)
        client.expect_closed()

    def test_own_end(self, daemon: Daemon, unprivileged: int) -> None:
        """The client's own socket: the bus itself holds it open and would never see its end of file."""
        observer, client = daemon.connect(), daemon.connect(uid=unprivileged)
        observer.match(f"member='NameOwnerChanged',arg0='{client.unique}'")
        self.half(client, client.socket.fileno())
        client.close()
        observer.expect(member="NameOwnerChanged", body=(client.unique, client.unique, ""))

    def test_no_time_out(self, daemon: Daemon, unprivileged: int, pipe: tuple[int, int]) -> None:
        """An incomplete message without descriptors has no timeout."""
        client, other = daemon.connect(uid=unprivileged), daemon.connect(uid=unprivileged)
        client.send_bytes(malformed.signal(LITTLE)[:50])
        self.half(other, pipe[0])
        other.expect_closed()
        client.send_bytes(malformed.signal(LITTLE)[50:])
        client.sync()


class TestStrayDescriptors:
    """Descriptors of one message were assigned to the next with descriptors (dbus-broker's test-fdstream)."""

    CLAIMS: ClassVar = (Field.UNIX_FDS, "u", 1)

    def test_several_messages_at_once(self, client: Client, pipe: tuple[int, int]) -> None:
        """Descriptors are assigned in order to the messages that begin in the bytes they were sent with."""
        client.match("type='signal',interface='org.example.Malformed'")
        one, none = malformed.signal(LITTLE, self.CLAIMS), malformed.signal(LITTLE)
        client.send_bytes(none + one + none + one, pipe)
        got = [len(client.expect(interface=malformed.INTERFACE).fds) for _ in range(4)]
        assert got == [0, 1, 0, 1]

    @pytest.mark.deviation("stray-descriptors")
    def test_none_claimed(self, client: Client, pipe: tuple[int, int]) -> None:
        """Unclaimed descriptors disconnect the sender."""
        client.send_bytes(malformed.signal(LITTLE), pipe[:1])
        client.expect_closed()

    @pytest.mark.deviation("stray-descriptors")
    def test_claimed_by_a_later_message(self, client: Client, other: Client, pipe: tuple[int, int]) -> None:
        other.match("type='signal',interface='org.example.Malformed'")
        client.send_bytes(malformed.signal(LITTLE), pipe[:1])
        with contextlib.suppress(Closed):
            client.send_bytes(malformed.signal(LITTLE, self.CLAIMS))
        client.expect_closed()
        assert sum(len(message.fds) for message in other.inbox) == 0

    @pytest.mark.deviation("stray-descriptors")
    def test_more_than_claimed(self, client: Client, pipe: tuple[int, int]) -> None:
        client.send_bytes(malformed.signal(LITTLE, self.CLAIMS), pipe)
        client.expect_closed()

    @pytest.mark.deviation("stray-descriptors")
    def test_in_the_middle_of_a_message(self, client: Client, pipe: tuple[int, int]) -> None:
        """The bytes they were sent with contain no beginning of a message."""
        data = malformed.signal(LITTLE, self.CLAIMS)
        client.send_bytes(data[:40])
        client.wait_until_read()
        client.send_bytes(data[40:60], pipe[:1])
        client.expect_closed()

    def test_in_pieces(self, client: Client, pipe: tuple[int, int]) -> None:
        """A message gets the descriptors sent with its beginning, however its remainder is split."""
        client.match("type='signal',interface='org.example.Malformed'")
        data = malformed.signal(LITTLE, self.CLAIMS)
        client.send_bytes(data[:1], pipe[:1])
        for at in range(1, len(data) - 1):
            client.send_bytes(data[at : at + 1])
        client.send_bytes(data[-1:])
        client.send_bytes(data, pipe[1:])
        got = [client.expect(interface=malformed.INTERFACE).fds for _ in range(2)]
        assert [os.path.sameopenfile(fds[0], end) for fds, end in zip(got, pipe, strict=True)] == [True, True]

    @pytest.mark.deviation("stray-descriptors")
    def test_behind_the_rest_of_another(self, client: Client, pipe: tuple[int, int]) -> None:
        """Both are accepted: the reference loses descriptors sent with the end of a message."""
        client.match("type='signal',interface='org.example.Malformed'")
        data = malformed.signal(LITTLE, self.CLAIMS)
        client.send_bytes(data[:60], pipe[:1])
        client.send_bytes(data[60:] + data, pipe[1:])
        got = [client.expect(interface=malformed.INTERFACE).fds for _ in range(2)]
        assert [os.path.sameopenfile(fds[0], end) for fds, end in zip(got, pipe, strict=True)] == [True, True]


class TestDescriptorToItself:
    """CVE-2014-3637, second part: complete messages that carry the receiver's own socket."""

    def test_socket(self, bus: Daemon, other: Client, connect: Connect) -> None:
        client = connect()
        other.match(f"member='NameOwnerChanged',arg0='{client.unique}'")
        before = bus.open_files()
        for _ in range(5):
            client.start_call(client.unique, "Take", "h", 0, fds=[client.socket.fileno()])
        client.sync()
        client.close()
        other.expect(member="NameOwnerChanged")
        other.sync()
        assert bus.open_files() < before


class TestSeveralMessagesWithDescriptors:
    """CVE-2014-3533, CVE-2020-12049: descriptors of one message were assigned to or counted for the next."""

    def test_back_to_back(self, client: Client, other: Client) -> None:
        """Each message has the maximum number of descriptors and gets its own, however reads are split."""
        pipes = [os.pipe() for _ in range(48)]
        ends_to_read = [read for read, _ in pipes]
        for number in range(60):
            first = number % 3 * 16
            client.start_call(other.unique, "Take", "u", number, fds=ends_to_read[first : first + 16])
        for number in range(60):
            call = other.expect(member="Take", body=(number,), unix_fds=16)
            wanted = ends_to_read[number % 3 * 16 :]
            assert all(os.path.sameopenfile(*pair) for pair in zip(call.fds, wanted, strict=False))
            other.close_fds()
        for pair in pipes:
            os.close(pair[0])
            os.close(pair[1])

    def test_of_a_disconnected_sender(self, bus: Daemon, other: Client) -> None:
        """dbus-broker v36: the number of a closed descriptor is reused; no client gets another's file."""
        sent: dict[str, os.stat_result] = {}
        for number in range(40):
            client, file = bus.connect(), os.memfd_create(f"of-{number}")
            client.start_call(other.unique, "Take", "h", 0, fds=[file])
            sent[client.unique] = os.fstat(file)
            os.close(file)
            client.close()
        for _ in range(40):
            call = other.expect(member="Take", unix_fds=1)
            assert os.path.samestat(os.fstat(call.fds[0]), sent[str(call.sender)])


class TestTooManyReferences:
    """CVE-2014-3532: sendmsg failed with ETOOMANYREFS, and the receiver was disconnected."""

    def test_receiver_stays_connected(
        self, start_daemon: StartDaemon, unprivileged: int, pipe: tuple[int, int]
    ) -> None:
        """The kernel limits a user's descriptors in flight; a message over the limit is not sent."""
        daemon = limited_daemon(start_daemon, unprivileged, 100)
        client, idle, victim = daemon.connect(), daemon.connect(), daemon.connect()
        for _ in range(20):
            client.signal("Fill", destination=idle.unique, fds=pipe[:1] * 16)
            client.driver("GetId")
        client.signal("Lost", destination=victim.unique, fds=pipe)
        client.signal("Plain", destination=victim.unique)
        client.sync()
        victim.expect(member="Plain")
        assert victim.driver("GetId") == client.driver("GetId")
        came = 0
        idle.driver("GetId")
        for message in idle.inbox:
            assert (message.member, len(message.fds)) == ("Fill", 16)
            came += 1
        assert 3 <= came < 20
        client.signal("Later", destination=victim.unique, fds=pipe)
        assert len(victim.expect(member="Later").fds) == 2
