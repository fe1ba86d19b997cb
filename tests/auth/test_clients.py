"""Unmodified client libraries authenticate against the state machine."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which

import pytest

from omnibus.auth.mechanisms import choose
from omnibus.auth.server import Authenticated, Rejected, Server
from omnibus.transport.listen import listen
from omnibus.transport.listener import Listener

DEADLINE = 20.0
CLIENTS = {
    "libdbus": lambda address: ["dbus-send", f"--address={address}", "--print-reply", "/", "a.b.C"],
    "GDBus": lambda address: ["gdbus", "call", "--address", address, "-d", "a.b", "-o", "/", "-m", "a.b.C"],
    "sd-bus": lambda address: ["busctl", f"--address={address}", "call", "a.b", "/", "a.b", "C"],
}
Authenticate = Callable[[str, str], "Authenticated | Rejected"]


def serve(listener: Listener, server: Server) -> Authenticated | Rejected:
    """Serve one client until the outcome is known."""
    (listening,) = listener.sockets
    listening.settimeout(DEADLINE)
    connection, _ = listening.accept()
    with connection:
        connection.settimeout(DEADLINE)
        while server.outcome is None:
            data = connection.recv(4096)
            assert data, "the client has given up"
            server.receive_data(data)
            connection.sendall(server.data_to_send())
        return server.outcome


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def authenticate(tmp_path: Path, home: Path) -> Iterator[Authenticate]:
    """Let a client connect to an address and return the outcome."""
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(tmp_path)}
    running: list[subprocess.Popen[bytes]] = []
    listeners: list[Listener] = []

    def begin(name: str, address: str) -> Authenticated | Rejected:
        listener = listen(address, environment=environment)
        listeners.append(listener)
        command = CLIENTS[name](listener.connectable_address)
        if not which(command[0]):
            pytest.skip(f"{command[0]} is not installed")
        local = listener.sockets[0].family == socket.AF_UNIX
        server = Server(
            listener.guid,
            choose([], environment),
            os.geteuid() if local else None,
            fd_passing=local,
            nonce=listener.nonce,
        )
        null = subprocess.DEVNULL
        running.append(subprocess.Popen(command, env=environment, stdin=null, stdout=null, stderr=null))
        return serve(listener, server)

    yield begin
    for process in running:
        process.wait(DEADLINE)
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("client", CLIENTS)
def test_external(authenticate: Authenticate, client: str, tmp_path: Path) -> None:
    """Over a Unix domain socket each is authenticated by its credentials and may pass descriptors."""
    outcome = authenticate(client, f"unix:path={tmp_path}/bus")
    assert isinstance(outcome, Authenticated)
    assert (outcome.uid, outcome.fd_passing) == (os.geteuid(), True)


@pytest.mark.parametrize("client", ["libdbus", "GDBus"])
@pytest.mark.parametrize("transport", ["tcp", "nonce-tcp"])
def test_cookie(authenticate: Authenticate, client: str, transport: str, home: Path) -> None:
    """Over TCP each falls back to a cookie from our keyring, after the nonce if there is one."""
    outcome = authenticate(client, f"{transport}:host=127.0.0.1")
    assert isinstance(outcome, Authenticated)
    assert (outcome.uid, outcome.fd_passing) == (os.geteuid(), False)
    assert len((home / ".dbus-keyrings/org_freedesktop_general").read_text().splitlines()) == 1
