"""Known bugs of other buses in activation, by their names."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.daemon import STRICT_POLICY, Daemon
from support.message import Type
from support.raw import BUS, BUS_PATH, ERROR, BusError, Client

from .conftest import LAUNCH, SANITIZERS, Desk, Parts, Services, wait_until

NAME = "org.example.Service"
OTHER = "org.example.Other"
SYSTEMD = "org.freedesktop.systemd1"
UNPRIVILEGED = 65534


def activation_failure(client: Client) -> int:
    """Report that a unit has failed."""
    return client.signal(
        "ActivationFailure",
        "sss",
        "unit.service",
        "an.Error",
        "forged",
        path="/org/freedesktop/systemd1",
        interface=SYSTEMD + ".Activator",
        destination=BUS,
    )


class TestCVE20150245:
    """Any client could send ActivationFailure, and so keep services from starting."""

    @pytest.fixture
    def daemon(self, services: Services) -> Daemon:
        services.add(NAME, "/bin/false", SystemdService="unit.service")
        policy = '<policy context="default"><allow send_destination="*" eavesdrop="true"/>'
        policy += '<allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy>'
        return services.start("--systemd-activation", policy=policy)

    def start(self, daemon: Daemon) -> tuple[Client, Client, int]:
        systemd, client = daemon.connect(), daemon.connect()
        systemd.own(SYSTEMD)
        serial = client.start_call(NAME, "Hello")
        systemd.take(member="ActivationRequest", body=("unit.service",), sender=BUS, destination=SYSTEMD)
        return systemd, client, serial

    def test_by_an_unprivileged_client(self, daemon: Daemon) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root, to change the uid")
        _, client, serial = self.start(daemon)
        attacker = daemon.connect(uid=UNPRIVILEGED)
        text = attacker.expect_error(activation_failure(attacker), ERROR + "AccessDenied")
        assert text.startswith("rejected attempt to call ActivationFailure by connection ")
        self.assert_started(daemon, client, serial)

    def test_by_a_privileged_client_that_is_not_systemd(self, daemon: Daemon) -> None:
        _, client, serial = self.start(daemon)
        activation_failure(client)
        client.sync()
        assert "Ignoring forged ActivationFailure message from connection" in daemon.stderr
        self.assert_started(daemon, client, serial)

    def assert_started(self, daemon: Daemon, client: Client, serial: int) -> None:
        """Check that the start was not affected."""
        service = daemon.connect()
        service.driver("RequestName", "su", NAME, 0)
        service.reply(service.take(member="Hello"))
        assert client.reply_to(serial).type == Type.METHOD_RETURN

    def test_systemd_itself_may(self, daemon: Daemon) -> None:
        systemd, client, serial = self.start(daemon)
        activation_failure(systemd)
        assert client.expect_error(serial, "an.Error") == "forged"


class TestCVE20143477:
    """An error for a message denied to the service was sent in reply to the service's RequestName."""

    def test_error_goes_to_the_sender(self, services: Services) -> None:
        services.add(NAME, "/bin/sleep 60")
        rule = '<deny receive_interface="org.example.Secret"/>'
        daemon = services.start(policy=STRICT_POLICY.replace("</policy>", rule + "</policy>"))
        client, service = daemon.connect(), daemon.connect()
        denied = client.start_call(NAME, "Denied", interface="org.example.Secret")
        allowed = client.start_call(NAME, "Allowed")
        client.sync()
        assert service.own(NAME) == 1
        service.reply(service.expect(member="Allowed"))
        assert client.expect_error(denied, ERROR + "AccessDenied").startswith("Rejected receive message")
        assert client.reply_to(allowed)


class TestCVE20123524:
    """A setuid helper trusted its caller's environment."""

    def test_environment_is_ignored(self, compile_c: Callable[..., Path], tmp_path: Path) -> None:
        program = compile_c(
            "launch-helper-test", LAUNCH / "launch_helper.c", "-DLAUNCH_HELPER_TEST", *SANITIZERS
        )
        (tmp_path / "conf").write_text(
            f"<busconfig><user>u</user><servicedir>{tmp_path}</servicedir></busconfig>"
        )
        (tmp_path / f"{NAME}.service").write_text(
            f"[D-BUS Service]\nName={NAME}\nUser=u\nExec=/usr/bin/env\n"
        )
        hostile = {"DBUS_SYSTEM_BUS_ADDRESS": "unixexec:path=/evil", "DBUS_VERBOSE": "1", "PATH": "/evil"}
        found = subprocess.check_output(
            [program, NAME], env={**hostile, "TEST_LAUNCH_HELPER_CONFIG": f"{tmp_path}/conf"}, text=True
        )
        assert sorted(line.partition("=")[0] for line in found.splitlines()) == [
            "DBUS_STARTER_ADDRESS",
            "DBUS_STARTER_BUS_TYPE",
        ]


class TestHardeningOfUpdateActivationEnvironment:
    """It selects the code that others' services run: for the bus's own user, at the bus's own path only."""

    def test_another_user(self, services: Services) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root, to change the uid")
        client = services.start().connect(uid=UNPRIVILEGED)
        with pytest.raises(BusError, match="rejected attempt to call UpdateActivationEnvironment") as caught:
            client.driver("UpdateActivationEnvironment", "a{ss}", {"LD_PRELOAD": "/evil"})
        assert caught.value.name == ERROR + "AccessDenied"

    def test_another_path(self, services: Services) -> None:
        """A policy on the path alone must not be bypassed."""
        client = services.start().connect()
        with pytest.raises(BusError, match="is only available at the canonical object path") as caught:
            client.driver("UpdateActivationEnvironment", "a{ss}", {"A": "1"}, path="/")
        assert caught.value.name == ERROR + "AccessDenied"


class TestCVE202231212:
    """dbus-broker read beyond the end of a command line with an unterminated quote."""

    @pytest.mark.parametrize("quote", ["'", '"', "\\", "#", '"\\'])
    def test_open_quote_at_the_end(self, parts: Parts, quote: str) -> None:
        """Under AddressSanitizer, with every length around that of an allocated block."""
        for length in range(40):
            assert parts.command_line("a" * length + quote) is None


class TestCVE20132168:
    """Logged text was used as a format string."""

    def test_percent_signs(self, make_desk: Callable[..., Desk]) -> None:
        """In every logged text that clients choose."""
        desk = make_desk(systemd_activation=True)
        desk.service(NAME, SystemdService="%s%n.service")
        systemd = desk.attach(0)
        desk.own(systemd, SYSTEMD)
        desk.park(desk.attach(), NAME)
        fields = {"interface": SYSTEMD + ".Activator", "member": "ActivationFailure"}
        assert desk.tell(systemd, "sss", "%s%n.service", "a.b", "%d%s%n", **fields)[0][3] == "%d%s%n"
        assert desk.log.lines[-1] == "Activation via systemd failed for unit '%s%n.service': %d%s%n"


class TestCVE20143637:
    """Descriptors of undeliverable messages were never closed."""

    def descriptors(self, daemon: Daemon) -> int:
        return len(os.listdir(f"/proc/{daemon.pid}/fd"))

    @pytest.mark.parametrize(
        "end",
        [pytest.param("sender leaves", marks=pytest.mark.deviation("orphans")), "service fails"],
    )
    def test_descriptors_that_wait(self, services: Services, end: str) -> None:
        services.add(NAME, "/bin/sleep 60")
        services.add(OTHER, "/no/such/program")
        daemon = services.start()
        observer, client = daemon.connect(), daemon.connect()
        observer.sync()
        before = self.descriptors(daemon)
        name = NAME if end == "sender leaves" else OTHER
        read, write = os.pipe()
        for _ in range(5):
            client.start_call(name, "Hello", "h", 0, fds=[read])
        os.close(read)
        client.sync()
        if end == "sender leaves":
            client.close()
            # one less than before: the connection's own; one more: the pidfd of the program
            wait_until(lambda: self.descriptors(daemon) <= before)
        else:
            wait_until(lambda: self.descriptors(daemon) == before)
        with pytest.raises(BrokenPipeError):
            os.write(write, b"the other end is closed")
        os.close(write)


class TestUnboundedQueues:
    """A client that floods a starting service affects no other client."""

    def test_others_go_on(self, services: Services) -> None:
        services.add(NAME, "/bin/sleep 60")
        daemon = services.start(limits={"max_incoming_bytes": 1_000_000, "max_pending_service_starts": 100})
        flooder, other = daemon.connect(), daemon.connect()
        flooder.socket.setblocking(False)
        message = flooder.message(
            Type.METHOD_CALL, "ay", bytes(60_000), path="/a", member="Flood", destination=NAME, flags=1
        )
        data = message.encode()
        try:
            for _ in range(100):
                flooder.socket.sendall(data)
        except BlockingIOError:
            pass
        else:
            raise AssertionError("the bus has taken more than it may")
        assert other.driver("GetId")
        with pytest.raises(BusError, match="ServiceUnknown"):
            other.call(OTHER, "Hello")


class TestDanglingLink:
    """A dangling link in a directory stopped dbus-broker (bus1/dbus-broker#461)."""

    def test_in_a_service_directory(self, services: Services) -> None:
        (services.directory / "a.service").symlink_to("/nowhere")
        services.add(NAME, "/bin/true")
        client = services.start().connect()
        names = client.driver("ListActivatableNames", path=BUS_PATH)
        assert sorted(names) == [NAME, BUS]
