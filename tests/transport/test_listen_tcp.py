"""The specification's "TCP Sockets" and "Nonce-authenticated TCP Sockets"."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omnibus.transport import tcp
from omnibus.transport.listen import listen
from omnibus.transport.listener import Listener, ListenError

Listen = Callable[..., Listener]


@pytest.fixture
def open_listener(tmp_path: Path) -> Iterator[Listen]:
    """Listen until the end of the test, with a private temporary directory."""
    opened = []

    def begin(address: str, **environment: str) -> Listener:
        listener = listen(address, environment={"TMPDIR": str(tmp_path), **environment})
        opened.append(listener)
        return listener

    yield begin
    for listener in opened:
        listener.close()


def options(listener: Listener) -> dict[str, str]:
    (address,) = listener.addresses
    return dict(address.options)


class TestTcp:
    def test_free_port(self, open_listener):
        """A zero value lets the server choose a free port."""
        listener = open_listener("tcp:host=127.0.0.1,port=0")
        port = options(listener)["port"]
        assert int(port) > 0
        assert listener.connectable_address == (
            f"tcp:host=127.0.0.1,port={port},family=ipv4,guid={listener.guid}"
        )
        socket.create_connection(("127.0.0.1", int(port))).close()

    def test_given_port(self, open_listener):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
        listener = open_listener(f"tcp:host=127.0.0.1,port={port}")
        assert options(listener)["port"] == str(port)

    def test_defaults(self, open_listener):
        """Without a host it is localhost."""
        listener = open_listener("tcp:")
        assert options(listener)["host"] == "localhost"
        assert all(one.getsockname()[0] in ("127.0.0.1", "::1") for one in listener.sockets)

    def test_several_addresses_have_one_port(self, open_listener, monkeypatch):
        """A client may connect to any of the addresses of the host."""
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
        listener = open_listener("tcp:host=two.example")
        names = [one.getsockname() for one in listener.sockets]
        assert [name[0] for name in names] == ["127.0.0.1", "127.0.0.2"]
        assert {str(name[1]) for name in names} == {options(listener)["port"]}

    def test_some_address_suffices(self, open_listener, monkeypatch):
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("240.0.0.1", 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
        assert len(open_listener("tcp:").sockets) == 1

    def test_bind(self, open_listener):
        """The interface on which the server listens; clients get the host."""
        listener = open_listener("tcp:host=bus.example,bind=127.0.0.1")
        assert options(listener)["host"] == "bus.example"
        assert listener.sockets[0].getsockname()[0] == "127.0.0.1"

    def test_bind_all(self, open_listener):
        """... or '*' to listen on all interfaces simultaneously."""
        listener = open_listener("tcp:host=localhost,bind=*")
        assert "0.0.0.0" in [one.getsockname()[0] for one in listener.sockets]
        ports = {str(one.getsockname()[1]) for one in listener.sockets}
        assert ports == {options(listener)["port"]}

    def test_family(self, open_listener):
        listener = open_listener("tcp:bind=*,family=ipv4")
        assert [one.family for one in listener.sockets] == [socket.AF_INET]
        assert options(listener)["family"] == "ipv4"

    def test_socket_flags(self, open_listener):
        """accept() does not block, children don't inherit the socket, and small messages are sent at once."""
        (listening,) = open_listener("tcp:host=127.0.0.1").sockets
        assert not listening.getblocking()
        assert not listening.get_inheritable()
        with socket.create_connection(listening.getsockname()):
            listening.settimeout(20)
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            ("tcp:host=127.0.0.1,family=ipx", "^Unknown address family ipx$"),
            (
                "tcp:host=127.0.0.1,port=abc",
                r'host/port: "127\.0\.0\.1:abc": Servname not supported for ai_socktype \(-8\)$',
            ),
            ("tcp:host=127.0.0.1,port=99999", "the port is out of range$"),
            ("tcp:host=127.0.0.1,port=" + "9" * 5000, "the port is out of range$"),
            ("tcp:host=127.0.0.1,family=ipv6", '^Failed to lookup host/port: "127.0.0.1:0": '),
            ("tcp:host=a..b", '^Failed to lookup host/port: "a..b:0": '),
            (
                "tcp:host=240.0.0.1",
                '^Failed to bind socket "240.0.0.1" port 0: Cannot assign requested address$',
            ),
        ],
    )
    def test_errors(self, open_listener, address, message):
        with pytest.raises(ListenError, match=message):
            open_listener(address)

    def test_all_addresses_fail(self, open_listener, monkeypatch):
        """Every reason is reported."""
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"240.0.0.{n}", 7)) for n in (1, 2)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
        with pytest.raises(ListenError) as error:
            open_listener("tcp:host=two.example,port=7")
        assert str(error.value) == (
            'Failed to bind to "two.example":7 '
            '(Failed to bind socket "240.0.0.1" port 7: Cannot assign requested address; '
            'Failed to bind socket "240.0.0.2" port 7: Cannot assign requested address)'
        )

    def test_in_use(self, open_listener):
        port = options(open_listener("tcp:host=127.0.0.1"))["port"]
        with pytest.raises(ListenError, match="Address already in use"):
            open_listener(f"tcp:host=127.0.0.1,port={port}")


class TestNonceTcp:
    def test_file(self, open_listener, tmp_path):
        """The server generates a random 16 byte nonce and writes it to a file in the temporary directory."""
        listener = open_listener("nonce-tcp:host=127.0.0.1,noncefile=/ignored")
        assert listener.addresses[0].transport == "nonce-tcp"
        file = Path(options(listener)["noncefile"])
        assert file.parent.parent == tmp_path
        assert file.read_bytes() == listener.nonce
        assert len(listener.nonce) == 16
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    def test_random(self, open_listener):
        nonces = {open_listener("nonce-tcp:host=127.0.0.1").nonce for _ in range(3)}
        assert len(nonces) == 3

    def test_removed(self, open_listener, tmp_path):
        open_listener("nonce-tcp:host=127.0.0.1").close()
        assert list(tmp_path.iterdir()) == []

    def test_already_removed(self, open_listener, tmp_path):
        """The temporary directory may have been cleaned up."""
        listener = open_listener("nonce-tcp:host=127.0.0.1")
        Path(options(listener)["noncefile"]).unlink()
        listener.close()

    def test_plain_tcp_has_none(self, open_listener, tmp_path):
        assert open_listener("tcp:host=127.0.0.1").nonce == b""
        assert list(tmp_path.iterdir()) == []

    def test_no_temporary_directory(self, open_listener, tmp_path, monkeypatch):
        """No listening socket is left behind either."""
        opened: list[socket.socket] = []
        original = tcp._bound_socket

        def record(*arguments: object) -> socket.socket:
            opened.append(original(*arguments))
            return opened[-1]

        monkeypatch.setattr(tcp, "_bound_socket", record)
        with pytest.raises(ListenError, match="make a nonce file: No such file or directory"):
            open_listener("nonce-tcp:host=127.0.0.1", TMPDIR=str(tmp_path / "no"))
        assert [one.fileno() for one in opened] == [-1]

    def test_disk_full(self, open_listener, tmp_path, monkeypatch):
        """No incomplete nonce file is left behind."""

        def fail(*_arguments: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", fail)
        with pytest.raises(ListenError, match="No space left on device"):
            open_listener("nonce-tcp:host=127.0.0.1")
        assert list(tmp_path.iterdir()) == []

    def test_fallback_of_names(self, tmp_path):
        """TMPDIR, TMP, TEMP, in that order."""
        other = tmp_path / "other"
        other.mkdir()
        listener = listen("nonce-tcp:host=127.0.0.1", environment={"TEMP": os.devnull, "TMP": str(other)})
        try:
            assert Path(options(listener)["noncefile"]).parent.parent == other
        finally:
            listener.close()
