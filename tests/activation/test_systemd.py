"""--systemd-activation: systemd starts the units named in service files."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnibus.daemon.activation.systemd import UnitState, is_systemd, unit_path
from omnibus.daemon.activation.units import verdict
from omnibus.daemon.peers import Peer
from omnibus.policy.settings import Limits
from omnibus.transport.relay import EventKind
from support.plane import FakeEvent
from support.wire import Variant, marshal, unmarshal

from .conftest import Commands, Desk

BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
ERROR = BUS + ".Error."
SYSTEMD = "org.freedesktop.systemd1"
ACTIVATOR = SYSTEMD + ".Activator"
NAME = "org.example.Service"
OTHER = "org.example.Other"
UNIT = "dbus-org.example.Service.service"
UNIT_PATH = "/org/freedesktop/systemd1/unit/dbus_2dorg_2eexample_2eService_2eservice"

MakeDesk = Callable[..., Desk]


def string(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode() + b"\0"


REQUEST = ("send", 4, SYSTEMD, BUS_PATH, ACTIVATOR, "ActivationRequest", "s", string(UNIT), 0)


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    desk = make_desk(systemd_activation=True)
    desk.service(NAME, SystemdService=UNIT)
    return desk


@pytest.fixture
def systemd(desk: Desk) -> Peer:
    """A client that owns systemd's name without being systemd; it is not asked for units."""
    systemd = desk.attach(0, pid=os.getpid())
    desk.own(systemd, SYSTEMD)
    desk.log.lines.clear()
    return systemd


class TestRequest:
    def test_signal(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        assert desk.park(peer, NAME) == [REQUEST]
        assert desk.tools.children == []
        assert desk.log.lines == [
            f"Activating via systemd: service name='{NAME}' unit='{UNIT}'"
            f" requested by '{peer.unique_name}' (uid=1000 pid=42)"
        ]

    def test_once_for_all(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        desk.park(peer, NAME)
        assert desk.park(peer, NAME) == []

    def test_name_appears(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        desk.park(peer, NAME)
        assert ("deliver", 1) in desk.own(desk.attach(), NAME)

    def test_without_systemd_activation(self, make_desk: MakeDesk) -> None:
        desk = make_desk()
        desk.service(NAME, SystemdService=UNIT)
        desk.own(desk.attach(0), SYSTEMD)
        assert desk.park(desk.attach(), NAME) == []
        assert desk.child.program.name == NAME

    def test_policy_first(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        desk.service(NAME, SystemdService=UNIT)
        assert desk.park(peer, NAME, denied=True) == [("deliver", 1)]

    def test_time_out(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        desk.park(peer, NAME)
        desk.tools.pass_time()
        assert desk.take()[0][2] == ERROR + "TimedOut"


class TestHandOff:
    """systemd may connect late: messages to it are parked until its name appears."""

    def test_waits(self, desk: Desk, peer: Peer) -> None:
        assert desk.park(peer, NAME) == []
        assert desk.log.lines == [
            f"Activating systemd to hand-off: service name='{NAME}' unit='{UNIT}'"
            f" requested by '{peer.unique_name}' (uid=1000 pid=42)"
        ]
        commands = desk.own(desk.attach(0, pid=None), SYSTEMD)
        assert commands[0][0] == "set_queue"
        assert commands[1] == REQUEST
        assert commands[2][0] == "reply"

    def test_message_for_systemd_itself(self, desk: Desk, peer: Peer) -> None:
        """It needs no service file, and nothing is started."""
        assert desk.park(peer, SYSTEMD) == []
        assert ("deliver", 1) in desk.own(desk.attach(0), SYSTEMD)
        assert desk.tools.children == []

    def test_start_systemd_by_name(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        commands = desk.call(peer, "StartServiceByName", "su", SYSTEMD, 0)
        assert commands == [("reply", peer.id, 1, "u", b"\2\0\0\0"), ("resume", peer.id)]

    def test_systemd_never_connects(self, desk: Desk, peer: Peer) -> None:
        """The message has its own time-out, as long as that of systemd."""
        desk.park(peer, NAME)
        first, second = desk.tools.timers
        desk.tools.pass_time(first)
        assert desk.take()[0][:3] == ("reject", 1, ERROR + "TimedOut")
        desk.tools.pass_time(second)
        assert desk.take() == []
        assert REQUEST not in desk.own(desk.attach(0), SYSTEMD)

    def test_limit(self, make_desk: MakeDesk) -> None:
        desk = make_desk(systemd_activation=True, limits=Limits(max_pending_service_starts=1))
        desk.service(NAME, SystemdService=UNIT)
        (rejected,) = desk.park(desk.attach(), NAME)
        assert rejected[2] == ERROR + "LimitsExceeded"
        assert rejected[3].startswith(
            "The maximum number of pending activations has been reached, activation"
        )
        assert desk.log.lines[-1] == f"Failed to activate via systemd: service name='{NAME}' unit='{UNIT}'"


class TestActivationFailure:
    """Only systemd may report a failed start."""

    def tell(
        self, desk: Desk, sender: Peer, unit: str = UNIT, error: str = "a.Failure", text: str = "no"
    ) -> Commands:
        return desk.tell(
            sender, "sss", unit, error, text, interface=ACTIVATOR, member="ActivationFailure", serial=5
        )

    def test_all_with_this_unit(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        desk.service(OTHER, SystemdService="other.service")
        desk.service("org.example.Same", SystemdService=UNIT)
        for name in (NAME, OTHER, "org.example.Same"):
            desk.park(peer, name)
        desk.log.lines.clear()
        assert self.tell(desk, systemd) == [
            ("reject", 1, "a.Failure", "no"),
            ("reject", 3, "a.Failure", "no"),
            ("resume", systemd.id),
        ]
        assert desk.log.lines == [f"Activation via systemd failed for unit '{UNIT}': no"]

    def test_by_another_client(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        desk.park(peer, NAME)
        desk.log.lines.clear()
        root = desk.attach(0)
        assert self.tell(desk, root) == [("resume", root.id)]
        assert desk.log.lines == [
            f"Ignoring forged ActivationFailure message from connection {root.unique_name} (uid=0 pid=42)"
        ]

    def test_without_systemd_activation(self, make_desk: MakeDesk) -> None:
        desk = make_desk()
        root = desk.attach(0)
        desk.own(root, SYSTEMD)
        assert self.tell(desk, root) == [("resume", root.id)]
        assert desk.log.lines == [
            "Ignoring unexpected ActivationFailure message while not using systemd activation"
        ]

    def test_invalid_error_name(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        desk.park(peer, NAME)
        assert self.tell(desk, systemd, error="no name")[0][2:] == (ERROR + "Spawn.Failed", "no")

    def test_wrong_arguments(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        desk.park(peer, NAME)
        commands = desk.tell(systemd, "s", UNIT, interface=ACTIVATOR, member="ActivationFailure")
        assert commands == [("resume", systemd.id)]

    def test_other_signals(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        desk.park(peer, NAME)
        for interface, member in ((ACTIVATOR, "Other"), ("a.b", "ActivationFailure"), (None, None)):
            commands = desk.tell(systemd, "sss", UNIT, "a.b", "c", interface=interface, member=member)
            assert commands == [("resume", systemd.id)]


class TestSetEnvironment:
    """Variables for services are set for units too."""

    def update(self, desk: Desk, root: Peer, **variables: str) -> Commands:
        return desk.call(root, "UpdateActivationEnvironment", "a{ss}", variables)

    def check(self, command: tuple[Any, ...], destination: str, *assignments: str) -> None:
        assert command[:7] == (
            "send",
            1,
            destination,
            "/org/freedesktop/systemd1",
            SYSTEMD + ".Manager",
            "SetEnvironment",
            "as",
        )
        assert unmarshal("as", command[7]) == (list(assignments),)
        assert command[8] == 0

    def test_forwarded(self, desk: Desk, systemd: Peer) -> None:
        told, reply, resume = self.update(desk, systemd, A="1", B="x=y")
        self.check(told, systemd.unique_name, "A=1", "B=x=y")
        assert (reply[0], resume[0]) == ("reply", "resume")

    def test_waits_for_systemd(self, desk: Desk) -> None:
        """By its well-known name, because the unique name is not known yet."""
        root = desk.attach(0)
        assert [command[0] for command in self.update(desk, root, A="1")] == ["reply", "resume"]
        self.check(desk.own(desk.attach(0), SYSTEMD)[1], SYSTEMD, "A=1")

    def test_limit(self, make_desk: MakeDesk) -> None:
        """If systemd can't be told, programs don't get the variables either."""
        desk = make_desk(systemd_activation=True, limits=Limits(max_pending_service_starts=0))
        error, _ = self.update(desk, desk.attach(0), A="1")
        assert error[3] == ERROR + "LimitsExceeded"
        assert "A" not in desk.environment.for_program()


class TestIsSystemd:
    """Other programs may own its name, as in tests; they manage no units."""

    def peer(self, desk: Desk, pid: int | None) -> Peer:
        return desk.attach(0, pid=pid)

    def test_by_the_name_of_the_process(self, desk: Desk, tmp_path: Path) -> None:
        for pid, comm in ((7, "systemd\n"), (8, "systemd-logind\n"), (9, "")):
            (tmp_path / str(pid)).mkdir()
            (tmp_path / str(pid) / "comm").write_text(comm)
        found = [is_systemd(self.peer(desk, pid), str(tmp_path)) for pid in (7, 8, 9, 10, None)]
        assert found == [True, False, False, False, False]
        assert not is_systemd(None)


class TestUnitPath:
    @pytest.mark.parametrize(
        ("unit", "path"),
        [
            ("a.service", "a_2eservice"),
            ("1a-b_c@x.service", "_31a_2db_5fc_40x_2eservice"),
            ("ü", "_c3_bc"),
            ("", "_"),
        ],
    )
    def test_escaped(self, unit: str, path: str) -> None:
        assert unit_path(unit) == "/org/freedesktop/systemd1/unit/" + path


def state(
    active: str = "inactive",
    *,
    job: bool = False,
    left: int = 0,
    met: bool = True,
    checked: int = 0,
) -> UnitState:
    return UnitState(active, job, left, met, checked)


class TestVerdict:
    """The state of a unit that was requested at time 100."""

    @pytest.mark.parametrize(
        "found",
        [
            state("inactive", job=True),
            state("failed", job=True, left=50),
            state("activating", left=150),
            state("active", left=50),
            state("active", left=150),
            state("reloading", left=150),
            state("deactivating", left=150),
            state("inactive", left=150),
            state("inactive", left=150, met=False, checked=60),
        ],
    )
    def test_may_still_come(self, found: UnitState) -> None:
        """A unit that has ended successfully may have left a process in the background."""
        assert verdict("u", found, 100) is None

    @pytest.mark.parametrize(
        ("found", "text"),
        [
            (state("failed", left=150), "Unit u failed"),
            (state("failed", left=50), "Unit u failed"),
            (state(met=False, checked=150), "Unit u was not started: a condition is not met"),
            (state(left=50, met=False, checked=150), "Unit u was not started: a condition is not met"),
            (state(met=False, checked=50), "Unit u was not started"),
            (state(), "Unit u was not started"),
        ],
    )
    def test_will_not_come(self, found: UnitState, text: str) -> None:
        error = verdict("u", found, 100)
        assert error is not None
        assert (error.name, error.text) == (ERROR + "Spawn.Failed", text)


class TestUnits:
    """The bus queries the unit states that systemd doesn't report."""

    @pytest.fixture
    def systemd(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Peer:
        monkeypatch.setattr("omnibus.daemon.activation.systemd.is_systemd", lambda peer: peer is not None)
        systemd = desk.attach(0)
        desk.own(systemd, SYSTEMD)
        desk.log.lines.clear()
        return systemd

    def question(self, command: tuple[Any, ...], path: str = UNIT_PATH, *, job: bool = True) -> int:
        """Check that the bus queries the unit for its job, or for everything; return the serial."""
        interface = SYSTEMD + ".Unit"
        query = (
            ("Get", "ss", marshal("ss", (interface, "Job"))) if job else ("GetAll", "s", string(interface))
        )
        assert command[:8] == ("send", 1, SYSTEMD, path, BUS + ".Properties", *query)
        assert command[8] >= 0x80000000
        return int(command[8])

    def answer_job(self, desk: Desk, systemd: Peer, serial: int, number: int) -> Commands:
        job = Variant("(uo)", (number, f"/org/freedesktop/systemd1/job/{number}" if number else "/"))
        return desk.tell(systemd, "v", job, type=2, path=None, reply_serial=serial)

    def answer(self, desk: Desk, systemd: Peer, serial: int, **values: Any) -> Commands:
        """Answer that there is no job, and then the query for everything."""
        question, resume = self.answer_job(desk, systemd, serial, 0)
        assert resume == ("resume", systemd.id)
        properties = {
            "ActiveState": Variant("s", "activating"),
            "Job": Variant("(uo)", (0, "/")),
            "InactiveExitTimestampMonotonic": Variant("t", 0),
            "ConditionResult": Variant("b", True),
            "ConditionTimestampMonotonic": Variant("t", 0),
            "Other": Variant("as", ["x"]),
            **values,
        }
        serial = self.question(question, job=False)
        return desk.tell(systemd, "a{sv}", properties, type=2, path=None, reply_serial=serial)

    def test_queried_after_the_request(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        request, question = desk.park(peer, NAME)
        assert request == REQUEST
        self.question(question)

    def test_failed(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        serial = self.question(desk.park(peer, NAME)[1])
        desk.log.lines.clear()
        assert self.answer(desk, systemd, serial, ActiveState=Variant("s", "failed")) == [
            ("reject", 1, ERROR + "Spawn.Failed", f"Unit {UNIT} failed"),
            ("resume", systemd.id),
        ]
        assert desk.log.lines == [f"Activation via systemd failed for unit '{UNIT}': Unit {UNIT} failed"]

    def test_queried_until_the_outcome_is_known(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """The intervals grow."""
        serial = self.question(desk.park(peer, NAME)[1])
        pauses = []
        for _ in range(7):
            assert self.answer(desk, systemd, serial) == [("resume", systemd.id)]
            pauses.append(desk.tools.timers[-1].seconds)
            desk.tools.pass_time()
            (question,) = desk.take()
            serial = self.question(question)
        assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1, 1]
        condition = {
            "ActiveState": Variant("s", "inactive"),
            "ConditionResult": Variant("b", False),
            "ConditionTimestampMonotonic": Variant("t", 1_000_000_001),
        }
        rejected, _ = self.answer(desk, systemd, serial, **condition)
        assert rejected[3] == f"Unit {UNIT} was not started: a condition is not met"

    def test_while_there_is_a_job(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """Nothing else is queried, also if the unit has failed before."""
        serial = self.question(desk.park(peer, NAME)[1])
        for number in (7, 7, 8):
            assert self.answer_job(desk, systemd, serial, number) == [("resume", systemd.id)]
            desk.tools.pass_time()
            (question,) = desk.take()
            serial = self.question(question)
        assert self.answer(desk, systemd, serial, ActiveState=Variant("s", "failed"))[0][0] == "reject"

    def test_job_again(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """The state while there was no job did not decide; the next query is for the job again."""
        serial = self.question(desk.park(peer, NAME)[1])
        self.answer(desk, systemd, serial)
        desk.tools.pass_time()
        (question,) = desk.take()
        assert self.answer_job(desk, systemd, self.question(question), 7) == [("resume", systemd.id)]

    def test_no_query_after_the_name_appeared(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        serial = self.question(desk.park(peer, NAME)[1])
        self.answer(desk, systemd, serial)
        desk.own(desk.attach(), NAME)
        desk.tools.pass_time()
        assert desk.take() == []

    def test_reply_after_the_name_appeared(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """It belongs to a start that is over, even if another has begun."""
        serial = self.question(desk.park(peer, NAME)[1])
        service = desk.attach()
        desk.own(service, NAME)
        desk.happen(FakeEvent(EventKind.GONE, service.id))
        self.question(desk.park(peer, NAME)[1])
        assert self.answer_job(desk, systemd, serial, 0) == [("resume", systemd.id)]

    def test_one_query_at_a_time(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        desk.service(OTHER, SystemdService="other.service")
        serial = self.question(desk.park(peer, NAME)[1])
        (request,) = desk.park(peer, OTHER)
        assert request[5] == "ActivationRequest"
        question, resume = self.answer(desk, systemd, serial)
        self.question(question, "/org/freedesktop/systemd1/unit/other_2eservice")
        assert resume == ("resume", systemd.id)

    @pytest.mark.parametrize(
        "odd",
        [
            {"Job": Variant("u", 0)},
            {"ActiveState": Variant("s", "failed"), "Job": Variant("ao", [])},
            {"InactiveExitTimestampMonotonic": Variant("s", "never")},
            {"ActiveState": Variant("s", "failed"), "Huge": Variant("ay", bytes(2**18))},
        ],
    )
    def test_unusable_reply(self, desk: Desk, systemd: Peer, peer: Peer, odd: dict[str, Any]) -> None:
        """The start is left to its time-out."""
        serial = self.question(desk.park(peer, NAME)[1])
        before = list(desk.tools.timers)
        assert self.answer(desk, systemd, serial, **odd) == [("resume", systemd.id)]
        assert desk.tools.timers == before

    @pytest.mark.parametrize(
        ("signature", "value"),
        [
            ("v", Variant("u", 0)),
            ("v", Variant("s", "none")),
            ("(uo)", (0, "/")),
            ("v", Variant("ay", bytes(2**18))),
        ],
    )
    def test_unusable_job(self, desk: Desk, systemd: Peer, peer: Peer, signature: str, value: object) -> None:
        serial = self.question(desk.park(peer, NAME)[1])
        before = list(desk.tools.timers)
        commands = desk.tell(systemd, signature, value, type=2, path=None, reply_serial=serial)
        assert commands == [("resume", systemd.id)]
        assert desk.tools.timers == before

    def test_error(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """The unit object may be missing, or permission."""
        serial = self.question(desk.park(peer, NAME)[1])
        before = list(desk.tools.timers)
        commands = desk.tell(systemd, "s", "no", type=3, error_name="an.Error", reply_serial=serial)
        assert commands == [("resume", systemd.id)]
        assert desk.tools.timers == before

    def test_systemd_leaves(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """When it is back, new starts are watched again."""
        desk.park(peer, NAME)
        desk.happen(FakeEvent(EventKind.GONE, systemd.id))
        desk.service(OTHER, SystemdService="other.service")
        desk.own(desk.attach(0), SYSTEMD)
        _, question = desk.park(peer, OTHER)
        self.question(question, "/org/freedesktop/systemd1/unit/other_2eservice")

    def test_after_the_hand_off(self, desk: Desk, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("omnibus.daemon.activation.systemd.is_systemd", lambda peer: peer is not None)
        desk.park(peer, NAME)
        _, request, question, *_ = desk.own(desk.attach(0), SYSTEMD)
        assert request == REQUEST
        self.question(question)

    def test_two_names_of_one_unit(self, desk: Desk, systemd: Peer, peer: Peer) -> None:
        """The unit is watched while one of the names is missing."""
        desk.service(OTHER, SystemdService=UNIT)
        first = self.question(desk.park(peer, NAME)[1])
        assert desk.park(peer, OTHER) == [REQUEST]
        desk.own(desk.attach(), NAME)
        question, _ = self.answer_job(desk, systemd, first, 0)
        serial = self.question(question)
        rejected, _ = self.answer(desk, systemd, serial, ActiveState=Variant("s", "failed"))
        assert rejected[:2] == ("reject", 2)


def test_programs_may_be_called_systemd(desk: Desk) -> None:
    """As in the fake systemd of other tests: any process can choose its name."""
    code = (
        "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'systemd');"
        " sys.stdout.write('x'); sys.stdout.flush(); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdin
        process.stdout.read(1)
        assert is_systemd(desk.attach(0, pid=process.pid))
        process.stdin.close()
