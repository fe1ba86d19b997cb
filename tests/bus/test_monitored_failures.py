"""Specification, "org.freedesktop.DBus.Monitoring": denials, activation, monitors that do not read."""

from __future__ import annotations

import contextlib
from typing import ClassVar

import pytest

from support.daemon import OPEN_POLICY, STRICT_POLICY, Daemon, config
from support.monitor import (
    CALL,
    ERROR,
    FAILURE,
    RETURN,
    SIGNAL,
    become_monitor,
    monitor,
    sees,
    summary,
)
from support.raw import BUS, BUS_PATH, Client

from .conftest import StartDaemon


class TestDenied:
    """Denied messages are seen, with the error."""

    POLICY = OPEN_POLICY.replace(
        "</policy>",
        """<deny send_interface="org.example.Interface" send_member="Forbidden"/>
        <deny receive_interface="org.example.Interface" receive_member="Unwanted"/>
        <deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"
              send_member="GetId"/>
        </policy>""",
    )

    @pytest.fixture
    def daemon(self, start_daemon: StartDaemon) -> Daemon:
        return start_daemon(config("unix:path={dir}/bus", policy=self.POLICY))

    def test_broadcast(self, daemon: Daemon) -> None:
        """A denied broadcast: monitors see the error that the sender does not get."""
        client, other = daemon.connect(), daemon.connect()
        other.match("type='signal'")
        watcher = monitor(daemon)
        client.signal("Unwanted")
        client.signal("Unwanted", destination=other.unique)
        text = client.take(type=FAILURE).body[0]  # and it is the first message
        assert "Unwanted" in text
        (_, error, _, _) = sees(
            watcher,
            (SIGNAL, client.unique, None, "Unwanted"),
            (FAILURE, BUS, client.unique, ERROR + "AccessDenied"),
            (SIGNAL, client.unique, other.unique, "Unwanted"),
            (FAILURE, BUS, client.unique, ERROR + "AccessDenied"),
        )
        assert client.inbox == []
        assert error.body[0].startswith('Rejected receive message, 2 matched rules; type="signal", sender="')

    def test_unicast(self, daemon: Daemon) -> None:
        """The message is followed by the error that the sender gets."""
        client, other = daemon.connect(), daemon.connect()
        watcher = monitor(daemon)
        for member in ("Forbidden", "Unwanted"):
            client.start_call(other.unique, member)
        client.start_call(BUS, "GetId", path=BUS_PATH, interface=BUS)
        denied = (FAILURE, BUS, client.unique, ERROR + "AccessDenied")
        sees(
            watcher,
            (CALL, client.unique, other.unique, "Forbidden"),
            denied,
            (CALL, client.unique, other.unique, "Unwanted"),
            denied,
            (CALL, client.unique, BUS, "GetId"),
            denied,
        )

    @pytest.mark.parametrize(
        ("signal", "destination"),
        [
            ("NameAcquired", "client"),
            pytest.param("NameOwnerChanged", None, marks=pytest.mark.deviation("denied-broadcast")),
        ],
    )
    def test_of_the_bus(self, start_daemon: StartDaemon, signal: str, destination: str | None) -> None:
        """A signal of the bus that its receiver may not have: an error from the bus to the bus."""
        rule = f'<deny receive_interface="org.freedesktop.DBus" receive_member="{signal}"/></policy>'
        policy = OPEN_POLICY.replace("</policy>", rule)
        daemon = start_daemon(config("unix:path={dir}/bus", policy=policy))
        client = daemon.connect(hello=False)
        client.start_call(BUS, "Hello", path=BUS_PATH, interface=BUS)
        mine = client.receive().body[0]
        client.match("type='signal'")
        watcher = daemon.connect(hello=False)
        watcher.start_call(BUS, "Hello", path=BUS_PATH, interface=BUS)
        become_monitor(watcher)
        watcher.take(member="NameLost")
        watcher.inbox.clear()
        client.driver("RequestName", "su", "org.example.Name", 0)
        while (message := watcher.receive()).member != signal:
            pass
        assert message.destination == (mine if destination else None)
        error = watcher.receive()
        assert summary(error) == (FAILURE, BUS, BUS, ERROR + "AccessDenied")
        assert error.reply_serial == message.serial
        assert error.body[0].startswith("Rejected receive message, ")

    def test_monitor_is_exempt(self, daemon: Daemon) -> None:
        """No policy applies to the messages that a monitor sees."""
        watcher = monitor(daemon, "member='Unwanted'")
        client = daemon.connect()
        client.signal("Unwanted")
        sees(watcher, (SIGNAL, client.unique, None, "Unwanted"))

    def test_unrequested_reply(self, start_daemon: StartDaemon) -> None:
        daemon = start_daemon(config("unix:path={dir}/bus", policy=STRICT_POLICY))
        client, other = daemon.connect(), daemon.connect()
        watcher = monitor(daemon)
        other.send(other.message(RETURN, destination=client.unique, reply_serial=99))
        sees(
            watcher,
            (RETURN, other.unique, client.unique, None),
            (FAILURE, BUS, other.unique, ERROR + "AccessDenied"),
        )

    def test_no_descriptors(self, daemon: Daemon, pipe: tuple[int, int]) -> None:
        """A signal with descriptors is not delivered to a client that did not negotiate them."""
        client, other = daemon.connect(), daemon.connect(unix_fds=False)
        other.match("type='signal'")
        watcher = monitor(daemon, "type='error'")
        client.signal("Given", "h", 0, fds=[pipe[0]])
        (error,) = sees(watcher, (FAILURE, BUS, client.unique, ERROR + "NotSupported"))
        assert error.body[0].startswith(f"broadcast cannot be delivered to {other.unique} (")
        assert error.body[0].endswith(") because it does not support receiving Unix fds")


class TestActivation:
    """Messages that activate a service."""

    def test_program(self, start_daemon: StartDaemon) -> None:
        """The message and its consequences are seen; its delivery is not seen a second time."""
        text = config("unix:path={dir}/bus", extra="<servicedir>{dir}/services</servicedir>")
        daemon = start_daemon(text)
        (daemon.directory / "services").mkdir()
        for name, command in (("org.example.Fails", "/bin/false"), ("org.example.Works", "/bin/true")):
            file = daemon.directory / "services" / f"{name}.service"
            file.write_text(f"[D-BUS Service]\nName={name}\nExec={command}\n")
        client, other = daemon.connect(), daemon.connect()
        client.driver("ReloadConfig")
        watcher = monitor(daemon)
        mine = client.unique
        client.start_call("org.example.Fails", "Hail")
        sees(
            watcher,
            (CALL, mine, "org.example.Fails", "Hail"),
            (FAILURE, BUS, mine, ERROR + "Spawn.ChildExited"),
        )
        client.start_call("org.example.Works", "Hail")
        client.signal("Next")
        sees(watcher, (CALL, mine, "org.example.Works", "Hail"), (SIGNAL, mine, None, "Next"))
        other.own("org.example.Works")
        call = other.take(member="Hail")
        other.reply(call)
        sees(
            watcher,
            (CALL, other.unique, BUS, "RequestName"),
            (SIGNAL, BUS, None, "NameOwnerChanged"),
            (SIGNAL, BUS, other.unique, "NameAcquired"),
            (RETURN, BUS, other.unique, None),
            (RETURN, other.unique, mine, None),
        )

    def test_systemd(self, start_daemon: StartDaemon) -> None:
        """The request to systemd is seen once, before the message that caused it.

        It is seen when it is made, which may be long before systemd is connected.
        """
        text = config("unix:path={dir}/bus", extra="<servicedir>{dir}/services</servicedir>")
        daemon = start_daemon(text, "--systemd-activation")
        (daemon.directory / "services").mkdir()
        for number in (1, 2):
            file = daemon.directory / "services" / f"org.example.Unit{number}.service"
            file.write_text(
                f"[D-BUS Service]\nName=org.example.Unit{number}\nExec=/bin/false\n"
                f"SystemdService=unit{number}.service\n"
            )
        client, systemd = daemon.connect(), daemon.connect()
        client.driver("ReloadConfig")
        watcher = monitor(
            daemon, "interface='org.freedesktop.systemd1.Activator'", "member='Hail'", "type='error'"
        )
        mine, manager = client.unique, "org.freedesktop.systemd1"
        client.start_call("org.example.Unit1", "Hail")
        request = (SIGNAL, BUS, manager, "ActivationRequest")
        hail1, hail2 = ((CALL, mine, f"org.example.Unit{number}", "Hail") for number in (1, 2))
        assert sees(watcher, request, hail1)[0].body == ("unit1.service",)
        systemd.own(manager)
        systemd.take(member="ActivationRequest", body=("unit1.service",))
        client.start_call("org.example.Unit2", "Hail")
        assert sees(watcher, request, hail2)[0].body == ("unit2.service",)
        systemd.take(member="ActivationRequest", body=("unit2.service",))
        systemd.signal(
            "ActivationFailure",
            "sss",
            "unit1.service",
            "org.example.Error.No",
            "no",
            destination=BUS,
            path="/org/freedesktop/systemd1",
            interface=f"{manager}.Activator",
        )
        sees(
            watcher,
            (FAILURE, BUS, mine, "org.example.Error.No"),
            (SIGNAL, systemd.unique, BUS, "ActivationFailure"),
        )


class TestUnread:
    """A monitor that does not read affects no other client."""

    LIMITS: ClassVar = {"max_incoming_bytes": 2_000_000, "max_outgoing_bytes": 2_000_000}

    @pytest.mark.deviation("unread-monitor")
    def test_others_go_on(self, start_daemon: StartDaemon) -> None:
        daemon = start_daemon(config("unix:path={dir}/bus", limits=self.LIMITS))
        watcher = monitor(daemon)
        client, other = daemon.connect(), daemon.connect()
        for _ in range(100):
            client.signal("Long", "ay", bytes(100_000), destination=other.unique)
            other.expect(member="Long")
        # It has lost some messages; those that it gets are complete.
        seen = 0
        with contextlib.suppress(TimeoutError):
            while True:
                seen += watcher.receive(0.5).member == "Long"
        assert 10 < seen < 100
        client.signal("Next")
        watcher.take(member="Next")

    def test_end(self, bus: Daemon, client: Client, other: Client) -> None:
        """A monitor disconnects with much output queued."""
        watcher = monitor(bus)
        for _ in range(20):
            client.signal("Long", "ay", bytes(100_000), destination=other.unique)
            other.expect(member="Long")
        watcher.close()
        client.signal("Next", destination=other.unique)
        other.expect(member="Next")
        assert client.driver("GetId")
