"""Specification, "TCP Sockets" and "Nonce-authenticated TCP Sockets", and the mechanisms for them."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from support.addresses import fields
from support.daemon import Daemon, config, private_directory
from support.driver import refused
from support.programs import need_programs, run
from support.raw import BUS, Client, Closed, Wire
from support.wire import Variant

from .conftest import StartDaemon

ALLOW_ANONYMOUS = "<allow_anonymous/>"
ANONYMOUS = "<auth>ANONYMOUS</auth>"


class AnonymousClient(Client):
    """A client that authenticates anonymously."""

    def authenticate(self, uid: int, unix_fds: bool) -> str:
        self.send_bytes(b"\0AUTH ANONYMOUS " + b"a test".hex().encode() + b"\r\n")
        answer = self.read_line()
        assert answer.startswith(b"OK "), answer
        self.send_bytes(b"BEGIN\r\n")
        return answer[3:].decode()


class CookieClient(Client):
    """A client that knows the cookie in ``home``."""

    def __init__(self, daemon: Daemon, home: Path) -> None:
        self.home = home
        super().__init__(daemon.address)
        daemon.clients.append(self)

    def authenticate(self, uid: int, unix_fds: bool) -> str:
        self.send_bytes(b"\0AUTH DBUS_COOKIE_SHA1 " + str(uid).encode().hex().encode() + b"\r\n")
        said, data = self.read_line().split()
        assert said == b"DATA"
        context, number, challenge = bytes.fromhex(data.decode()).split()
        lines = (self.home / ".dbus-keyrings" / context.decode()).read_bytes().splitlines()
        (cookie,) = (line.split()[2] for line in lines if line.split()[0] == number)
        ours = b"aa" * 16
        digest = hashlib.sha1(b":".join([challenge, ours, cookie])).hexdigest().encode()
        self.send_bytes(b"DATA " + (ours + b" " + digest).hex().encode() + b"\r\n")
        answer = self.read_line()
        assert answer.startswith(b"OK "), answer
        self.send_bytes(b"BEGIN\r\n")
        return answer[3:].decode()


def guest(daemon: Daemon) -> Client:
    client = AnonymousClient(daemon.address)
    daemon.clients.append(client)
    return client


class TestTcp:
    @pytest.fixture
    def daemon(self, start_daemon: StartDaemon) -> Daemon:
        return start_daemon(
            config("tcp:host=127.0.0.1,port=0,family=ipv4", auth=ANONYMOUS, extra=ALLOW_ANONYMOUS)
        )

    def test_address(self, daemon: Daemon) -> None:
        """port: the port to use; zero in a listenable address: any free port, which is then reported."""
        transport, keys = fields(daemon.address)
        assert (transport, keys["host"], keys["family"]) == ("tcp", b"127.0.0.1", b"ipv4")
        assert int(keys["port"]) > 0
        assert guest(daemon).guid == keys["guid"].decode()

    def test_messages(self, daemon: Daemon) -> None:
        """It is a bus like any other."""
        client, other = guest(daemon), guest(daemon)
        other.match("type='signal'")
        client.signal("News", "s", "x" * 100_000)
        assert other.take(member="News").body == ("x" * 100_000,)

    def test_no_descriptors(self, daemon: Daemon) -> None:
        """Descriptors can't be passed over TCP, and NEGOTIATE_UNIX_FD is refused."""
        wire = Wire(daemon.address)
        wire.send_bytes(b"\0AUTH ANONYMOUS\r\nNEGOTIATE_UNIX_FD\r\n")
        assert wire.read_line().startswith(b"OK ")
        assert wire.read_line().startswith(b"ERROR")
        wire.close()

    def test_bind(self, start_daemon: StartDaemon) -> None:
        """bind: the address to listen on, instead of ``host``, which is for clients."""
        address = "tcp:host=localhost,bind=127.0.0.2,port=0,family=ipv4"
        daemon = start_daemon(config(address, auth=ANONYMOUS, extra=ALLOW_ANONYMOUS))
        keys = fields(daemon.address)[1]
        assert keys["host"] == b"localhost"
        with socket.create_connection(("127.0.0.2", int(keys["port"]))):
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(keys["port"])))

    def test_beside_another(self, start_daemon: StartDaemon) -> None:
        """Clients of both transports are on the same bus."""
        text = config("unix:path={dir}/bus", "tcp:host=127.0.0.1,port=0", auth="", extra=ALLOW_ANONYMOUS)
        daemon = start_daemon(text)
        addresses = {fields(one)[0]: one for one in daemon.address.split(";")}
        remote, local = AnonymousClient(addresses["tcp"]), Client(addresses["unix"])
        assert remote.unique in local.driver("ListNames")
        remote.close()
        local.close()


class TestNonceTcp:
    @pytest.fixture
    def daemon(self, start_daemon: StartDaemon) -> Daemon:
        directory = private_directory()
        (directory / "tmp").mkdir()
        return start_daemon(
            config("nonce-tcp:host=127.0.0.1,port=0", auth=ANONYMOUS, extra=ALLOW_ANONYMOUS),
            directory=directory,
            env={**os.environ, "TMPDIR": str(directory / "tmp")},
        )

    def test_correct_nonce(self, daemon: Daemon) -> None:
        """noncefile: the file with the bytes that clients must send first."""
        keys = fields(daemon.address)[1]
        file = Path(keys["noncefile"].decode())
        assert len(file.read_bytes()) == 16
        assert file.stat().st_mode & 0o777 == 0o600
        assert guest(daemon).driver("GetId")

    @pytest.mark.deviation("nonce-file")
    def test_file_goes_with_the_bus(self, daemon: Daemon) -> None:
        file = Path(fields(daemon.address)[1]["noncefile"].decode())
        assert file.exists()
        assert daemon.terminate() == 0
        assert not file.exists()

    def test_wrong_nonce(self, daemon: Daemon) -> None:
        """A client with a wrong nonce is disconnected."""
        keys = fields(daemon.address)[1]
        with socket.create_connection((keys["host"].decode(), int(keys["port"])), 20) as stream:
            try:
                stream.sendall(bytes(16) + b"\0AUTH ANONYMOUS\r\n")
                assert stream.recv(100) == b""
            except ConnectionResetError:
                pass


class TestAnonymous:
    def test_not_allowed(self, start_daemon: StartDaemon) -> None:
        """Without <allow_anonymous/> ANONYMOUS is rejected."""
        daemon = start_daemon(config("unix:path={dir}/bus", auth=ANONYMOUS))
        with pytest.raises(Closed):
            AnonymousClient(daemon.address)

    def test_unknown_user(self, start_daemon: StartDaemon) -> None:
        """The user is unknown to the bus; rules for all users apply."""
        client = guest(
            start_daemon(config("tcp:host=127.0.0.1,port=0", auth=ANONYMOUS, extra=ALLOW_ANONYMOUS))
        )
        text = refused(client, "Failed", "GetConnectionUnixUser", "s", client.unique)
        assert text == f"Could not determine UID for '{client.unique}'"
        credentials = client.driver("GetConnectionCredentials", "s", client.unique)
        assert not {"UnixUserID", "UnixGroupIDs"} & credentials.keys()
        assert client.own("org.example.Name1") == 1


class TestCookie:
    @pytest.fixture
    def daemon(self, start_daemon: StartDaemon) -> Daemon:
        directory = private_directory()
        text = config("tcp:host=127.0.0.1,port=0", auth="<auth>DBUS_COOKIE_SHA1</auth>")
        return start_daemon(text, directory=directory, env={**os.environ, "HOME": str(directory)})

    def test_user(self, daemon: Daemon) -> None:
        """A client that can read the cookie of a user is that user."""
        client = CookieClient(daemon, daemon.directory)
        assert client.driver("GetConnectionUnixUser", "s", client.unique) == os.geteuid()
        credentials = client.driver("GetConnectionCredentials", "s", client.unique)
        assert credentials["UnixUserID"] == Variant("u", os.geteuid())

    @pytest.mark.deviation("remote-process")
    def test_process(self, daemon: Daemon) -> None:
        """The process ID of a peer on another machine is unknown."""
        client = CookieClient(daemon, daemon.directory)
        text = refused(client, "UnixProcessIdUnknown", "GetConnectionUnixProcessID", "s", client.unique)
        assert text == f"Could not determine PID for '{client.unique}'"
        assert "ProcessID" not in client.driver("GetConnectionCredentials", "s", client.unique)

    def test_program(self, daemon: Daemon) -> None:
        """libdbus finds the cookie."""
        need_programs("dbus-send")
        environment = {**os.environ, "HOME": str(daemon.directory)}
        command = ["dbus-send", f"--bus={daemon.address}", "--print-reply", f"--dest={BUS}", "/"]
        assert "string" in run([*command, f"{BUS}.GetId"], environment).stdout
