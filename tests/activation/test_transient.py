"""--systemd-activation: systemd runs the programs of services without a unit, in transient units."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from omnibus.daemon.activation.systemd import ProgramEnd
from omnibus.daemon.activation.tools import CannotExecute, Program
from omnibus.daemon.activation.transient import request, unit_name, why_not_executed
from omnibus.daemon.peers import Peer
from omnibus.policy.settings import Limits
from omnibus.transport.relay import EventKind
from support.plane import FakeEvent
from support.wire import Variant, marshal, unmarshal

from .conftest import Commands, Desk

ERROR = "org.freedesktop.DBus.Error."
SYSTEMD = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
NAME = "org.example.Service"
OTHER = "org.example.Other"
UNIT = f"dbus-{NAME}@1000000000.service"  # the clock of tests is at 1000 s
TIMER = f"dbus-{NAME}@1000000000.timer"
SIGNATURE = "ssa(sv)a(sa(sv))"
COMMANDS = "a(sasbttttuii)"
EXITED, KILLED, DUMPED = 1, 2, 3

MakeDesk = Callable[..., Desk]


@pytest.fixture
def desk(make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr("omnibus.daemon.activation.systemd.is_systemd", lambda peer: peer is not None)
    desk = make_desk(systemd_activation=True)
    desk.service(NAME, "/bin/service 'two words' $HOME")
    return desk


@pytest.fixture
def systemd(desk: Desk) -> Peer:
    systemd = desk.attach(0)
    desk.own(systemd, SYSTEMD)
    desk.log.lines.clear()
    return systemd


def properties(command: tuple[Any, ...]) -> dict[str, Any]:
    """Check that it is a call that starts the unit, by a timer; return the unit's properties."""
    assert command[:7] == ("send", 1, SYSTEMD, PATH, SYSTEMD + ".Manager", "StartTransientUnit", SIGNATURE)
    timer, mode, pairs, [(unit, of_unit)] = unmarshal(SIGNATURE, command[7])
    assert (timer, mode, unit) == (TIMER, "fail", UNIT)
    assert {name: value.value for name, value in pairs}["Wants"] == [UNIT]
    return {name: value.value for name, value in of_unit}


def called(commands: Commands, member: str) -> list[tuple[Any, ...]]:
    """Return the arguments of the bus's calls of this member."""
    found = [one for one in commands if one[0] == "send" and one[5] == member]
    return [tuple(unmarshal(one[6], one[7])) for one in found]


def program(*argv: str, **environment: str) -> Program:
    return Program(NAME, argv or ("/bin/service",), environment)


def environment_of(**variables: str) -> Mapping[str, str]:
    """Return what systemd is told of these variables."""
    message = request(UNIT, program(**variables), system=False)
    ((_, pairs),) = unmarshal(SIGNATURE, message.body)[3]
    (found,) = (value.value for name, value in pairs if name == "Environment")
    return dict(one.split("=", 1) for one in found)


class TestRequest:
    """StartTransientUnit instead of a child of the bus."""

    def test_program(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """Its words as they are, also with a dollar sign, and the environment that a child would have."""
        start, _ = desk.park(peer, NAME)
        found = properties(start)
        argv = ["/bin/service", "two words", "$HOME"]
        assert [tuple(one) for one in found["ExecStartEx"]] == [("/bin/service", argv, ["no-env-expand"])]
        assert dict(one.split("=", 1) for one in found["Environment"]) == desk.environment.for_program()
        assert found["SyslogIdentifier"] == NAME
        assert desk.tools.children == []
        assert desk.log.lines == [
            f"Activating via systemd: service name='{NAME}' unit='{UNIT}'"
            f" requested by '{peer.unique_name}' (uid=1000 pid=42)"
        ]

    def test_unit(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """It may start early, ends before the machine does, and leaves no trace."""
        found = properties(desk.park(peer, NAME)[0])
        assert found["DefaultDependencies"] == 0
        assert found["Conflicts"] == found["Before"] == ["shutdown.target"]
        assert found["CollectMode"] == "inactive-or-failed"
        assert found["KillMode"] == "process"

    def test_users_bus(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """The user's systemd starts it as that user."""
        found = properties(desk.park(peer, NAME)[0])
        assert found["Slice"] == "app.slice"
        assert "User" not in found

    def test_system_bus(self, make_desk: MakeDesk, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
        """The launch helper is run, by the user of the bus, and the user of the file is its business."""
        monkeypatch.setattr(os, "geteuid", lambda: 81)
        monkeypatch.setattr(os, "getegid", lambda: 82)
        desk = make_desk(systemd_activation=True, servicehelper="/lib/helper")
        desk.service(NAME, User="alice")
        desk.own(desk.attach(0), SYSTEMD)
        found = properties(desk.park(desk.attach(), NAME)[0])
        assert found["ExecStartEx"][0][1] == ["/lib/helper", NAME]
        assert (found["User"], found["Group"], found["Slice"]) == ("81", "82", "system.slice")

    def test_no_user(self, make_desk: MakeDesk) -> None:
        """The helper would refuse it."""
        desk = make_desk(systemd_activation=True, servicehelper="/lib/helper")
        desk.service(NAME)
        desk.own(desk.attach(0), SYSTEMD)
        assert desk.park(desk.attach(), NAME)[0][2] == ERROR + "Spawn.FileInvalid"

    def test_changed_user(self, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a helper the program is run as the user of the bus, too, and never as root."""
        monkeypatch.setattr(os, "geteuid", lambda: 81)
        desk = make_desk(systemd_activation=True, user="messagebus")
        desk.service(NAME)
        desk.own(desk.attach(0), SYSTEMD)
        assert properties(desk.park(desk.attach(), NAME)[0])["User"] == "81"

    def test_systemd_comes_later(self, desk: Desk, peer: Peer) -> None:
        assert desk.park(peer, NAME) == []
        assert desk.tools.children == []
        assert desk.log.lines[-1].startswith("Activating systemd to hand-off: ")
        commands = desk.own(desk.attach(0), SYSTEMD)
        assert len(called(commands, "StartTransientUnit")) == len(called(commands, "Get")) == 1

    def test_limit(self, make_desk: MakeDesk) -> None:
        desk = make_desk(systemd_activation=True, limits=Limits(max_pending_service_starts=1))
        desk.service(NAME)
        assert desk.park(desk.attach(), NAME)[0][2] == ERROR + "LimitsExceeded"

    def test_start_that_is_over(self, desk: Desk, peer: Peer) -> None:
        """A start that has ended before systemd comes leaves no unit referenced."""
        desk.park(peer, NAME)
        desk.own(desk.attach(), NAME)
        commands = desk.own(desk.attach(0), SYSTEMD)
        assert called(commands, "StopUnit") == [(TIMER, "replace")]
        assert called(commands, "Get") == []

    def test_without_systemd_activation(self, make_desk: MakeDesk) -> None:
        desk = make_desk()
        desk.service(NAME)
        desk.own(desk.attach(0), SYSTEMD)
        assert desk.park(desk.attach(), NAME) == []
        assert desk.child.program.name == NAME


class TestPrograms:
    """What systemd can't run, or would run differently, is refused with the error of a child."""

    @pytest.mark.parametrize(
        ("exec", "error", "text"),
        [
            (
                "service --flag",
                "Spawn.ExecFailed",
                f"Failed to execute program {NAME}: No such file or directory",
            ),
            ("''", "Spawn.ExecFailed", f"Failed to execute program {NAME}: No such file or directory"),
            (
                "/bin/\ufffe",
                "Spawn.ExecFailed",
                f"Failed to execute program {NAME}: {os.strerror(errno.EILSEQ)}",
            ),
            ("/bin/'", "InvalidArgs", "Unclosed quotes in command line"),
        ],
    )
    def test_refused(self, desk: Desk, systemd: Peer, peer: Peer, exec: str, error: str, text: str) -> None:
        desk.service(NAME, exec)
        assert desk.park(peer, NAME) == [("reject", 1, ERROR + error, text)]

    @pytest.mark.parametrize("size, refused", [(2**17 - 1, False), (2**17, True)])
    def test_longest_word(self, size: int, refused: bool) -> None:
        """As for execve(2)."""
        self.check(program("/bin/x", "x" * size), refused)

    @pytest.mark.parametrize("size, refused", [(2**17 - 3, False), (2**17 - 2, True)])
    def test_longest_variable(self, size: int, refused: bool) -> None:
        self.check(program(A="ü" * (size // 2) + "x" * (size % 2)), refused)

    @pytest.mark.parametrize("count, refused", [(8, False), (9, True)])
    def test_largest_environment(self, count: int, refused: bool) -> None:
        self.check(program(**{f"A{n}": "x" * (2**16 - 3) for n in range(count)}), refused)

    def check(self, one: Program, refused: bool) -> None:
        if not refused:
            assert request(UNIT, one, system=False).body
            return
        with pytest.raises(CannotExecute) as caught:
            request(UNIT, one, system=False)
        assert caught.value.errno == errno.E2BIG

    def test_variables_that_systemd_refuses(self) -> None:
        """They would make it refuse the whole request; as for units they are left out."""
        odd = {"BASH_FUNC_x%%": "() {", "1A": "", "": "", "A-B": "", "Ü": ""}
        values = {"B": "\r", "C": "\x7f", "D": "\udcff", "E": "\U0010ffff", "F": "\ufdd0", "G": "\0"}
        good = {"A": "", "_": "a=b", "x1": "ü\t\n\ufffd$%\\\"'"}
        assert environment_of(**odd, **values, **good) == good


class TestUnitName:
    def test_unique_and_legible(self) -> None:
        assert unit_name(NAME, 12.345678) == f"dbus-{NAME}@12345678.service"

    def test_longest(self) -> None:
        """systemd allows 255 bytes, as many as a bus name has."""
        name = unit_name("a." + "b" * 253, 2**40)
        assert name.startswith("dbus-a.bbb")
        assert len(name) <= 255


class TestEnd:
    """The exit of the program is asked for when its unit has failed."""

    def ask(self, desk: Desk, systemd: Peer, commands: Commands, **values: Any) -> Commands:
        """Answer that there is no job, and then the state of the unit; return the following commands."""
        job = Variant("(uo)", (0, "/"))
        commands = self.answer(desk, systemd, commands, "v", job)
        state = {
            "ActiveState": Variant("s", "failed"),
            "Job": job,
            "InactiveExitTimestampMonotonic": Variant("t", 2_000_000_000),
            "ConditionResult": Variant("b", True),
            "ConditionTimestampMonotonic": Variant("t", 0),
            **values,
        }
        return self.answer(desk, systemd, commands, "a{sv}", state)

    def answer(self, desk: Desk, systemd: Peer, commands: Commands, signature: str, value: Any) -> Commands:
        (serial,) = (one[8] for one in commands if one[0] == "send" and one[8])
        return desk.tell(systemd, signature, value, type=2, path=None, reply_serial=serial)

    def end(self, desk: Desk, systemd: Peer, commands: Commands, code: int, status: int) -> Commands:
        """Answer all queries for a program that has ended."""
        commands = self.ask(desk, systemd, commands)
        assert called(commands, "Get") == [(SYSTEMD + ".Service", "ExecStart")]
        command = ("/bin/service", ["/bin/service"], False, 1, 1, 2, 2, 42, code, status)
        return self.answer(desk, systemd, commands, "v", Variant(COMMANDS, [command]))

    @pytest.mark.parametrize(
        ("code", "status", "error", "text"),
        [
            (EXITED, 3, "Spawn.ChildExited", f"Process {NAME} exited with status 3"),
            (KILLED, 9, "Spawn.ChildSignaled", f"Process {NAME} received signal 9"),
            (DUMPED, 11, "Spawn.ChildSignaled", f"Process {NAME} received signal 11"),
            (EXITED, 203, "Spawn.ExecFailed", f"Failed to execute program {NAME}: No such file or directory"),
            (0, 0, "Spawn.Failed", f"Unit {UNIT} failed"),
        ],
    )
    def test_error(
        self, desk: Desk, systemd: Peer, peer: Peer, code: int, status: int, error: str, text: str
    ) -> None:
        """That of a child, and systemd may forget the unit."""
        commands = self.end(desk, systemd, desk.park(peer, NAME), code, status)
        assert ("reject", 1, ERROR + error, text) in commands
        assert called(commands, "StopUnit") == [(TIMER, "replace")]
        assert desk.log.lines[-1].endswith(text)

    def test_helper(self, make_desk: MakeDesk, desk: Desk) -> None:
        """The exit codes of the launch helper have a meaning."""
        desk = make_desk(systemd_activation=True, servicehelper="/lib/helper")
        desk.service(NAME, User="alice")
        systemd = desk.attach(0)
        desk.own(systemd, SYSTEMD)
        commands = self.end(desk, systemd, desk.park(desk.attach(), NAME), EXITED, 9)
        assert ("reject", 1, ERROR + "Spawn.ExecFailed") in [one[:3] for one in commands]

    def test_other_names_of_the_program(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """All starts of the same command fail with it."""
        desk.service(OTHER, "/bin/service 'two words' $HOME")
        commands = desk.park(peer, NAME)
        desk.park(peer, OTHER)
        commands = self.end(desk, systemd, commands, EXITED, 3)
        assert [one[1] for one in commands if one[0] == "reject"] == [2, 1]

    def test_goes_into_the_background(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """The first process has ended well: what it has left behind may still own the name."""
        commands = self.ask(desk, systemd, desk.park(peer, NAME), ActiveState=Variant("s", "inactive"))
        assert commands == [("resume", systemd.id)]
        assert ("deliver", 1) in desk.own(desk.attach(), NAME)

    def test_runs(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """systemd may forget the unit with the end of the program, once it has the name."""
        commands = self.ask(desk, systemd, desk.park(peer, NAME), ActiveState=Variant("s", "active"))
        assert commands == [("resume", systemd.id)]
        commands = desk.own(desk.attach(), NAME)
        assert ("deliver", 1) in commands
        assert called(commands, "StopUnit") == [(TIMER, "replace")]

    def test_time_out(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """The program is killed."""
        timer = len(desk.tools.timers)
        desk.park(peer, NAME)
        desk.tools.pass_time(desk.tools.timers[timer])
        commands = desk.take()
        assert called(commands, "KillUnit") == [(UNIT, "main", 9)]
        assert called(commands, "StopUnit") == [(TIMER, "replace")]
        assert ("reject", 1, ERROR + "TimedOut") in [one[:3] for one in commands]

    def test_time_out_without_systemd(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        timer = len(desk.tools.timers)
        desk.park(peer, NAME)
        desk.happen(FakeEvent(EventKind.GONE, systemd.id))
        desk.tools.pass_time(desk.tools.timers[timer])
        assert [one[:3] for one in desk.take()] == [("reject", 1, ERROR + "TimedOut")]

    def test_unknown_exit(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """The reply is an error, as from a systemd that has forgotten the unit."""
        commands = self.ask(desk, systemd, desk.park(peer, NAME))
        (serial,) = (one[8] for one in commands if one[0] == "send")
        commands = desk.tell(systemd, "s", "no", type=3, error_name="an.Error", reply_serial=serial)
        assert ("reject", 1, ERROR + "Spawn.Failed", f"Unit {UNIT} failed") in commands


class TestProgramEnd:
    """The property ExecStart of a service."""

    @pytest.mark.parametrize(
        ("signature", "value"),
        [
            ("v", Variant("u", 0)),
            ("v", Variant(COMMANDS, [])),
            ("s", "no"),
            ("v", Variant("ay", bytes(2**18))),
        ],
    )
    def test_malformed(self, signature: str, value: Any) -> None:
        event: Any = FakeEvent(type=2, signature=signature, body=marshal(signature, (value,)))
        assert ProgramEnd.from_reply(event) is None


class TestWhyNotExecuted:
    """systemd doesn't report it, so the bus looks at the file."""

    @pytest.mark.parametrize(
        ("mode", "expected"), [(None, errno.ENOENT), (0o644, errno.EACCES), (0o755, errno.ENOEXEC)]
    )
    def test_file(self, tmp_path: Path, mode: int | None, expected: int) -> None:
        if mode is not None:
            (tmp_path / "program").touch(mode)
        assert why_not_executed(str(tmp_path / "program")).errno == expected

    def test_directory(self, tmp_path: Path) -> None:
        assert why_not_executed(str(tmp_path)).errno == errno.EACCES
