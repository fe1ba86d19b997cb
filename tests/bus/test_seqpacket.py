"""``unix-seqpacket:``, a transport of omnibus: messages in packets."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator

import pytest
from dbus_fast import Message as FastMessage
from dbus_fast import MessageType

from support.daemon import Daemon, config, private_directory, start
from support.message import Message, Type
from support.programs import Program, need_library, need_programs, peer_command, run
from support.raw import PACKET, Client, Closed, Wire
from support.seqpacket import PacketBus

from .conftest import StartDaemon

pytestmark = pytest.mark.deviation("multicast")

MIB = 1 << 20
SO_SNDBUFFORCE = 32
PACKETS, STREAM = "unix-seqpacket", "unix"


@pytest.fixture(scope="module")
def daemon(executable: str) -> Iterator[Daemon]:
    """A bus with both types of sockets; the packet socket was configured last."""
    found = start(executable, config("unix:path={dir}/bus", "unix-seqpacket:path={dir}/packets"))
    yield found
    found.stop()


@pytest.fixture
def addresses(daemon: Daemon) -> Iterator[dict[str, str]]:
    """The bus's addresses by transport; the clients end with the test."""
    yield {one.partition(":")[0]: one for one in daemon.address.split(";")}
    daemon.close_clients()


def connect(daemon: Daemon, address: str) -> Client:
    daemon.clients.append(Client(address))
    return daemon.clients[-1]


@pytest.fixture
def client(daemon: Daemon, addresses: dict[str, str]) -> Client:
    return connect(daemon, addresses[PACKETS])


@pytest.fixture(params=[PACKETS, STREAM])
def other(daemon: Daemon, addresses: dict[str, str], request: pytest.FixtureRequest) -> Client:
    return connect(daemon, addresses[request.param])


class TestAddress:
    def test_order(self, daemon: Daemon) -> None:
        """The standard address comes first."""
        first, second = daemon.address.split(";")
        assert first.startswith(f"unix:path={daemon.directory}/bus,guid=")
        assert second.startswith(f"unix-seqpacket:path={daemon.directory}/packets,guid=")

    def test_abstract(self, start_daemon: StartDaemon) -> None:
        name = private_directory()
        name.rmdir()
        daemon = start_daemon(config(f"unix-seqpacket:abstract={name}"))
        assert daemon.connect().driver("GetId")

    @pytest.mark.parametrize("peer", ["glib", "libdbus", "sdbus"])
    def test_unmodified_libraries(self, daemon: Daemon, peer: str) -> None:
        """They connect to the first address, with the whole list in their environment."""
        need_library(peer)
        name = f"org.omnibus.{peer}"
        service = Program(peer_command(peer, "service", name), daemon.environment())
        try:
            service.read_until("ready")
            assert run(peer_command(peer, "call", name), daemon.environment()).stdout == "ok\n"
        finally:
            service.stop()

    @pytest.mark.parametrize("program", [["dbus-send", "--print-reply"], ["gdbus"], ["busctl"]])
    def test_unmodified_programs(self, daemon: Daemon, program: list[str]) -> None:
        need_programs(program[0])
        bus = "org.freedesktop.DBus"
        rest = {
            "dbus-send": [f"--dest={bus}", "/", f"{bus}.GetId"],
            "gdbus": ["call", "--session", "-d", bus, "-o", "/", "-m", f"{bus}.GetId"],
            "busctl": ["--user", "call", bus, "/", bus, "GetId"],
        }[program[0]]
        assert daemon.guid in run([*program, *rest], daemon.environment()).stdout


class TestMessages:
    def test_call(self, client: Client, other: Client) -> None:
        serial = client.start_call(other.unique, "Ask", "s", "what")
        call = other.expect(member="Ask", body=("what",), sender=client.unique)
        other.reply(call, "s", "that")
        assert client.reply_to(serial).body == ("that",)

    def test_signal(self, client: Client, other: Client) -> None:
        client.match("type='signal',member='Changed'")
        other.signal("Changed", "u", 7)
        client.expect(member="Changed", body=(7,), sender=other.unique)

    def test_one_message_a_packet(self, daemon: Daemon, client: Client, other: Client) -> None:
        """Queued messages are not joined."""
        for number in range(3):
            other.start_call(client.unique, "Count", "u", number)
        other.driver("GetId")
        for number in range(3):
            assert not client.buffer
            client.expect(member="Count", body=(number,))

    def test_several_in_one_packet(self, client: Client, other: Client) -> None:
        """Several messages in one packet are accepted."""
        calls = [
            client.message(
                Type.METHOD_CALL, "u", number, destination=other.unique, path="/", interface="a.b", member="M"
            )
            for number in range(3)
        ]
        client.send_bytes(b"".join(call.encode() for call in calls))
        for number in range(3):
            other.expect(member="M", body=(number,))

    @pytest.mark.parametrize("size", [PACKET - 200, PACKET, PACKET + 1, MIB, 5 * MIB])
    def test_long(self, client: Client, other: Client, size: int) -> None:
        """A message of more than 64 KiB is split into packets."""
        text = "x" * size
        serial = client.start_call(other.unique, "Take", "s", text)
        other.reply(other.expect(member="Take", body=(text,)), "s", text)
        assert client.reply_to(serial).body == (text,)

    def test_long_with_more_behind_it(self, client: Client, other: Client) -> None:
        """The last packet of a long message may contain the next message."""
        calls = [
            client.message(
                Type.METHOD_CALL, "s", text, destination=other.unique, path="/", interface="a.b", member="M"
            ).encode()
            for text in ("x" * MIB, "short")
        ]
        client.send_bytes(calls[0] + calls[1])
        assert len(other.expect(member="M").body[0]) == MIB
        other.expect(member="M", body=("short",))

    def test_descriptors(self, client: Client, other: Client, pipe: tuple[int, int]) -> None:
        for sender, receiver in ((client, other), (other, client)):
            text = "x" * 100_000
            sender.start_call(receiver.unique, "Take", "hs", 0, text, fds=pipe[:1])
            call = receiver.expect(member="Take", body=(0, text))
            os.write(pipe[1], b"word")
            assert os.read(call.fds[0], 4) == b"word"

    def test_slow_reader(self, client: Client, other: Client) -> None:
        """Messages that the socket does not accept are queued; nothing is lost or changed."""
        texts = [f"{number}" * 30_000 for number in range(100)]
        for text in texts:
            other.start_call(client.unique, "Take", "s", text)
        other.driver("GetId")
        for text in texts:
            client.expect(member="Take", body=(text,))


class TestEnd:
    def gone(self, other: Client, name: str) -> Message:
        """Connections of earlier tests may be leaving still."""
        return other.take(member="NameOwnerChanged", body=(name, name, ""))

    @pytest.fixture
    def watcher(self, daemon: Daemon, addresses: dict[str, str]) -> Client:
        watcher = connect(daemon, addresses[STREAM])
        watcher.match("type='signal',member='NameOwnerChanged',arg2=''")
        return watcher

    def test_disconnect(self, watcher: Client, client: Client) -> None:
        client.close()
        self.gone(watcher, client.unique)

    def test_empty_packet(self, watcher: Client, client: Client) -> None:
        """It can't be distinguished from the end of file."""
        client.socket.send(b"")
        self.gone(watcher, client.unique)
        client.expect_closed()

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for more room than others have")
    def test_packet_that_is_too_long(self, watcher: Client, client: Client) -> None:
        """A truncated packet can't be parsed."""
        client.socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 20)
        client.socket.send(
            client.message(Type.SIGNAL, "s", "x" * 300_000, path="/", interface="a.b", member="M").encode()
        )
        self.gone(watcher, client.unique)

    def test_not_a_message(self, watcher: Client, client: Client) -> None:
        client.send_bytes(b"nonsense" * 3)
        self.gone(watcher, client.unique)

    def test_before_hello(self, addresses: dict[str, str]) -> None:
        """An empty packet also ends the connection during authentication."""
        wire = Wire(addresses[PACKETS])
        wire.send_bytes(b"\0AUTH\r\n")
        assert wire.read_line().startswith(b"REJECTED EXTERNAL")
        wire.socket.send(b"")
        with pytest.raises(Closed):
            wire.read_line()
        wire.close()


class TestAuthentication:
    def test_all_in_one_packet(self, addresses: dict[str, str]) -> None:
        """Hello may follow BEGIN in the same packet, and a long message may follow that."""
        wire = Wire(addresses[PACKETS])
        hello = Message(
            type=Type.METHOD_CALL,
            serial=1,
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="Hello",
            destination="org.freedesktop.DBus",
        )
        uid = str(os.geteuid()).encode().hex().encode()
        more = Message(
            type=Type.SIGNAL,
            serial=2,
            path="/",
            interface="a.b",
            member="M",
            signature="s",
            body=("x" * 20_000,),
        )
        wire.send_bytes(b"\0AUTH EXTERNAL " + uid + b"\r\nBEGIN\r\n" + hello.encode() + more.encode())
        assert wire.read_line().startswith(b"OK ")
        assert wire.read_message(time.monotonic() + wire.deadline).reply_serial == 1
        wire.close()

    def test_byte_by_byte(self, addresses: dict[str, str]) -> None:
        wire = Wire(addresses[PACKETS])
        for byte in b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n":
            wire.socket.send(bytes([byte]))
        assert wire.read_line().startswith(b"OK ")
        wire.close()


class TestLibrary:
    """dbus-fast, over packets."""

    async def test_conversation(self, addresses: dict[str, str], pipe: tuple[int, int]) -> None:
        service = await PacketBus(addresses[PACKETS]).connect()
        caller = await PacketBus(addresses[PACKETS]).connect()

        def answer(message: FastMessage) -> FastMessage | None:
            if message.member != "Take":
                return None
            service.send(FastMessage.new_signal("/", "a.b", "Taken", "s", ["signal"]))
            return FastMessage.new_method_return(message, "hs", [0, message.body[1]], message.unix_fds)

        service.add_message_handler(answer)
        heard: asyncio.Queue[list[str]] = asyncio.Queue()
        caller.add_message_handler(lambda one: heard.put_nowait(one.body) if one.member == "Taken" else None)
        bus = "org.freedesktop.DBus"
        await caller.call(FastMessage(bus, "/", bus, "AddMatch", signature="s", body=["member='Taken'"]))
        text = "x" * MIB
        async with asyncio.timeout(20):
            reply = await caller.call(
                FastMessage(
                    service.unique_name,
                    "/",
                    "a.b",
                    "Take",
                    signature="hs",
                    body=[0, text],
                    unix_fds=[pipe[0]],
                )
            )
            assert reply is not None
            assert (reply.message_type, reply.body[1]) == (MessageType.METHOD_RETURN, text)
            assert await heard.get() == ["signal"]
        os.write(pipe[1], b"word")
        assert os.read(reply.unix_fds[0], 4) == b"word"
        os.close(reply.unix_fds[0])
        for one in (service, caller):
            one.disconnect()
            await one.wait_for_disconnect()
