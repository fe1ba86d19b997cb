"""Specification, "Message Bus Starting Services (Activation)": the course of a start."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from omnibus.daemon.activation.tools import CannotExecute, CannotFork
from omnibus.daemon.logging import ACTIVATED, ACTIVATING, ACTIVATION_FAILED
from omnibus.daemon.peers import Peer
from omnibus.policy.settings import Limits, ServiceDir, Settings
from omnibus.transport.relay import BROADCAST, EventKind, Module, Texts
from support.plane import FakeEvent
from support.wire import unmarshal

from .conftest import Desk

BUS = "org.freedesktop.DBus"
ERROR = BUS + ".Error."
NAME = "org.example.Service"
OTHER = "org.example.Other"
STARTED = b"\1\0\0\0"
EXITED_3 = 3 << 8
CHANGED = ("signal", BROADCAST, "/org/freedesktop/DBus", BUS, "ActivatableServicesChanged", "", b"")

MakeDesk = Callable[..., Desk]


def start_call(desk: Desk, peer: Peer, name: str = NAME, **options: Any) -> list[tuple[Any, ...]]:
    return desk.call(peer, "StartServiceByName", "su", name, 0, **options)


class TestAutoStart:
    """By default, a method call to a name without owner starts the service."""

    def test_program(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME, "/bin/service 'two words'")
        assert desk.park(peer, NAME) == []
        program = desk.child.program
        assert (program.name, program.argv) == (NAME, ["/bin/service", "two words"])
        assert program.environment == {
            "PATH": "/bin",
            "DBUS_STARTER_ADDRESS": "an:address",
            "DBUS_STARTER_BUS_TYPE": "session",
            "DBUS_SESSION_BUS_ADDRESS": "an:address",
        }
        assert desk.log.lines == [f"Activating service name='{NAME}' requested by ':1.0' (uid=1000 pid=42)"]
        assert desk.log.fields[-1] == {"MESSAGE_ID": ACTIVATING, "DBUS_SERVICE": NAME}

    def test_delivered_in_order_when_the_name_appears(self, desk: Desk, peer: Peer) -> None:
        """NameAcquired comes before the parked messages, and the reply to RequestName after them."""
        desk.service(NAME)
        other = desk.attach()
        for sender in (peer, other, peer):
            assert desk.park(sender, NAME) == []
        service = desk.attach()
        assert desk.own(service, NAME) == [
            ("set_queue", NAME, (service.id,)),
            ("deliver", 1),
            ("deliver", 2),
            ("deliver", 3),
            ("reply", service.id, 99, "u", b"\1\0\0\0"),
            ("resume", service.id),
        ]
        assert desk.log.lines[1:] == [f"Successfully activated service '{NAME}'"]
        assert desk.log.fields[-1] == {"MESSAGE_ID": ACTIVATED, "DBUS_SERVICE": NAME}

    def test_one_start_for_all(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        desk.park(peer, NAME)
        desk.park(peer, NAME)
        start_call(desk, peer)
        assert len(desk.tools.children) == 1

    def test_file_that_appears_later(self, desk: Desk, peer: Peer) -> None:
        """No reload is needed; the change is announced to clients that list the names."""
        text = f"The name {NAME} was not provided by any .service files"
        assert desk.park(peer, NAME) == [("reject", 1, ERROR + "ServiceUnknown", text)]
        desk.service(NAME, known=False)
        assert desk.park(peer, NAME) == [CHANGED]
        assert desk.child.program.name == NAME

    def test_removed_file(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME).unlink()
        assert [command[0] for command in desk.park(peer, NAME)] == ["signal", "reject"]

    def test_no_auto_start(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        text = f'Name "{NAME}" does not exist'
        assert desk.park(peer, NAME, flags=2) == [("reject", 1, ERROR + "NameHasNoOwner", text)]
        assert desk.tools.children == []

    def test_unique_name(self, desk: Desk, peer: Peer) -> None:
        text = "The name :1.77 was not provided by any .service files"
        assert desk.park(peer, ":1.77") == [("reject", 1, ERROR + "ServiceUnknown", text)]

    def test_again_after_the_service_has_exited(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        desk.park(peer, NAME)
        service = desk.attach()
        desk.own(service, NAME)
        desk.happen(FakeEvent(EventKind.GONE, service.id))
        desk.park(peer, NAME)
        assert len(desk.tools.children) == 2

    def test_name_that_appears_while_the_directories_are_read(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        assert desk.park(peer, NAME, read=False) == []
        commands = desk.call(desk.attach(), "RequestName", "su", NAME, 0, read=False)
        assert ("deliver", 1) in commands
        desk.tools.read()
        assert (desk.tools.children, desk.take()) == ([], [])

    def test_requests_share_a_reading(self, desk: Desk, peer: Peer) -> None:
        """A question does not share a reading that began before it."""
        for number in range(5):
            desk.park(peer, f"{NAME}{number}", read=False)
        assert len(desk.tools.waiting) == 1
        desk.tools.waiting.pop()()
        assert [command[1] for command in desk.take()] == [1]
        assert len(desk.tools.waiting) == 1
        desk.tools.waiting.pop()()
        assert [command[1] for command in desk.take()] == [2, 3, 4, 5]
        assert desk.tools.waiting == []


class TestStartServiceByName:
    def test_started(self, desk: Desk, peer: Peer) -> None:
        """The caller's later messages are read once the service is found; its reply precedes parked ones."""
        desk.service(NAME)
        assert start_call(desk, peer, serial=7, read=False) == []
        desk.tools.read()
        assert desk.take() == [("resume", peer.id)]
        desk.park(peer, NAME)
        start_call(desk, peer, serial=8)
        commands = desk.own(desk.attach(), NAME)
        assert commands[1:4] == [
            ("reply", peer.id, 7, "u", STARTED),
            ("reply", peer.id, 8, "u", STARTED),
            ("deliver", 1),
        ]

    def test_second_call_does_not_wait(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        start_call(desk, peer)
        assert start_call(desk, peer, serial=8, read=False) == [("resume", peer.id)]

    def test_already_running(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        desk.own(desk.attach(), NAME)
        assert start_call(desk, peer) == [
            ("reply", peer.id, 1, "u", b"\2\0\0\0"),
            ("resume", peer.id),
        ]

    def test_policy_is_not_evaluated(self, make_desk: MakeDesk) -> None:
        """The call itself is allowed: no message is sent to the service."""
        desk = make_desk(rules=[])
        desk.service(NAME)
        start_call(desk, desk.attach())
        assert desk.child.program.name == NAME


class TestListActivatableNames:
    def names(self, desk: Desk, peer: Peer) -> list[str]:
        *_, reply, resume = desk.call(peer, "ListActivatableNames")
        assert resume == ("resume", peer.id)
        (names,) = unmarshal("as", reply[4])
        return list(names)

    def test_the_bus_and_all_services(self, desk: Desk, peer: Peer) -> None:
        assert self.names(desk, peer) == [BUS]
        desk.service(NAME)
        desk.service(OTHER, filename="x.service")
        assert sorted(self.names(desk, peer)) == sorted([BUS, NAME, OTHER])


class TestActivatableServicesChanged:
    def test_only_if_the_names_are_others(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME, known=False)
        assert CHANGED in desk.call(peer, "ListActivatableNames")
        desk.service(NAME, "/bin/changed", known=False)
        assert CHANGED not in desk.call(peer, "ListActivatableNames")

    def test_once_on_reload(self, desk: Desk, peer: Peer) -> None:
        """Although the directories are read after it."""
        desk.service(NAME, known=False)
        desk.bus.reloaded(desk.settings)
        desk.tools.read()
        assert desk.take().count(CHANGED) == 1


class TestReload:
    def test_other_directories(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        desk.bus.reloaded(Settings(policy=desk.settings.policy))
        assert ERROR + "ServiceUnknown" in desk.park(peer, NAME)[-1]

    def test_while_the_directories_are_read(self, desk: Desk, peer: Peer) -> None:
        """The result comes from the new directories, and pending starts continue."""
        desk.service(NAME)
        new = desk.directory / "new"
        new.mkdir()
        (new / "x.service").write_text(f"[D-BUS Service]\nName={OTHER}\nExec=/bin/new\n")
        desk.park(peer, OTHER, read=False)
        desk.bus.reloaded(Settings(policy=desk.settings.policy, service_dirs=(ServiceDir(str(new)),)))
        desk.tools.read()
        assert desk.child.program.argv == ["/bin/new"]


class TestFailures:
    """Every failure is reported at once to all waiting clients."""

    def fails(self, desk: Desk, peer: Peer) -> tuple[str, str]:
        """Start by a message and by a call; return both errors."""
        desk.park(peer, NAME, read=False)
        commands = start_call(desk, peer, serial=7, read=False)
        desk.tools.read()
        return self.told(desk, peer, commands + desk.take())

    def told(self, desk: Desk, peer: Peer, commands: list[tuple[Any, ...]]) -> tuple[str, str]:
        (rejected,) = [command for command in commands if command[0] == "reject"]
        (answered,) = [command for command in commands if command[0] == "error"]
        assert rejected[1] == 1
        assert answered[1:3] == (peer.id, 7)
        assert rejected[2:] == answered[3:]
        assert commands.count(("resume", peer.id)) == 1
        assert all(timer.cancelled for timer in desk.tools.timers)
        return rejected[2].removeprefix(ERROR), rejected[3]

    def started(self, desk: Desk, peer: Peer) -> list[tuple[Any, ...]]:
        desk.service(NAME)
        desk.park(peer, NAME)
        return start_call(desk, peer, serial=7)

    def test_unknown(self, desk: Desk, peer: Peer) -> None:
        text = f"The name {NAME} was not provided by any .service files"
        assert self.fails(desk, peer) == ("ServiceUnknown", text)

    def test_command_line(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME, "/bin/x '")
        assert self.fails(desk, peer) == ("InvalidArgs", "Unclosed quotes in command line")

    def test_no_such_program(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        desk.tools.error = CannotExecute(errno.ENOENT, os.strerror(errno.ENOENT))
        text = f"Failed to execute program {NAME}: No such file or directory"
        assert self.fails(desk, peer) == ("Spawn.ExecFailed", text)
        assert desk.log.lines[1:] == [f"Activated service '{NAME}' failed: {text}"]
        assert desk.log.fields[-1] == {"MESSAGE_ID": ACTIVATION_FAILED, "DBUS_SERVICE": NAME}

    def test_fork_fails(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        desk.tools.error = CannotFork(errno.EAGAIN, os.strerror(errno.EAGAIN))
        text = "Failed to fork (Resource temporarily unavailable)"
        assert self.fails(desk, peer) == ("Spawn.ForkFailed", text)
        assert desk.log.lines[1:] == [f"Failed to activate service {NAME}: {text}"]
        assert desk.log.fields[-1] == {"MESSAGE_ID": ACTIVATION_FAILED, "DBUS_SERVICE": NAME}

    def test_exit(self, desk: Desk, peer: Peer) -> None:
        commands = self.started(desk, peer)
        desk.child.ended(EXITED_3)
        text = f"Process {NAME} exited with status 3"
        assert self.told(desk, peer, commands + desk.take()) == ("Spawn.ChildExited", text)
        assert desk.log.lines[1:] == [f"Activated service '{NAME}' failed: {text}"]

    def test_signal(self, desk: Desk, peer: Peer) -> None:
        commands = self.started(desk, peer)
        desk.child.ended(11)
        text = f"Process {NAME} received signal 11"
        assert self.told(desk, peer, commands + desk.take()) == ("Spawn.ChildSignaled", text)

    def test_success_without_a_name(self, desk: Desk, peer: Peer) -> None:
        """The program may have forked into the background: its name may still appear."""
        self.started(desk, peer)
        desk.child.ended(0)
        assert desk.take() == []
        assert ("deliver", 1) in desk.own(desk.attach(), NAME)

    def test_time_out(self, desk: Desk, peer: Peer) -> None:
        commands = self.started(desk, peer)
        (timer,) = desk.tools.timers
        assert timer.seconds == 25
        desk.tools.pass_time(timer)
        text = f"Failed to activate service '{NAME}': timed out (service_start_timeout=25000ms)"
        assert self.told(desk, peer, commands + desk.take()) == ("TimedOut", text)
        assert desk.child.killed
        assert desk.log.lines[1:] == [text]

    def test_time_out_of_directories_that_do_not_answer(self, desk: Desk, peer: Peer) -> None:
        """The time includes reading the directories, which may hang on a network file system."""
        desk.park(peer, NAME, read=False)
        desk.tools.pass_time()
        assert desk.take()[0][2] == ERROR + "TimedOut"
        desk.service(NAME)
        desk.tools.read()
        assert desk.tools.children == []

    def test_end_after_the_name_has_come(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        desk.park(peer, NAME)
        desk.own(desk.attach(), NAME)
        desk.child.ended(EXITED_3)
        assert desk.take() == []

    def test_end_of_an_earlier_start(self, desk: Desk, peer: Peer) -> None:
        """The end of a program after its time-out must not fail the next start."""
        desk.service(NAME)
        desk.park(peer, NAME)
        desk.tools.pass_time()
        desk.park(peer, NAME)
        desk.take()
        desk.tools.children[0].ended(9)
        assert desk.take() == []
        assert ("deliver", 2) in desk.own(desk.attach(), NAME)

    def test_all_messages_that_wait_for_the_same_program(self, desk: Desk, peer: Peer) -> None:
        for name, command in ((NAME, "/bin/a"), (OTHER, "/bin/a"), ("org.example.Third", "/bin/b")):
            desk.service(name, command)
            desk.park(peer, name)
        desk.tools.children[1].ended(EXITED_3)
        text = f"Process {OTHER} exited with status 3"
        assert desk.take() == [
            ("reject", 1, ERROR + "Spawn.ChildExited", text),
            ("reject", 2, ERROR + "Spawn.ChildExited", text),
        ]


class TestLimits:
    """max_pending_service_starts counts waiting messages, not starts."""

    TEXT = (
        "The maximum number of pending activations has been reached, activation of {} failed"
        " (max_pending_service_starts=2)"
    )

    @pytest.fixture
    def desk(self, make_desk: MakeDesk) -> Desk:
        desk = make_desk(limits=Limits(max_pending_service_starts=2))
        desk.service(NAME)
        desk.service(OTHER, "/bin/other")
        return desk

    def test_same_name(self, desk: Desk, peer: Peer) -> None:
        desk.park(peer, NAME)
        desk.park(peer, NAME)
        assert desk.park(peer, NAME) == [("reject", 3, ERROR + "LimitsExceeded", self.TEXT.format(NAME))]

    def test_other_name(self, desk: Desk, peer: Peer) -> None:
        desk.park(peer, NAME)
        desk.park(peer, NAME)
        expected = ("error", peer.id, 1, ERROR + "LimitsExceeded", self.TEXT.format(OTHER))
        assert start_call(desk, peer, OTHER) == [expected, ("resume", peer.id)]
        assert len(desk.tools.children) == 1

    def test_running_service(self, desk: Desk, peer: Peer) -> None:
        """The reference counts before it looks for a service."""
        desk.own(desk.attach(), OTHER)
        desk.park(peer, NAME)
        desk.park(peer, NAME)
        assert start_call(desk, peer, OTHER)[0][3] == ERROR + "LimitsExceeded"

    def test_at_once(self, desk: Desk, peer: Peer) -> None:
        """Messages that came while the directories were read are counted when that is done."""
        for _ in range(4):
            desk.park(peer, NAME, read=False)
        desk.tools.read()
        refused = [command[1] for command in desk.take() if command[0] == "reject"]
        assert refused == [3, 4]

    def test_unknown_names_do_not_count(self, desk: Desk, peer: Peer) -> None:
        for number in range(4):
            desk.park(peer, f"a.b{number}", read=False)
        desk.tools.read()
        assert {command[2] for command in desk.take() if command[0] == "reject"} == {ERROR + "ServiceUnknown"}

    @pytest.mark.parametrize("end", ["appears", "fails", "leaves"])
    def test_end_makes_room(self, desk: Desk, peer: Peer, end: str) -> None:
        desk.park(peer, NAME)
        desk.park(peer, NAME)
        if end == "appears":
            desk.own(desk.attach(), NAME)
        elif end == "fails":
            desk.child.ended(EXITED_3)
            desk.take()
        else:
            desk.happen(FakeEvent(EventKind.GONE, peer.id))
        other = desk.attach()
        assert desk.park(other, OTHER) == desk.park(other, OTHER) == []
        assert desk.park(other, OTHER)[0][2] == ERROR + "LimitsExceeded"


class TestPolicy:
    """The data plane judges each message, and again when the service was found and is not to be started."""

    def test_denied(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        assert desk.park(peer, NAME, denied=True) == [("deliver", 1)]
        assert not desk.tools.children

    def test_unknown_service_first(self, desk: Desk, peer: Peer) -> None:
        """A sender without permission learns only that there is no such service."""
        assert desk.park(peer, NAME, denied=True)[0][2] == ERROR + "ServiceUnknown"

    def test_each_sender_for_itself(self, desk: Desk) -> None:
        desk.service(NAME)
        allowed, forbidden = desk.attach(1000), desk.attach(1001)
        desk.park(forbidden, NAME, read=False, denied=True)
        desk.park(allowed, NAME, read=False)
        desk.tools.read()
        assert desk.take() == [("deliver", 1)]
        assert desk.park(forbidden, NAME, denied=True) == [("deliver", 3)]
        assert "requested by ':1.0'" in desk.log.lines[0]

    def test_label_yet_unknown(self, desk: Desk, peer: Peer) -> None:
        """AppArmor is asked about the label of a service file that the data plane has not known."""
        desk.plane.mediated = Module.AppArmor
        desk.service(NAME)
        assert desk.park(peer, NAME) == [("deliver", 1)]
        assert not desk.tools.children
        desk.park(peer, NAME, again=True)
        assert len(desk.tools.children) == 1

    def test_label_known(self, desk: Desk, peer: Peer) -> None:
        desk.plane.mediated = Module.AppArmor
        desk.service(NAME)
        desk.tools.read()
        desk.park(peer, NAME, current=True)
        assert len(desk.tools.children) == 1

    def test_labels_precede_the_catalogue(self, desk: Desk, peer: Peer) -> None:
        """A message that is judged by a current catalogue is judged by its labels."""
        desk.plane.mediated = Module.AppArmor
        known: list[bool] = []
        desk.service(NAME)
        set_catalog = desk.plane.set_catalog

        def note(names: bytes, follower: Any) -> None:
            known.append(Texts.LABELS in desk.plane.texts)
            set_catalog(names, follower)

        desk.plane.set_catalog = note  # type: ignore[method-assign]
        desk.park(peer, NAME)
        assert all(known)
        assert known


class TestDisconnect:
    def test_messages_of_a_disconnected_sender(self, desk: Desk, peer: Peer) -> None:
        """Their memory is released; the start continues for other clients."""
        desk.service(NAME)
        other = desk.attach()
        desk.park(peer, NAME)
        desk.park(other, NAME)
        start_call(desk, peer)
        commands = desk.happen(FakeEvent(EventKind.GONE, peer.id))
        assert [command[:2] for command in commands if command[0] == "reject"] == [("reject", 1)]
        assert [one[1] for one in desk.own(desk.attach(), NAME) if one[0] == "deliver"] == [2]

    def test_all_senders_disconnected(self, desk: Desk, peer: Peer) -> None:
        """The start continues, and later callers wait for it."""
        desk.service(NAME)
        desk.park(peer, NAME)
        desk.happen(FakeEvent(EventKind.GONE, peer.id))
        other = desk.attach()
        assert desk.park(other, NAME) == []
        assert len(desk.tools.children) == 1
        assert ("deliver", 2) in desk.own(desk.attach(), NAME)

    def test_while_the_directories_are_read(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        desk.park(peer, NAME, read=False)
        commands = desk.happen(FakeEvent(EventKind.GONE, peer.id), read=False)
        assert ("reject", 1) in [command[:2] for command in commands]
        desk.tools.read()
        assert desk.tools.children == []
        assert all(timer.cancelled for timer in desk.tools.timers)


class TestHelper:
    """On a system bus a helper starts the services as their users."""

    @pytest.fixture
    def desk(self, make_desk: MakeDesk) -> Desk:
        return make_desk(servicehelper="/lib/helper --x")

    def test_program(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME, "/bin/x", User="root")
        desk.park(peer, NAME)
        assert desk.child.program.argv == ["/lib/helper", "--x", NAME]
        assert desk.log.lines[-1].endswith(" (uid=1000 pid=42) (using servicehelper)")

    def test_no_user(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        assert desk.park(peer, NAME)[-1][2:] == (
            ERROR + "Spawn.FileInvalid",
            "Cannot do system-bus activation with no user\n",
        )

    @pytest.mark.parametrize(
        ("code", "name", "text"),
        [
            (1, "Spawn.ChildExited", "Launch helper exited with unknown return code 1"),
            (2, "NoMemory", "Launcher could not run (out of memory)"),
            (3, "Spawn.ConfigInvalid", "Invalid configuration (missing or empty <user>?)"),
            (4, "Spawn.FailedToSetup", "Failed to setup environment correctly"),
            (5, "Spawn.ServiceNotValid", "Bus name is not valid or missing"),
            (6, "Spawn.ServiceNotFound", "Bus name not found in system service directory"),
            (7, "Spawn.PermissionsInvalid", "The permission of the setuid helper is not correct"),
            (
                8,
                "Spawn.PermissionsInvalid",
                "The service file is incorrect or does not have all required attributes",
            ),
            (9, "Spawn.ExecFailed", "Cannot launch daemon, file not found or permissions invalid"),
            (10, "InvalidArgs", "Invalid arguments to command line"),
            (11, "Spawn.ChildSignaled", "Launched child was signaled, it probably crashed"),
            (77, "Spawn.ChildExited", "Launch helper exited with unknown return code 77"),
        ],
    )
    def test_exit_codes(self, desk: Desk, peer: Peer, code: int, name: str, text: str) -> None:
        desk.service(NAME, User="root")
        desk.park(peer, NAME)
        desk.child.ended(code << 8)
        assert desk.take() == [("reject", 1, ERROR + name, text)]

    def test_signal(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME, User="root")
        desk.park(peer, NAME)
        desk.child.ended(6)
        assert desk.take()[0][3] == f"Process {NAME} received signal 6"


class TestEnvironment:
    """UpdateActivationEnvironment."""

    def test_for_programs_from_now_on(self, desk: Desk, peer: Peer) -> None:
        root = desk.attach(0)
        assert (
            desk.call(root, "UpdateActivationEnvironment", "a{ss}", {"A": "1", "PATH": "/x"})[0][0] == "reply"
        )
        desk.service(NAME)
        desk.park(peer, NAME)
        environment = desk.child.program.environment
        assert (environment["A"], environment["PATH"]) == ("1", "/x")

    def test_bus_address_is_kept(self, desk: Desk, peer: Peer) -> None:
        root = desk.attach(0)
        desk.call(root, "UpdateActivationEnvironment", "a{ss}", {"DBUS_SESSION_BUS_ADDRESS": "elsewhere"})
        desk.service(NAME)
        desk.park(peer, NAME)
        assert desk.child.program.environment["DBUS_SESSION_BUS_ADDRESS"] == "an:address"
