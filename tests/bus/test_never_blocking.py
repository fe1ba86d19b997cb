"""Inputs that must not keep the control plane from replying: odd messages, names, files, sandboxes, sizes."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemon import Daemon, config, private_directory, start
from support.message import Message, Type
from support.raw import ABSENT, BUS, DEADLINE, ERROR, BusError, Client
from support.sandbox import sandboxed
from support.timeouts import await_true

from .conftest import StartDaemon

NAME = "org.example.Activatable"
OTHER = "org.example.Fails"
DENIED = "org.example.Denied"
POLICY = f"""<policy context="default">
<allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
<deny send_destination="{DENIED}"/>
</policy>"""
UNKNOWN_TYPE = "Message bus will not accept messages of unknown type"


@pytest.fixture
def directory() -> Iterator[Path]:
    path = private_directory()
    (path / "services").mkdir()
    for name, program in ((NAME, "/bin/sleep 60"), (DENIED, "/bin/sleep 60"), (OTHER, "/bin/false")):
        (path / f"services/{name}.service").write_text(f"[D-BUS Service]\nName={name}\nExec={program}\n")
    yield path
    shutil.rmtree(path, ignore_errors=True)


def with_services(directory: Path, more: str = "", **options: Any) -> str:
    extra = f"<servicedir>{directory}/services</servicedir>{more}"
    return config(f"unix:path={directory}/bus", extra=extra, policy=POLICY, **options)


def error_of(client: Client, serial: int) -> tuple[str, str]:
    reply = client.expect(type=Type.ERROR, reply_serial=serial)
    return str(reply.error_name).removeprefix(ERROR), str(reply.body[0]).strip()


class TestUnknownTypes:
    """The bus refuses messages of an unknown type, whatever their destination."""

    @pytest.fixture
    def client(self, start_daemon: StartDaemon, directory: Path) -> Client:
        self.daemon: Daemon = start_daemon(with_services(directory), directory=directory)
        return self.daemon.connect()

    def odd(self, client: Client, destination: str, **more: Any) -> Message:
        return client.message(77, path="/a", interface="a.b", member="Odd", destination=destination, **more)

    @pytest.mark.parametrize("name", [NAME, DENIED])
    def test_to_a_name_that_can_be_activated(self, client: Client, name: str) -> None:
        assert error_of(client, client.send(self.odd(client, name))) == ("AccessDenied", UNKNOWN_TYPE)
        assert not children_of(self.daemon)

    def test_no_auto_start(self, client: Client) -> None:
        message = self.odd(client, NAME, flags=2)
        expected = ("NameHasNoOwner", f'Name "{NAME}" does not exist')
        assert error_of(client, client.send(message)) == expected

    def test_to_an_absent_name(self, client: Client) -> None:
        """dbus-daemon looks for a service file first, and reports that there is none."""
        name, _ = error_of(client, client.send(self.odd(client, ABSENT)))
        assert name in ("AccessDenied", "ServiceUnknown")

    def test_before_hello(self, client: Client) -> None:
        early = Client(self.daemon.address, hello=False)
        message = self.odd(early, BUS)
        assert error_of(early, early.send(message)) == ("AccessDenied", UNKNOWN_TYPE)

    def test_descriptors(self, client: Client, pipe: tuple[int, int]) -> None:
        """Descriptors are closed with the message, and a later call of a service does not hang."""
        client.driver("ReloadConfig")  # which also starts the file watch
        before = self.daemon.open_files()
        for _ in range(20):
            for name in (DENIED, NAME):
                message = self.odd(client, name, unix_fds=1)
                client.send(message, pipe[:1])
                assert error_of(client, message.serial) == ("AccessDenied", UNKNOWN_TYPE)
        assert await_true(lambda: self.daemon.open_files() <= before, 20), "descriptors are left"
        with pytest.raises(BusError) as caught:
            client.driver("StartServiceByName", "su", OTHER, 0)
        assert caught.value.name == ERROR + "Spawn.ChildExited"


def children_of(daemon: Daemon) -> list[int]:
    text = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


class TestNames:
    """Names longer than 255 bytes are invalid and have no owner."""

    @pytest.mark.parametrize("name", [":1." + "9" * 5000, ":1." + "9" * 260, "a." + "b" * 260])
    @pytest.mark.parametrize("member", ["ListQueuedOwners", "GetConnectionCredentials"])
    def test_no_owner(self, start_daemon: StartDaemon, member: str, name: str) -> None:
        daemon = start_daemon()
        with pytest.raises(BusError) as caught:
            daemon.connect().driver(member, "s", name)
        assert caught.value.name == ERROR + "NameHasNoOwner"
        assert "Traceback" not in daemon.stderr


def reloads(daemon: Daemon, times: int = 3) -> None:
    """Reload in every way."""
    client = daemon.connect()
    client.match(f"type='signal',sender='{BUS}',member='ActivatableServicesChanged'")
    for _ in range(times):
        client.driver("ReloadConfig")
        client.take(member="ActivatableServicesChanged")
    os.kill(daemon.pid, signal.SIGHUP)
    client.take(member="ActivatableServicesChanged")
    client.driver("ReloadConfig")
    assert "Traceback" not in daemon.stderr


Begin = Callable[[str, str], Daemon]


@pytest.fixture
def begin_wrapped(directory: Path) -> Iterator[Begin]:
    """Start a wrapper of the daemon."""
    with contextlib.ExitStack() as stack:

        def begin(program: str, text: str) -> Daemon:
            daemon = start(program, text, (), directory)
            stack.callback(daemon.stop)
            return daemon

        yield begin


class TestReload:
    """Nothing prevents the reply to a reload, or the next reload."""

    @pytest.mark.parametrize(
        "variables",
        [
            {"XDG_DATA_DIRS": "share:/usr/share"},
            {"XDG_DATA_HOME": ".local/share"},
            {"HOME": "somewhere"},
            {"XDG_DATA_DIRS": "../share"},
            {"XDG_DATA_DIRS": "."},
            {"XDG_DATA_DIRS": "~/share:/usr/share"},
            {"XDG_DATA_DIRS": "/a//b///:///"},
        ],
        ids=str,
    )
    def test_relative_directories(self, start_daemon: StartDaemon, variables: dict[str, str]) -> None:
        """They are resolved against the directory that the bus was started in."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_DATA", "DBUS_"))}
        text = config("unix:path={dir}/bus", extra="<standard_session_servicedirs/>")
        reloads(start_daemon(text, env=kept | variables))

    def test_relative_directory_is_read(self, start_daemon: StartDaemon, directory: Path) -> None:
        services = directory / "share/dbus-1/services"
        services.mkdir(parents=True)
        (services / "a.service").write_text("[D-BUS Service]\nName=org.example.Near\nExec=/bin/false\n")
        text = config("unix:path={dir}/bus", extra="<standard_session_servicedirs/>")
        variables = {**os.environ, "XDG_DATA_DIRS": "share"}
        daemon = start_daemon(text, directory=directory, cwd=str(directory), env=variables)
        assert "org.example.Near" in daemon.connect().driver("ListActivatableNames")

    @pytest.mark.parametrize("depth", [900, 1100, 1900])
    def test_deep_directory(self, start_daemon: StartDaemon, depth: int) -> None:
        """A directory that does not exist, many levels below one that does."""
        extra = f"<servicedir>/nowhere/{'a/' * depth}</servicedir>"
        reloads(start_daemon(config("unix:path={dir}/bus", extra=extra)))

    @pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
    def test_no_pidfd(self, executable: str, begin_wrapped: Begin, directory: Path, error: int) -> None:
        """Where a sandbox forbids pidfd_open(), no child that reads the configuration is left."""
        wrapped = sandboxed(executable, directory / "wrapped", "pidfd_open", error)
        daemon = begin_wrapped(wrapped, with_services(directory))
        reloads(daemon)  # which also starts the file watch
        before = daemon.open_files()
        reloads(daemon, 8)
        # One more client; the files that a reload has open at this moment are closed at its end.
        assert await_true(lambda: daemon.open_files() <= before + 1, 20), daemon.open_files() - before
        assert await_true(lambda: not children_of(daemon), 20)

    def test_no_pidfd_send_signal(self, executable: str, begin_wrapped: Begin, directory: Path) -> None:
        """A child that takes too long is killed all the same."""
        wrapped = sandboxed(executable, directory / "wrapped", "pidfd_send_signal", errno.EPERM)
        text = with_services(directory, limits={"service_start_timeout": 300})
        daemon = begin_wrapped(wrapped, text)
        with pytest.raises(BusError) as caught:
            daemon.connect().call(NAME, "Hail")
        assert caught.value.name == ERROR + "TimedOut"
        deadline = time.monotonic() + DEADLINE
        while children_of(daemon):
            assert time.monotonic() < deadline
