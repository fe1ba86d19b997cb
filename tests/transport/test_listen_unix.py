"""The specification's "Unix Domain Sockets", as a server listens on them."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omnibus.transport.address import AddressError
from omnibus.transport.listen import listen
from omnibus.transport.listener import Listener, ListenError
from omnibus.transport.unix import listen_beside

Listen = Callable[..., Listener]


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a name short enough for sockets."""
    path = Path(os.path.realpath(tmp_path_factory.mktemp("s")))
    assert len(str(path)) < 70
    yield path


@pytest.fixture
def open_listener(directory: Path) -> Iterator[Listen]:
    """Listen until the end of the test; ``{dir}`` in an address is the test's directory."""
    opened = []

    def begin(address: str, **environment: str) -> Listener:
        listener = listen(address.replace("{dir}", str(directory)), environment=environment)
        opened.append(listener)
        return listener

    yield begin
    for listener in opened:
        listener.close()


def connects(name: str | bytes) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(name)
        except OSError:
            return False
        return True


def unix_path(listener: Listener) -> Path:
    (address,) = listener.addresses
    assert address.transport == "unix"
    return Path(address.options["path"])


class TestPackets:
    """``unix-seqpacket`` of omnibus: the keys of ``unix``, with another type of socket."""

    @pytest.mark.parametrize("key", ["path", "dir", "runtime", "abstract"])
    def test_keys(self, open_listener, directory, key):
        value = {"runtime": "yes", "abstract": f"{directory}/a"}.get(key, str(directory))
        if key == "path":
            value += "/bus"
        listener = open_listener(f"unix-seqpacket:{key}={value}", XDG_RUNTIME_DIR=str(directory))
        (address,) = listener.addresses
        assert address.transport == "unix-seqpacket"
        name = listener.sockets[0].getsockname()
        assert name in (address.options.get("path"), b"\0" + address.options.get("abstract", "").encode())
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(name)
        assert not connects(name)

    def test_key_is_missing(self, open_listener):
        with pytest.raises(AddressError, match="of type unix-seqpacket was missing"):
            open_listener("unix-seqpacket:foo=bar")


class TestBeside:
    """Beside a stream socket there may be a packet socket."""

    def beside(self, listener: Listener) -> str:
        found = listen_beside(listener.addresses[0])
        assert found is not None
        assert found.sockets[0].type == socket.SOCK_SEQPACKET
        found.close()
        return found.connectable_address.partition(",guid=")[0]

    def test_path(self, open_listener, directory):
        listener = open_listener("unix:path={dir}/bus")
        assert self.beside(listener) == f"unix-seqpacket:path={directory}/bus.seqpacket"
        assert os.listdir(directory) == ["bus"]

    def test_abstract(self, open_listener, directory):
        listener = open_listener("unix:abstract={dir}/bus")
        assert self.beside(listener) == f"unix-seqpacket:abstract={directory}/bus.seqpacket"

    @pytest.mark.parametrize("address", ["tcp:host=127.0.0.1", "unix-seqpacket:path={dir}/bus"])
    def test_others(self, open_listener, address):
        assert listen_beside(open_listener(address).addresses[0]) is None

    def test_no_room_for_the_name(self, open_listener, directory):
        name = "x" * (99 - len(str(directory)) - 1)
        with pytest.raises(ListenError, match="too long"):
            listen_beside(open_listener(f"unix:path={{dir}}/{name}").addresses[0])


class TestPath:
    def test_connectable(self, open_listener, directory):
        """Unix addresses that specify path are both listenable and connectable."""
        listener = open_listener("unix:path={dir}/bus")
        assert listener.connectable_address == f"unix:path={directory}/bus,guid={listener.guid}"
        assert connects(str(directory / "bus"))

    def test_escaped(self, open_listener, directory):
        listener = open_listener("unix:path={dir}/caf%c3%a9%20bar")
        assert connects(str(directory / "café bar"))
        assert listener.connectable_address.startswith(f"unix:path={directory}/caf%c3%a9%20bar,guid=")

    def test_mode(self, open_listener, directory):
        """The socket is world-writable whatever the umask: the policy decides which users may connect."""
        before = os.umask(0o077)
        try:
            open_listener("unix:path={dir}/bus")
        finally:
            os.umask(before)
        assert stat.S_IMODE((directory / "bus").stat().st_mode) == 0o777

    def test_socket_flags(self, open_listener):
        """accept() does not block, and children don't inherit the socket."""
        (listening,) = open_listener("unix:path={dir}/bus").sockets
        assert not listening.getblocking()
        assert not listening.get_inheritable()
        with pytest.raises(BlockingIOError):
            listening.accept()

    def test_many_waiting(self, open_listener, directory):
        """The backlog has room for a thousand clients that connect at once."""
        open_listener("unix:path={dir}/bus")
        clients = [
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(500)
        ]
        try:
            for client in clients:
                client.connect(str(directory / "bus"))
        finally:
            for client in clients:
                client.close()

    def test_unlinked(self, open_listener, directory):
        open_listener("unix:path={dir}/bus").close()
        assert list(directory.iterdir()) == []

    def test_close_twice(self, open_listener, directory):
        listener = open_listener("unix:path={dir}/bus")
        listener.close()
        listener.close()
        assert not connects(str(directory / "bus"))

    def test_unlinked_relative(self, open_listener, directory, monkeypatch):
        """A daemon may change its current directory."""
        monkeypatch.chdir(directory)
        listener = open_listener("unix:path=bus")
        assert listener.connectable_address.startswith("unix:path=bus,")
        monkeypatch.chdir("/")
        listener.close()
        assert list(directory.iterdir()) == []

    def test_stale(self, open_listener, directory):
        """The remaining socket of a killed bus is replaced."""
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(directory / "bus"))
        assert not connects(str(directory / "bus"))
        open_listener("unix:path={dir}/bus")
        assert connects(str(directory / "bus"))

    def test_stale_link(self, open_listener, directory):
        """Of a link to a socket the link is replaced, as in the reference."""
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(directory / "other"))
        (directory / "bus").symlink_to(directory / "other")
        open_listener("unix:path={dir}/bus")
        assert (directory / "other").is_socket()
        assert not (directory / "bus").is_symlink()

    @pytest.mark.parametrize("make", [Path.touch, Path.mkdir], ids=["file", "directory"])
    def test_only_sockets_are_replaced(self, open_listener, directory, make):
        make(directory / "bus")
        with pytest.raises(ListenError, match="Address already in use"):
            open_listener("unix:path={dir}/bus")
        assert (directory / "bus").exists()

    def test_replaced_by_another(self, open_listener, directory):
        """A bus that ends does not remove the socket of its successor."""
        old = open_listener("unix:path={dir}/bus")
        open_listener("unix:path={dir}/bus")
        old.close()
        assert connects(str(directory / "bus"))

    def test_removed_by_another(self, open_listener, directory, monkeypatch):
        """A socket that has been removed in the meantime is no error."""
        with monkeypatch.context() as patch:
            patch.setattr(Path, "chmod", lambda path, _mode: path.unlink())
            vanished = open_listener("unix:path={dir}/bus")
        open_listener("unix:path={dir}/bus")
        vanished.close()
        assert connects(str(directory / "bus"))

    def test_no_directory(self, open_listener, directory):
        with pytest.raises(ListenError) as error:
            open_listener("unix:path={dir}/no/bus")
        assert str(error.value) == f'Failed to bind socket "{directory}/no/bus": No such file or directory'

    def test_long(self, open_listener, directory):
        """libdbus connects to names of 99 bytes at most."""
        name = "b" * (98 - len(str(directory)))
        open_listener(f"unix:path={{dir}}/{name}")
        with pytest.raises(ListenError, match="Socket name too long"):
            open_listener(f"unix:path={{dir}}/{name}b")


class TestDir:
    @pytest.mark.parametrize("key", ["dir", "tmpdir"])
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_random_name(self, open_listener, directory, key, slash):
        """A socket file with a random file name starting with 'dbus-' will be created by the server."""
        paths = [unix_path(open_listener(f"unix:{key}={{dir}}{slash}")) for _ in range(2)]
        assert len(set(paths)) == 2
        for path in paths:
            assert path.parent == directory
            assert path.name.startswith("dbus-")
            assert len(path.name) == 15
            assert connects(str(path))

    def test_unlinked(self, open_listener, directory):
        open_listener("unix:tmpdir={dir}").close()
        assert list(directory.iterdir()) == []


class TestAbstract:
    def test_connectable(self, open_listener):
        """A unique string in the abstract namespace, unconnected to the filesystem namespace."""
        name = f"omnibus-{os.urandom(8).hex()} é"
        escaped = name.replace(" é", "%20%c3%a9")
        listener = open_listener(f"unix:abstract={escaped}")
        assert listener.connectable_address == f"unix:abstract={escaped},guid={listener.guid}"
        assert connects(b"\0" + name.encode())

    def test_in_use(self, open_listener):
        name = f"omnibus-{os.urandom(8).hex()}"
        open_listener(f"unix:abstract={name}")
        with pytest.raises(ListenError, match=f'Failed to bind socket "{name}": Address already in use'):
            open_listener(f"unix:abstract={name}")

    def test_long(self, open_listener):
        name = os.urandom(49).hex()
        open_listener(f"unix:abstract={name}")
        with pytest.raises(ListenError, match="Abstract socket name too long"):
            open_listener(f"unix:abstract={name}x")


class TestRuntime:
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_path(self, open_listener, directory, slash):
        """The corresponding connectable address will specify path."""
        listener = open_listener("unix:runtime=yes", XDG_RUNTIME_DIR=f"{directory}{slash}")
        assert unix_path(listener) == directory / "bus"

    def test_value(self, open_listener):
        """If set, its value must be yes."""
        with pytest.raises(AddressError) as error:
            open_listener("unix:runtime=no")
        assert str(error.value) == (
            'Could not parse server address: if given, the only value allowed for "runtime" is "yes"'
        )

    @pytest.mark.parametrize("environment", [{}, {"XDG_RUNTIME_DIR": ""}])
    def test_unset(self, open_listener, environment):
        with pytest.raises(ListenError, match='"XDG_RUNTIME_DIR" is not set'):
            open_listener("unix:runtime=yes", **environment)

    def test_fallback(self, open_listener, directory):
        """unix:runtime=yes;unix:tmpdir=/tmp: a fallback if XDG_RUNTIME_DIR is not set."""
        listener = open_listener("unix:runtime=yes;unix:tmpdir={dir}")
        assert unix_path(listener).name.startswith("dbus-")


class TestKeys:
    """Exactly one of the keys path, abstract, runtime, dir or tmpdir must be provided."""

    @pytest.mark.parametrize("address", ["unix:", "unix:foo=bar", "unix:guid=00"])
    def test_none(self, open_listener, address):
        with pytest.raises(AddressError) as error:
            open_listener(address)
        assert str(error.value) == (
            "Server address of type unix was missing argument path or tmpdir or abstract or runtime or dir"
        )

    @pytest.mark.parametrize("address", ["unix:path={dir}/a,tmpdir={dir}", "unix:runtime=yes,abstract=b"])
    def test_two(self, open_listener, directory, address):
        with pytest.raises(AddressError) as error:
            open_listener(address)
        assert str(error.value) == (
            'Could not parse server address: cannot specify two of "path", "tmpdir", "abstract", "runtime" '
            'and "dir" at the same time'
        )
        assert list(directory.iterdir()) == []

    def test_others_are_ignored(self, open_listener, directory):
        """A GUID in a listenable address is not that of the server."""
        listener = open_listener("unix:path={dir}/bus,guid=00112233445566778899aabbccddeeff,x=y")
        assert listener.connectable_address == f"unix:path={directory}/bus,guid={listener.guid}"
        assert listener.guid != "00112233445566778899aabbccddeeff"


class TestGuid:
    def test_format(self, open_listener):
        """A hex-encoded 16-byte sequence."""
        guid = open_listener("unix:tmpdir={dir}").guid
        assert len(bytes.fromhex(guid)) == 16
        assert guid == guid.lower()

    def test_one_for_each_address(self, open_listener):
        """A server should use a different UUID for each address it listens on."""
        assert len({open_listener("unix:tmpdir={dir}").guid for _ in range(5)}) == 5


class TestList:
    def test_first_that_works(self, open_listener, directory):
        listener = open_listener("unix:path={dir}/no/bus;unix:path={dir}/a;unix:path={dir}/b")
        assert unix_path(listener) == directory / "a"
        assert not (directory / "b").exists()

    def test_all_fail(self, open_listener, directory):
        """The first failure is reported."""
        with pytest.raises(ListenError, match=f'^Failed to bind socket "{directory}/no/1"'):
            open_listener("unix:path={dir}/no/1;unix:path={dir}/no/2")

    def test_bad_address_ends_the_search(self, open_listener, directory):
        with pytest.raises(AddressError, match="missing argument"):
            open_listener("unix:path={dir}/no/bus;unix:foo=bar;unix:path={dir}/bus")
        assert list(directory.iterdir()) == []

    def test_unknown_transport_is_skipped(self, open_listener, directory):
        listener = open_listener("launchd:env=X;unix:path={dir}/bus")
        assert unix_path(listener) == directory / "bus"

    @pytest.mark.parametrize("transport", ["launchd", "autolaunch", "unixexec", "UNIX", ""])
    def test_only_unknown_transports(self, open_listener, transport):
        with pytest.raises(AddressError, match=f"^Unknown address type '{transport}'$"):
            open_listener(f"{transport}:a=b;other:")

    def test_malformed(self, open_listener, directory):
        """A list is parsed completely before a socket is opened."""
        with pytest.raises(AddressError, match="colon"):
            open_listener("unix:path={dir}/bus;unix")
        assert list(directory.iterdir()) == []
