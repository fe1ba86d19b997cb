"""Bugs of other buses in connections and privileges (docs/contributing/bug-classes.md)."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from support.daemon import Daemon, config
from support.driver import refused
from support.message import Message, Type
from support.raw import BUS, BUS_PATH, DEADLINE, ERROR, BusError, Client, Closed, Wire
from support.rlimits import cpu_time, limited_daemon
from support.timeouts import scaled

from .conftest import StartDaemon

ROOT = Path(__file__).parents[2]
SERVICE = "org.example.Service"
SYSTEMD = "org.freedesktop.systemd1"
MONITORING = "org.freedesktop.DBus.Monitoring"


@pytest.fixture
def service_dir(directory: Path) -> str:
    """A configuration line for a directory with a service that starts and never requests its name."""
    text = f"[D-BUS Service]\nName={SERVICE}\nExec=/bin/true\nSystemdService=a.service\n"
    (directory / f"{SERVICE}.service").write_text(text)
    return f"<servicedir>{directory}</servicedir>"


def external(uid: int) -> bytes:
    return b"\0AUTH EXTERNAL " + str(uid).encode().hex().encode() + b"\r\n"


class TestErrorToTheWrongSide:
    """CVE-2014-3477: an activated service got the error of a message that it must not receive."""

    def test_activated(self, start_daemon: StartDaemon, service_dir: str) -> None:
        deny = '<policy context="mandatory"><deny receive_interface="a.Secret"/></policy>'
        daemon = start_daemon(config("unix:path={dir}/bus", extra=service_dir + deny))
        client, service = daemon.connect(), daemon.connect()
        denied, passed = (
            client.start_call(SERVICE, "Hail", interface="a.Secret"),
            client.start_call(SERVICE, "Public"),
        )
        client.driver("GetId")
        assert service.driver("RequestName", "su", SERVICE, 0) == 1
        assert "Rejected receive" in client.expect_error(denied, ERROR + "AccessDenied")
        assert service.expect(type=Type.SIGNAL, member="NameAcquired")
        service.reply(service.expect(type=Type.METHOD_CALL, member="Public"))
        assert client.reply_to(passed)
        service.expect_nothing(client)


class TestUnauthenticatedSlots:
    """CVE-2014-3639: unauthenticated connections occupied all slots for a long time."""

    def test_time_out_makes_room(self, limited: StartDaemon) -> None:
        daemon = limited(max_incomplete_connections=4, auth_timeout=300)
        established = daemon.connect()
        silent = [Wire(daemon.address) for _ in range(12)]
        assert established.driver("GetId")
        assert daemon.connect().unique
        for wire in silent:
            wire.close()


class TestConnectionFlood:
    """dbus-broker#435: out of descriptors, the bus ended and disconnected all clients."""

    CALLS = 200

    def cost(self, daemon: Daemon, client: Client) -> int:
        before = cpu_time(daemon)
        for _ in range(self.CALLS):
            client.driver("GetId")
        return cpu_time(daemon) - before

    @pytest.mark.deviation("no-descriptors")
    @pytest.mark.parametrize("descriptors", [64, 65])
    def test_no_descriptors_left(
        self, start_daemon: StartDaemon, unprivileged: int, descriptors: int
    ) -> None:
        """Whichever descriptor exceeds the limit, a socket or a pidfd, the bus does not busy-wait."""
        daemon = limited_daemon(start_daemon, unprivileged, descriptors)
        client = daemon.connect(uid=unprivileged)
        quiet = max(self.cost(daemon, client) for _ in range(2))
        flood: list[Wire] = []
        with contextlib.suppress(BlockingIOError):
            while len(flood) < 100:
                flood.append(Wire(daemon.address))
        # At first the bus also accepts those that there are descriptors for, and is still at its start.
        end = time.monotonic() + DEADLINE
        while self.cost(daemon, client) >= 4 * quiet:
            assert time.monotonic() < end
        with contextlib.suppress(BusError):
            client.driver("ReloadConfig")
        assert daemon.stderr.count("Failed to accept") <= 1
        for wire in flood:
            wire.close()
        assert daemon.connect().driver("NameHasOwner", "s", client.unique) is True
        assert client.driver("ReloadConfig") is None

    def test_authenticated(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """A client with a unique name keeps it; new clients get one when descriptors are free again."""
        daemon = limited_daemon(start_daemon, unprivileged, 64)
        first = daemon.connect()
        crowd: list[Client] = []
        with contextlib.suppress(TimeoutError, Closed, BlockingIOError, BusError):
            while len(crowd) < 60:
                crowd.append(Client(daemon.address, deadline=scaled(0.5)))
        assert crowd
        first.start_call(crowd[-1].unique, "Hail")
        assert crowd[-1].take(member="Hail")
        for one in crowd:
            one.close()
        assert daemon.connect().unique


class TestActivationFailure:
    """CVE-2015-0245: any client could report, as if it were systemd, that a service had failed to start."""

    def tell(self, client: Client) -> None:
        client.signal(
            "ActivationFailure",
            "sss",
            "a.service",
            "org.example.Forged",
            "no",
            path="/org/freedesktop/systemd1",
            interface=SYSTEMD + ".Activator",
            destination=BUS,
        )
        client.sync()

    def test_forged(self, start_daemon: StartDaemon, service_dir: str, unprivileged: int) -> None:
        text = config("unix:path={dir}/bus", extra=service_dir)
        daemon = start_daemon(text, "--systemd-activation")
        client, systemd = daemon.connect(), daemon.connect()
        assert systemd.own(SYSTEMD) == 1
        serial = client.start_call(SERVICE, "Hail")
        systemd.take(type=Type.SIGNAL, member="ActivationRequest")
        for forger in (daemon.connect(uid=unprivileged), daemon.connect(), client):
            self.tell(forger)
            client.sync()
            assert client.inbox == []
        self.tell(systemd)
        assert client.expect_error(serial, "org.example.Forged") == "no"


class TestEnvironment:
    """UpdateActivationEnvironment is privileged (2014); CVE-2012-3524: setuid and the environment."""

    VARIABLES = ("UpdateActivationEnvironment", "a{ss}", {"LD_PRELOAD": "/evil.so"})

    def test_another_user(self, bus: Daemon, unprivileged: int) -> None:
        client = bus.connect(uid=unprivileged)
        text = refused(client, "AccessDenied", *self.VARIABLES)
        assert "rejected attempt to call UpdateActivationEnvironment by connection" in text

    def test_another_path(self, client: Client) -> None:
        assert "canonical object path" in refused(client, "AccessDenied", *self.VARIABLES, path="/")

    def test_system_bus(self, start_daemon: StartDaemon) -> None:
        extra = "<servicehelper>/bin/false</servicehelper>"
        client = start_daemon(config("unix:path={dir}/bus", type="system", extra=extra)).connect()
        assert "on a system bus" in refused(client, "AccessDenied", *self.VARIABLES)

    def test_launch_helper(self, directory: Path, unprivileged: int) -> None:
        """Only the configured user can use the launch helper, in any environment."""
        (directory / "evil.conf").write_text("<busconfig><user>nobody</user></busconfig>")
        built = ROOT / "daemon/launch/omnibus-daemon-launch-helper"
        helper = Path(shutil.copy(built, directory))
        helper.chmod(0o4755)
        environment = {"TEST_LAUNCH_HELPER_CONFIG": str(directory / "evil.conf"), "HOME": str(directory)}
        done = subprocess.run(
            [helper, SERVICE], env=environment, user=unprivileged, check=False, capture_output=True, text=True
        )
        assert done.returncode == 7
        assert "not invoked from user" in done.stderr


class TestCookieAuthentication:
    """CVE-2019-12749: a client with its keyring linked to another's made the bus read and write that one."""

    def ask(self, start_daemon: StartDaemon, home: Path, identity: int) -> bytes:
        environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
        auth = "<auth>DBUS_COOKIE_SHA1</auth>"
        daemon = start_daemon(config("unix:path={dir}/bus", auth=auth), env=environment)
        wire = Wire(daemon.address)
        wire.send_bytes(b"\0AUTH DBUS_COOKIE_SHA1 " + str(identity).encode().hex().encode() + b"\r\n")
        answer = wire.read_line()
        wire.close()
        return answer

    def test_own_keyring(self, start_daemon: StartDaemon, directory: Path) -> None:
        assert self.ask(start_daemon, directory, os.geteuid()).startswith(b"DATA ")
        assert (directory / ".dbus-keyrings").is_dir()

    @pytest.mark.deviation("linked-keyring")
    def test_linked_keyring(self, start_daemon: StartDaemon, directory: Path) -> None:
        victim = directory / "victim"
        victim.mkdir(mode=0o700)
        (directory / ".dbus-keyrings").symlink_to(victim)
        assert self.ask(start_daemon, directory, os.geteuid()).startswith(b"REJECTED")
        assert list(victim.iterdir()) == []

    def test_another_user(self, start_daemon: StartDaemon, directory: Path) -> None:
        """The bus has cookies of its own user only."""
        assert self.ask(start_daemon, directory, os.geteuid() + 65_534).startswith(b"REJECTED")
        assert list(directory.iterdir()) == []


class TestBeforeAuthentication:
    """dbus#421: an assertion that unauthenticated clients could trigger."""

    WORDS = (
        b"",
        b" ",
        b"\0",
        b"\xff",
        b"AUTH",
        b"AUTH EXTERNAL",
        b"AUTH EXTERNAL 3g",
        b"DATA",
        b"DATA zz",
        b"ERROR",
    )
    WORDS += (b"CANCEL", b"BEGIN", b"NEGOTIATE_UNIX_FD", b"AUTH ANONYMOUS 6f", b"AUTH DBUS_COOKIE_SHA1 30")
    WORDS += (b"AUTH EXTERNAL " + b"30" * 3000, b"\r", b"\n", b"l\1\0\1" + b"\0" * 12)

    @pytest.mark.parametrize("start", [b"", b"\0", b"\0AUTH EXTERNAL\r\n", b"\0AUTH DBUS_COOKIE_SHA1\r\n"])
    def test_any_line(self, start_daemon: StartDaemon, start: bytes) -> None:
        daemon = start_daemon(config("unix:path={dir}/bus", auth=""))
        for first in self.WORDS:
            for second in self.WORDS:
                with contextlib.closing(Wire(daemon.address)) as wire, contextlib.suppress(Closed):
                    wire.send_bytes(start + first + b"\r\n" + second + b"\r\n\0" + second)
        assert daemon.connect().driver("ListNames")[0] == BUS


class TestPipelinedHello:
    """zbus#1760: data received together with the end of authentication was lost."""

    @pytest.mark.parametrize("cut", [0, 1, 25, -1])
    def test_at_once(self, bus: Daemon, cut: int) -> None:
        """Hello and two calls after BEGIN, in one write or two."""
        calls = b"".join(
            Message(path=BUS_PATH, interface=BUS, member=member, destination=BUS, serial=serial).encode()
            for serial, member in enumerate(("Hello", "GetId", "ListNames"), 1)
        )
        with contextlib.closing(Wire(bus.address)) as wire:
            data = external(os.geteuid()) + b"NEGOTIATE_UNIX_FD\r\nBEGIN\r\n" + calls
            at = data.index(b"BEGIN") + cut if cut >= 0 else len(data) + cut
            wire.send_bytes(data[:at])
            wire.send_bytes(data[at:])
            assert (wire.read_line()[:3], wire.read_line()) == (b"OK ", b"AGREE_UNIX_FD")
            messages = [wire.read_message(time.monotonic() + wire.deadline) for _ in range(4)]
        assert [one.reply_serial for one in messages] == [1, None, 2, 3]
        assert messages[0].body[0] in messages[3].body[0]


class TestMonitors:
    """CVE-2023-34969: the bus failed when it could not deliver a reply while a monitor was connected."""

    POLICY = """<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
        <allow receive_sender="*"/></policy>
      <policy context="mandatory">
        <deny receive_sender="org.freedesktop.DBus" receive_type="error" receive_requested_reply="true"/>
      </policy>"""

    def become(self, client: Client) -> None:
        client.driver("BecomeMonitor", "asu", [], 0, interface=MONITORING)

    def test_undeliverable(self, start_daemon: StartDaemon) -> None:
        daemon = start_daemon(config("unix:path={dir}/bus", policy=self.POLICY))
        monitor, client = daemon.connect(), daemon.connect()
        self.become(monitor)
        for member in ("NoSuchMethod", "GetNameOwner"):
            client.start_call(BUS, member, interface=BUS, path=BUS_PATH)
            assert client.driver("GetId")
            monitor.take(type=Type.METHOD_CALL, member=member)
        assert client.inbox == []
        assert daemon.connect().unique

    def test_full_queue(self, limited: StartDaemon) -> None:
        daemon = limited(max_outgoing_bytes=1)
        monitor, client = daemon.connect(), daemon.connect()
        self.become(monitor)
        call = client.message(
            Type.METHOD_CALL, path=BUS_PATH, interface=BUS, member="ListNames", destination=BUS
        )
        client.socket.send(call.encode() * 500, socket.MSG_DONTWAIT)
        assert daemon.connect().unique

    def test_end(self, bus: Daemon) -> None:
        """dbus-broker v25 and v28: the disconnect of a monitor, and of one with the same rule twice."""
        client = bus.connect()
        rules = ["type='signal'", "type='signal'", f"sender='{client.unique}'", ""]
        for _ in range(5):
            monitor = bus.connect()
            monitor.driver("BecomeMonitor", "asu", rules, 0, interface=MONITORING)
            client.signal("News")
            monitor.take(member="News")
            monitor.close()
            client.sync()
        client.expect_nothing()

    def test_for_the_privileged(self, bus: Daemon, unprivileged: int) -> None:
        """busd allowed all clients to monitor."""
        client = bus.connect(uid=unprivileged)
        with pytest.raises(BusError, match="AccessDenied"):
            self.become(client)


class TestBoundClient:
    """busd panicked on a client with its own socket bound to an abstract name."""

    def test_names(self, bus: Daemon) -> None:
        for name in (b"\0omnibus-test-%d" % os.getpid(), os.fsencode(bus.directory / "client")):
            wire = Wire.__new__(Wire)
            wire.deadline, wire.buffer, wire.fds, wire.kept = 20.0, bytearray(), [], []
            wire.socket = socket.socket(socket.AF_UNIX)
            wire.socket.bind(name)
            wire.socket.connect(bus.address.partition("path=")[2].partition(",")[0])
            wire.send_bytes(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
            assert wire.read_line().startswith(b"OK ")
            wire.close()
