"""The specification's "systemd": sockets passed in via socket activation."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from omnibus.transport.address import AddressError
from omnibus.transport.listen import listen
from omnibus.transport.listener import Listener, ListenError

Listen = Callable[..., Listener]


@pytest.fixture
def pass_sockets() -> Iterator[Listen]:
    """Listen on the given sockets as if the service manager had passed them."""
    with ExitStack() as stack:

        def begin(*sockets: socket.socket, address: str = "systemd:") -> Listener:
            descriptors = [one.detach() for one in sockets]
            for descriptor in descriptors:
                os.set_inheritable(descriptor, True)
                stack.callback(close_quietly, descriptor)
            listener = listen(address, environment={}, take_inherited=lambda: descriptors)
            stack.callback(listener.close)
            return listener

        yield begin


def close_quietly(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)


def unix_socket(path: Path | str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path) if isinstance(path, Path) else b"\0" + path.encode())
    made.listen()
    return made


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_path(pass_sockets, tmp_path):
    """The corresponding connectable address is the unix or tcp address of the socket."""
    listener = pass_sockets(unix_socket(tmp_path / "bus"))
    assert listener.connectable_address == f"unix:path={tmp_path}/bus,guid={listener.guid}"


def test_abstract(pass_sockets):
    name = f"omnibus {os.urandom(8).hex()}"
    listener = pass_sockets(unix_socket(name))
    assert listener.connectable_address.startswith(f"unix:abstract={name.replace(' ', '%20')},guid=")


def test_tcp(pass_sockets):
    passed = socket.create_server(("127.0.0.1", 0))
    port = passed.getsockname()[1]
    listener = pass_sockets(passed)
    assert listener.connectable_address.startswith(f"tcp:family=ipv4,port={port},host=127.0.0.1,guid=")


def test_several(pass_sockets, tmp_path):
    """The systemd transport accepts one or more sockets; each has its own address with the GUID."""
    listener = pass_sockets(unix_socket(tmp_path / "a"), unix_socket(tmp_path / "b"))
    assert len(listener.sockets) == 2
    assert listener.connectable_address == (
        f"unix:path={tmp_path}/a,guid={listener.guid};unix:path={tmp_path}/b,guid={listener.guid}"
    )


def test_flags(pass_sockets, tmp_path):
    (listening,) = pass_sockets(unix_socket(tmp_path / "bus")).sockets
    assert not listening.getblocking()
    assert not listening.get_inheritable()


def test_not_unlinked(pass_sockets, tmp_path):
    """The file belongs to the service manager, which still listens."""
    pass_sockets(unix_socket(tmp_path / "bus")).close()
    assert (tmp_path / "bus").is_socket()


def test_nothing_passed():
    with pytest.raises(ListenError, match=r"^No socket received\.$"):
        listen("systemd:", environment={})


def test_fallback(tmp_path):
    listener = listen(f"systemd:;unix:path={tmp_path}/bus", environment={})
    listener.close()
    assert "path" in listener.addresses[0].options


@pytest.mark.parametrize("kind", ["datagram", "connected", "file"])
def test_wrong_type(pass_sockets, tmp_path, kind):
    """Only listening stream sockets are accepted; the passed descriptors are closed."""
    good = unix_socket(tmp_path / "bus")
    if kind == "datagram":
        wrong = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    elif kind == "connected":
        wrong, other = socket.socketpair()
        other.close()
    else:
        wrong = socket.socket()
        with (tmp_path / "file").open("wb") as file:
            os.dup2(file.fileno(), wrong.fileno())
    descriptors = [good.fileno(), wrong.fileno()]
    with pytest.raises(ListenError, match=r"^Passed socket has wrong type\.$"):
        pass_sockets(good, wrong)
    assert not any(map(is_open, descriptors))


def test_other_family(pass_sockets):
    """A socket without a D-Bus address is refused."""
    try:
        passed = socket.socket(socket.AF_VSOCK)
        passed.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
        passed.listen()
    except OSError:
        pytest.skip("no vsock here")
    with pytest.raises(ListenError, match="Unknown socket type"):
        pass_sockets(passed)


def test_taken_only_when_needed(pass_sockets, tmp_path):
    """Without a systemd: address the descriptors are left alone."""
    asked = []
    listener = listen(f"unix:path={tmp_path}/bus", environment={}, take_inherited=lambda: asked)
    listener.close()
    with pytest.raises(AddressError):
        listen("other:", environment={}, take_inherited=lambda: pytest.fail("asked for"))
