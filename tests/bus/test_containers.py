"""org.freedesktop.DBus.Containers1, which is off unless omnibus's own file has <containers>on</containers>.

The reference has it in builds that are not shipped: `make containers-test` runs its own tests of it with such
a build and with omnibusd. These here are what is ours, or what those leave out.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import CommandLine
from support.daemon import OPEN_POLICY, Daemon, config, private_directory
from support.message import Message, Type
from support.raw import BUS, BUS_PATH, ERROR, PROPERTIES, BusError, Client, Closed, Wire
from support.wire import Variant

from .conftest import ORDERS, StartDaemon

CONTAINERS = "org.freedesktop.DBus.Containers1"
STATS = "org.freedesktop.DBus.Debug.Stats"
TYPE = "org.example.Box"
UNPRIVILEGED = 65534
ON = "<omnibusconfig><containers>on</containers></omnibusconfig>"

pytestmark = pytest.mark.deviation("containers")


def directory_for(user: int | None) -> Path:
    """Make the directory of a bus of this user, which is its XDG_RUNTIME_DIR, too."""
    directory = private_directory()
    (directory / "omnibus.conf").write_text(ON)
    if user is not None:
        os.chown(directory, user, user)
    return directory


def begin(start_daemon: StartDaemon, text: str | None = None, *arguments: str, **limits: int) -> Daemon:
    """Start a bus with containers; another user's than root's, the sockets of whose buses have one place.

    It has no group, so it can't be started with one required, as others are in the guest.
    """
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    directory = directory_for(user)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(directory)}
    options: dict[str, Any] = {} if user is None else {"user": user}
    text = text or config("unix:path={dir}/bus", limits=limits)
    own = ("--omnibus-config={dir}/omnibus.conf", "--multicast=auto")
    return start_daemon(text, *own, *arguments, directory=directory, env=environment, **options)


@pytest.fixture
def bus(start_daemon: StartDaemon) -> Daemon:
    return begin(start_daemon)


@pytest.fixture
def manager(bus: Daemon) -> Client:
    return bus.connect()


class Box:
    """An instance, as its manager knows it."""

    def __init__(self, manager: Client, name: str = "box", **metadata: Variant) -> None:
        reply = ask(manager, "AddServer", "ssa{sv}a{sv}", TYPE, name, metadata, {})
        self.path, socket_path, self.address = reply
        self.socket = Path(os.fsdecode(bytes(socket_path)).rstrip("\0"))
        assert bytes(socket_path).endswith(b"\0")

    @contextlib.contextmanager
    def client(self, **options: Any) -> Iterator[Client]:
        with contextlib.closing(Client(self.address, **options)) as client:
            yield client


def ask(client: Client, member: str, signature: str = "", *body: Any, interface: str = CONTAINERS) -> Any:
    return client.driver(member, signature, *body, interface=interface)


@contextlib.contextmanager
def refused(error: str, text: str = "") -> Iterator[pytest.ExceptionInfo[BusError]]:
    """Expect an error reply whose text contains this."""
    with pytest.raises(BusError) as found:
        yield found
    assert found.value.name == ERROR + error, found.value
    assert text in found.value.text


def header(message: Message) -> object:
    """Return the field CONTAINER_INSTANCE."""
    return next((value for code, signature, value in message.extra if (code, signature) == (10, "o")), None)


def instance_of(client: Client, name: str) -> object:
    """Return the instance that GetConnectionCredentials names."""
    found = client.driver("GetConnectionCredentials", "s", name).get(f"{CONTAINERS}.Instance")
    return None if found is None else found.value


def gone(client: Client, box: Box) -> None:
    """Wait for InstanceRemoved of a subscriber."""
    client.expect(type=Type.SIGNAL, member="InstanceRemoved", interface=CONTAINERS, body=(box.path,))
    with refused("NotContainer", f"There is no container with path '{box.path}'"):
        ask(client, "GetInstanceInfo", "o", box.path)


class TestOff:
    """Without the element there is no such interface, whatever the reference's policy says about it."""

    def test_absent(self, start_daemon: StartDaemon) -> None:
        client = start_daemon().connect()
        with refused("UnknownInterface"):
            ask(client, "AddServer", "ssa{sv}a{sv}", TYPE, "box", {}, {})
        assert CONTAINERS not in client.driver("Get", "ss", BUS, "Interfaces", interface=PROPERTIES).value

    def test_no_group_beside_it(self, cli: CommandLine, start_daemon: StartDaemon) -> None:
        """The kernel writes no CONTAINER_INSTANCE, so messages have to go through the bus."""
        client = begin(start_daemon).connect()
        way = ask(client, "GetStats", interface=STATS)["omnibus.Multicast"].value
        assert way == "through the relay: containers are on"
        (cli.directory / "own.conf").write_text(ON)
        own = f"--omnibus-config={cli.directory}/own.conf"
        done = cli.run(f"--config-file={cli.conf}", own, "--multicast=require")
        assert done.returncode == 1
        assert "multicast is required: containers are on" in done.stderr


class TestAddServer:
    def test_reply(self, manager: Client) -> None:
        """The instance, and its socket as a path and as an address of its own."""
        box, other = Box(manager), Box(manager)
        assert box.path == "/org/freedesktop/DBus/Containers1/c0"
        assert other.path == "/org/freedesktop/DBus/Containers1/c1"
        assert box.socket.is_socket()
        assert box.address.startswith(f"unix:path={box.socket},guid=")
        assert box.address != other.address

    @ORDERS
    def test_metadata(self, bus: Daemon, order: str) -> None:
        """They are told as they came, in the byte order of the bus."""
        manager = bus.connect(order=order)
        nested = {"Deep": Variant("(ys)", (1, "x"))}
        metadata = {"Species": Variant("s", "Martes martes"), "More": Variant("a{sv}", nested)}
        box = Box(manager, "näme", **metadata)
        with box.client() as client:
            for told in (
                ask(manager, "GetInstanceInfo", "o", box.path),
                ask(client, "GetConnectionInstance", "s", client.unique)[1:],
            ):
                creator, kind, name, found = told
                assert (kind, name, found) == (TYPE, "näme", metadata)
                assert creator["UnixUserID"] == Variant("u", os.geteuid())
                assert creator["ProcessID"] == Variant("u", os.getpid())

    def test_descriptors(self, manager: Client) -> None:
        """An index of a descriptor would be one of another message later."""
        for value in (Variant("h", 0), Variant("av", [Variant("(sh)", ("x", 0))])):
            with refused("InvalidArgs", "Container metadata can't have descriptors"):
                Box(manager, Descriptor=value)

    def test_long_metadata(self, start_daemon: StartDaemon) -> None:
        """max_container_metadata_bytes: of type, name and metadata; what is longer is not read."""
        bus = begin(start_daemon, max_container_metadata_bytes=200)
        manager = bus.connect()
        text = f'"{manager.unique}" (uid={os.geteuid()}'
        room = 200 - 16 - len(TYPE) - 1 - len("\x04\0\0\0Text\0\x01s\0") - 4 - 1
        Box(manager, "x", Text=Variant("s", "x" * room))
        with refused("LimitsExceeded", "not allowed to set 201 bytes of container metadata"):
            Box(manager, "x", Text=Variant("s", "x" * (room + 1)))
        with refused("LimitsExceeded", "max_container_metadata_bytes=200"):
            Box(manager, "x" * 1000000)
        assert f"Connection {text}" in bus.stderr

    def test_full_directory(self, start_daemon: StartDaemon) -> None:
        """A socket that can't be made leaves nothing behind, and the limits are as before."""
        bus = begin(start_daemon, max_containers=1)
        (bus.directory / "dbus-1").write_text("")
        manager = bus.connect()
        with refused("Failed", f"Failed to create directory {bus.directory}/dbus-1/containers"):
            Box(manager)
        (bus.directory / "dbus-1").unlink()
        Box(manager)

    def test_limits(self, start_daemon: StartDaemon) -> None:
        """An instance counts until it is removed, whether its manager is there or not."""
        bus = begin(start_daemon, max_containers=3, max_containers_per_user=2)
        manager = bus.connect()
        box, _ = Box(manager), Box(manager)
        with refused("LimitsExceeded", f"for uid {os.geteuid()} (max_containers_per_user=2)"):
            Box(manager)
        with box.client():
            ask(manager, "StopListening", "o", box.path)
            with refused("LimitsExceeded"):
                Box(manager)
            watcher = bus.connect()
            watcher.match(f"interface='{CONTAINERS}'")
        gone(watcher, box)
        Box(manager)


class TestConnections:
    def test_credentials(self, manager: Client) -> None:
        """Contained connections are clients like others, and say where they belong."""
        box = Box(manager)
        with box.client() as client:
            assert instance_of(manager, client.unique) == box.path
            assert instance_of(client, manager.unique) is None
            assert client.driver("GetConnectionUnixUser", "s", client.unique) == os.geteuid()
            client.own("org.example.Service")
            serial = manager.start_call("org.example.Service", "Echo", "s", "x")
            client.reply(client.take(type=Type.METHOD_CALL), "s", "x")
            assert manager.reply_to(serial).body == ("x",)

    def test_never_privileged(self, bus: Daemon, manager: Client) -> None:
        """Root and the bus's own user are so outside of containers only."""
        where = f"uid={os.geteuid()}"
        with Box(manager, 'b"o\nx').client() as client:
            for member, signature, body, interface in (
                ("BecomeMonitor", "asu", ([], 0), "org.freedesktop.DBus.Monitoring"),
                ("UpdateActivationEnvironment", "a{ss}", ({},), BUS),
                ("GetStats", "", (), STATS),
                ("GetConnectionStats", "s", (client.unique,), STATS),
                ("AddServer", "ssa{sv}a{sv}", (TYPE, "inner", {}, {}), CONTAINERS),
                ("StopListening", "o", ("/org/freedesktop/DBus/Containers1/c0",), CONTAINERS),
                ("AddMatch", "s", ("eavesdrop='true'",), BUS),
            ):
                with refused("AccessDenied", f"rejected attempt to call {member} by") as found:
                    client.driver(member, signature, *body, interface=interface)
                assert found.value.text.endswith(
                    f'container=/org/freedesktop/DBus/Containers1/c0 {TYPE}="b"o?x") in container'
                )
                assert where in found.value.text

    def test_another_user(self, manager: Client, unprivileged: int) -> None:
        """Only the manager's user may connect."""
        box = Box(manager)
        box.socket.parent.parent.parent.chmod(0o755)
        box.socket.parent.parent.chmod(0o755)
        box.socket.parent.chmod(0o755)
        with pytest.raises(Closed), box.client(uid=unprivileged):
            pass
        with box.client():
            pass

    def test_mechanisms(self, start_daemon: StartDaemon) -> None:
        """EXTERNAL alone, even if the bus lets anonymous clients connect."""
        auth = "<auth>ANONYMOUS</auth><auth>EXTERNAL</auth><allow_anonymous/>"
        text = config("unix:path={dir}/bus", auth=auth)
        box = Box(begin(start_daemon, text).connect())
        with contextlib.closing(Wire(box.address)) as wire:
            wire.send_bytes(b"\0AUTH ANONYMOUS\r\n")
            assert wire.read_line() == b"REJECTED EXTERNAL"

    def test_policy_does_not_matter(self, start_daemon: StartDaemon) -> None:
        """A client that may talk to the bus may let a container do so, as in the reference."""
        bus = begin(start_daemon)
        manager = bus.connect()
        box = Box(manager)
        policy = OPEN_POLICY.replace('<allow user="*"/>', '<deny user="*"/>')
        (bus.directory / "bus.conf").write_text(config(f"unix:path={bus.directory}/bus", policy=policy))
        manager.driver("ReloadConfig")
        with pytest.raises(Closed):
            bus.connect(hello=False).driver("Hello")
        with box.client() as client:
            assert instance_of(client, client.unique) == box.path

    def test_limit(self, start_daemon: StartDaemon) -> None:
        """max_connections_per_container: of each server, those included that have not authenticated."""
        bus = begin(start_daemon, max_connections_per_container=2)
        manager = bus.connect()
        box, other = Box(manager), Box(manager)
        with contextlib.closing(Wire(box.address)) as silent, box.client(), other.client():
            with contextlib.closing(Wire(box.address)) as third:
                third.expect_closed()
            silent.send_bytes(b"no NUL\r\n")
            silent.expect_closed()
            manager.sync()
            with box.client():
                pass
        assert f"Closing connection to container server {box.path} ({TYPE}" in bus.stderr

    def test_connections_without_hello_time_out(self, start_daemon: StartDaemon) -> None:
        """auth_timeout is that of other connections, and ends the instance of the last one."""
        bus = begin(start_daemon, auth_timeout=200)
        manager = bus.connect()
        manager.match(f"interface='{CONTAINERS}'")
        box = Box(manager)
        with contextlib.closing(Wire(box.address)) as silent:
            silent.send_bytes(b"\0")
            silent.wait_until_read()
            ask(manager, "StopListening", "o", box.path)
            silent.expect_closed()
            gone(manager, box)


class TestHeader:
    """RequestHeader: CONTAINER_INSTANCE, field 10, in all messages for the caller; "/" for none."""

    def test_senders(self, bus: Daemon, manager: Client) -> None:
        box = Box(manager)
        asking, other = bus.connect(), bus.connect()
        ask(asking, "RequestHeader")
        for one in (asking, other):
            one.match("interface='org.example'")
        with box.client() as contained:
            for sender, expected in ((contained, box.path), (manager, "/")):
                sender.signal("Tick", "s", "x" * 20000, interface="org.example")
                message = asking.take(member="Tick")
                assert (header(message), message.sender) == (expected, sender.unique)
                assert message.body == ("x" * 20000,)
                assert header(other.take(member="Tick")) is None
        assert header(asking.call(BUS, "GetId", interface=BUS, path=BUS_PATH)) == "/"

    @ORDERS
    def test_forged(self, bus: Daemon, order: str) -> None:
        """The sender's own field is removed, or replaced."""
        asking, other, forger = bus.connect(), bus.connect(), bus.connect(order=order)
        ask(asking, "RequestHeader")
        for one, expected in ((asking, "/"), (other, None)):
            forger.start_call(one.unique, "Call", extra=[(10, "o", "/org/freedesktop/DBus/Containers1/c0")])
            message = one.take(type=Type.METHOD_CALL)
            assert header(message) == expected
            assert message.order == order

    def test_descriptors(self, bus: Daemon, manager: Client, pipe: tuple[int, int]) -> None:
        asking = bus.connect()
        ask(asking, "RequestHeader")
        with Box(manager).client() as contained:
            contained.start_call(asking.unique, "Take", "h", 0, fds=[pipe[1]])
            message = asking.take(type=Type.METHOD_CALL)
            os.write(message.fds[0], b"x")
            assert os.read(pipe[0], 1) == b"x"


class TestEnd:
    def test_stop_listening(self, bus: Daemon, manager: Client) -> None:
        """Its connections stay, and the instance with them; its path is not used again."""
        watcher = bus.connect()
        watcher.match(f"interface='{CONTAINERS}'")
        box = Box(manager)
        with box.client() as client:
            ask(manager, "StopListening", "o", box.path)
            assert not box.socket.exists()
            ask(manager, "StopListening", "o", box.path)
            watcher.expect_nothing()
            assert instance_of(client, client.unique) == box.path
        gone(watcher, box)
        assert Box(manager).path != box.path

    def test_stop_instance(self, manager: Client) -> None:
        """All connections are closed, in their handshake and after it."""
        manager.match(f"interface='{CONTAINERS}'")
        box = Box(manager)
        with box.client() as client, contextlib.closing(Wire(box.address)) as silent:
            silent.send_bytes(b"\0AUTH\r\n")
            silent.read_line()
            ask(manager, "StopInstance", "o", box.path)
            client.expect_closed()
            silent.expect_closed()
            gone(manager, box)

    def test_manager(self, bus: Daemon) -> None:
        """The server ends with its manager, whose credentials are still told."""
        watcher, manager = bus.connect(), bus.connect()
        watcher.match(f"interface='{CONTAINERS}'")
        watcher.match(f"member='NameOwnerChanged',arg0='{manager.unique}'")
        unused, box = Box(manager), Box(manager)
        with box.client():
            manager.close()
            watcher.take(member="NameOwnerChanged")
            gone(watcher, unused)
            creator, _, _, _ = ask(watcher, "GetInstanceInfo", "o", box.path)
            assert creator["UnixUserID"] == Variant("u", os.geteuid())
            assert not box.socket.exists()
        gone(watcher, box)

    def test_another_user(self, bus: Daemon, manager: Client, unprivileged: int) -> None:
        box = Box(manager)
        attacker = bus.connect(uid=unprivileged)
        for member in ("StopListening", "StopInstance"):
            text = f"User {unprivileged} cannot stop a container server started by user {os.geteuid()}"
            with refused("AccessDenied", text):
                ask(attacker, member, "o", box.path)
        assert box.socket.exists()

    def test_bus(self, bus: Daemon, manager: Client) -> None:
        """The sockets end with the bus."""
        box = Box(manager)
        bus.terminate()
        assert not box.socket.exists()

    def test_many(self, start_daemon: StartDaemon) -> None:
        """Servers that come and go leave no descriptor behind."""
        bus = begin(start_daemon)
        manager = bus.connect()
        manager.match(f"interface='{CONTAINERS}'")
        before = None
        for _ in range(50):
            box = Box(manager)
            with box.client() as client:
                client.driver("GetId")
            ask(manager, "StopInstance", "o", box.path)
            gone(manager, box)
            before = before or bus.open_files()
        assert bus.open_files() <= before


class TestQuestions:
    def test_connections_outside(self, manager: Client) -> None:
        with refused("NotContainer", f"Connection '{manager.unique}' is not in a container"):
            ask(manager, "GetConnectionInstance", "s", manager.unique)
        with refused("NotContainer", "The message bus is not in a container"):
            ask(manager, "GetConnectionInstance", "s", BUS)
        with refused("NameHasNoOwner", "Could not get container instance of name 'org.example.Absent'"):
            ask(manager, "GetConnectionInstance", "s", "org.example.Absent")

    def test_property(self, manager: Client) -> None:
        supported = manager.driver("Get", "ss", CONTAINERS, "SupportedArguments", interface=PROPERTIES)
        assert supported == Variant("as", [])
        with refused("InvalidArgs", "Named parameter X is not understood"):
            ask(manager, "AddServer", "ssa{sv}a{sv}", TYPE, "box", {}, {"X": Variant("b", False)})
        with refused("InvalidArgs", "must have the syntax of an interface name"):
            ask(manager, "AddServer", "ssa{sv}a{sv}", "no interface", "box", {}, {})
