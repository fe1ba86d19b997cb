"""Specification, "TCP Sockets" and "Nonce-authenticated TCP Sockets", and the mechanisms that suit them."""

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

ANYBODY = "<allow_anonymous/>"
ANONYMOUS = "<auth>ANONYMOUS</auth>"


class Guest(Client):
    """A client who does not say who he is."""

    def authenticate(self, uid: int, unix_fds: bool) -> str:
        self.send_bytes(b"\0AUTH ANONYMOUS " + b"a test".hex().encode() + b"\r\n")
        answer = self.read_line()
        assert answer.startswith(b"OK "), answer
        self.send_bytes(b"BEGIN\r\n")
        return answer[3:].decode()


class Knower(Client):
    """A client who knows the cookie in ``home``."""

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
    client = Guest(daemon.address)
    daemon.clients.append(client)
    return client


class TestTcp:
    @pytest.fixture
    def daemon(self, start_daemon: StartDaemon) -> Daemon:
        return start_daemon(config("tcp:host=127.0.0.1,port=0,family=ipv4", auth=ANONYMOUS, extra=ANYBODY))

    def test_address(self, daemon: Daemon) -> None:
        """port: the one to use; zero in a listenable address: any that is free, which is then told."""
        transport, keys = fields(daemon.address)
        assert (transport, keys["host"], keys["family"]) == ("tcp", b"127.0.0.1", b"ipv4")
        assert int(keys["port"]) > 0
        assert guest(daemon).guid == keys["guid"].decode()

    def test_messages(self, daemon: Daemon) -> None:
        """It is a bus as any other."""
        client, other = guest(daemon), guest(daemon)
        other.match("type='signal'")
        client.signal("News", "s", "x" * 100_000)
        assert other.take(member="News").body == ("x" * 100_000,)

    def test_no_descriptors(self, daemon: Daemon) -> None:
        """Descriptors can't be passed this way, and nobody is promised that they could."""
        wire = Wire(daemon.address)
        wire.send_bytes(b"\0AUTH ANONYMOUS\r\nNEGOTIATE_UNIX_FD\r\n")
        assert wire.read_line().startswith(b"OK ")
        assert wire.read_line().startswith(b"ERROR")
        wire.close()

    def test_bind(self, start_daemon: StartDaemon) -> None:
        """bind: where to listen, and not at ``host``, which is for clients."""
        address = "tcp:host=localhost,bind=127.0.0.2,port=0,family=ipv4"
        daemon = start_daemon(config(address, auth=ANONYMOUS, extra=ANYBODY))
        keys = fields(daemon.address)[1]
        assert keys["host"] == b"localhost"
        with socket.create_connection(("127.0.0.2", int(keys["port"]))):
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(keys["port"])))

    def test_beside_another(self, start_daemon: StartDaemon) -> None:
        """Clients of both are on one bus."""
        text = config("unix:path={dir}/bus", "tcp:host=127.0.0.1,port=0", auth="", extra=ANYBODY)
        daemon = start_daemon(text)
        addresses = {fields(one)[0]: one for one in daemon.address.split(";")}
        remote, local = Guest(addresses["tcp"]), Client(addresses["unix"])
        assert remote.unique in local.driver("ListNames")
        remote.close()
        local.close()


class TestNonceTcp:
    @pytest.fixture
    def daemon(self, start_daemon: StartDaemon) -> Daemon:
        directory = private_directory()
        (directory / "tmp").mkdir()
        return start_daemon(
            config("nonce-tcp:host=127.0.0.1,port=0", auth=ANONYMOUS, extra=ANYBODY),
            directory=directory,
            env={**os.environ, "TMPDIR": str(directory / "tmp")},
        )

    def test_right(self, daemon: Daemon) -> None:
        """noncefile: the file with what clients must send first."""
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

    def test_wrong(self, daemon: Daemon) -> None:
        """Who doesn't know it is cut off."""
        keys = fields(daemon.address)[1]
        with socket.create_connection((keys["host"].decode(), int(keys["port"])), 20) as stream:
            try:
                stream.sendall(bytes(16) + b"\0AUTH ANONYMOUS\r\n")
                assert stream.recv(100) == b""
            except ConnectionResetError:
                pass


class TestAnonymous:
    def test_not_allowed(self, start_daemon: StartDaemon) -> None:
        """Without <allow_anonymous/> nobody gets in this way."""
        daemon = start_daemon(config("unix:path={dir}/bus", auth=ANONYMOUS))
        with pytest.raises(Closed):
            Guest(daemon.address)

    def test_nobody(self, start_daemon: StartDaemon) -> None:
        """Who it is, the bus doesn't know; rules for all users are for him too."""
        client = guest(start_daemon(config("tcp:host=127.0.0.1,port=0", auth=ANONYMOUS, extra=ANYBODY)))
        text = refused(client, "Failed", "GetConnectionUnixUser", "s", client.unique)
        assert text == f"Could not determine UID for '{client.unique}'"
        credentials = client.driver("GetConnectionCredentials", "s", client.unique)
        assert not {"UnixUserID", "UnixGroupIDs"} & credentials.keys()
        assert client.own("org.example.Anybody") == 1


class TestCookie:
    @pytest.fixture
    def daemon(self, start_daemon: StartDaemon) -> Daemon:
        directory = private_directory()
        text = config("tcp:host=127.0.0.1,port=0", auth="<auth>DBUS_COOKIE_SHA1</auth>")
        return start_daemon(text, directory=directory, env={**os.environ, "HOME": str(directory)})

    def test_user(self, daemon: Daemon) -> None:
        """Who can read the user's file is this user."""
        client = Knower(daemon, daemon.directory)
        assert client.driver("GetConnectionUnixUser", "s", client.unique) == os.geteuid()
        credentials = client.driver("GetConnectionCredentials", "s", client.unique)
        assert credentials["UnixUserID"] == Variant("u", os.geteuid())

    @pytest.mark.deviation("remote-process")
    def test_process(self, daemon: Daemon) -> None:
        """A process on another machine has no number here."""
        client = Knower(daemon, daemon.directory)
        text = refused(client, "UnixProcessIdUnknown", "GetConnectionUnixProcessID", "s", client.unique)
        assert text == f"Could not determine PID for '{client.unique}'"
        assert "ProcessID" not in client.driver("GetConnectionCredentials", "s", client.unique)

    def test_program(self, daemon: Daemon) -> None:
        """libdbus finds the cookie."""
        need_programs("dbus-send")
        environment = {**os.environ, "HOME": str(daemon.directory)}
        command = ["dbus-send", f"--bus={daemon.address}", "--print-reply", f"--dest={BUS}", "/"]
        assert "string" in run([*command, f"{BUS}.GetId"], environment).stdout
