"""An exception anywhere in the control plane leaves no caller waiting and leaks nothing.

The points at which exceptions are raised are not listed here: they are counted while a scenario runs that
uses every kind of event, every method and property of the driver, and every place in the source that
registers a callback. A test fails if the scenario does not reach a new one.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from omnibus.auth.mechanisms import choose
from omnibus.daemon import accept as server_module
from omnibus.daemon import bus as bus_module
from omnibus.daemon import codec, configuration
from omnibus.daemon import loop as loop_module
from omnibus.daemon.accept import Acceptor
from omnibus.daemon.activation import systemd as systemd_module
from omnibus.daemon.activation.environment import Environment
from omnibus.daemon.activation.tools import Tools
from omnibus.daemon.bus import Bus, Handling
from omnibus.daemon.driver import INTERFACES, dbus, monitoring
from omnibus.daemon.guard import ignored
from omnibus.daemon.loop import Loop
from omnibus.daemon.reload import Reloader
from omnibus.policy import answer
from omnibus.policy.block import encode
from omnibus.policy.rules import ANY_ID, Kind, Rule
from omnibus.policy.settings import Limits, ServiceDir, Settings
from omnibus.systemd.watchdog import Watchdog
from omnibus.transport.listener import Listener
from omnibus.transport.relay import Credentials, EventKind
from support.fault_injection import (
    AccountingPlane,
    FailingGuard,
    FailingLines,
    FailingNotifier,
    FakeSpawner,
    Faults,
    failing_driver,
    open_fds,
)
from support.loop import Loop as FakeLoop
from support.plane import FakeEvent
from support.wire import Variant, marshal, types

BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
SYSTEMD = systemd_module.MANAGER_NAME
DAEMON = Path(bus_module.__file__).parent
SERVICES = {
    "org.example.Started": "",
    "org.example.Fails": "",
    "org.example.Slow": "",
    "org.example.Unit": "SystemdService=unit.service\n",
    "org.example.Early": "SystemdService=early.service\n",
}
SAMPLES: dict[str, Any] = {
    "s": BUS,
    "u": 0,
    "b": False,
    "t": 0,
    "v": Variant("u", 0),
    "as": ["type='signal'"] * 3,
    "a{sv}": {"org.example.Key": Variant("s", "value")},
    "a{ss}": {"KEY": "value", "MORE": "values"},
}
RULES = [
    Rule(Kind.OWN, allow=True),
    Rule(Kind.SEND, allow=True, requested_reply=True),
    Rule(Kind.CONNECT_USER, allow=True, principal=ANY_ID),
]
MOST_TURNS = 100
PARTS = 6  # of a test that takes several seconds
ERRORS = (ZeroDivisionError, MemoryError, RecursionError, OSError)


class ImmediateThread:
    """A thread that runs to completion in start()."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...], daemon: bool) -> None:
        self.start = lambda: target(*args)


class ControlPlane:
    """A complete control plane on a data plane that keeps accounts."""

    def __init__(self, faults: Faults, directory: Path) -> None:
        self.faults = faults
        self.plane = AccountingPlane(faults)
        self.log = FailingLines(faults)
        self.guard = FailingGuard(self.log, faults)
        self.timers = FakeLoop()
        self.loop = Loop(self.timers, self.guard, self.plane.commit)
        self.spawner = FakeSpawner(self.loop, faults)
        self.file = directory / "bus.conf"
        self.settings = Settings(
            limits=Limits(service_start_timeout=10_000, auth_timeout=10_000),
            policy=encode(RULES),
            service_dirs=(ServiceDir(str(directory / "services")),),
            files=(str(self.file),),
        )
        spawner: Any = self.spawner
        plane: Any = self.plane
        self.bus = Bus(
            self.plane,
            self.settings,
            self.log,
            tools=Tools(self.loop, spawner),
            environment=Environment({}, "an:address", "session"),
        )
        self.bus.driver = failing_driver(faults)
        self.bus.handlings = {
            kind: Handling(faults.before(f"event {EventKind(kind).name}", one.handle), one.reject)
            for kind, one in self.bus.handlings.items()
        }
        self.listening = socket.socket(socket.AF_UNIX)
        listener = Listener([self.listening], [])
        self.server = Acceptor(self.loop, self.bus, plane, [listener], choose((), {}))
        self.notifier = FailingNotifier(faults)
        self.result = directory / "result"
        self.write(self.settings)
        self.reloader = Reloader(
            self.loop,
            self.bus,
            partial(configuration.Rereading, self.loop, str(self.result)),
            self.notifier,
            status="Serving",
            began=0.0,
        )
        self.loop.signal = lambda *args: None  # type: ignore[method-assign]
        self.serial = 0
        self.clients: list[socket.socket] = []
        self.turn()

    def write(self, settings: Settings | None) -> None:
        """Set the result of the next reading of the configuration; None: the child returns nothing."""
        data = b"" if settings is None else answer.encode({"settings": settings.to_plain()})
        self.result.write_bytes(data)

    # Events.

    def turn(self) -> None:
        """Process everything that is ready."""
        for _ in range(MOST_TURNS):
            if not self.plane.waiting and not self.timers.soon:
                break
            self.loop.run(self.bus.dispatch, ignored)
            self.timers.turn()
        else:
            raise AssertionError("it never rests")
        self.loop.run(lambda: None, ignored)

    def pass_time(self, seconds: float) -> None:
        self.turn()
        self.timers.pass_time(seconds)
        self.turn()

    def report(self, event: FakeEvent) -> None:
        if event.kind in (EventKind.ADMITTED, EventKind.HANDED_UP) or event.peer in self.plane.peers:
            self.plane.report(event)
            self.turn()

    def admit(self, uid: int = 1000, *, active: bool = True) -> int:
        peer = self.plane.next_id()
        credentials = Credentials(uid, os.getpid(), (uid,), fd_passing=True, privileged=uid == 0)
        self.report(FakeEvent(EventKind.ADMITTED, peer, active=active, credentials=credentials))
        return peer

    def call(self, peer: int, member: str, signature: str = "", *args: Any, **fields: Any) -> int:
        self.serial += 1
        body = marshal(signature, args)
        fields.setdefault("serial", self.serial)
        self.report(FakeEvent(peer=peer, member=member, signature=signature, body=body, **fields))
        return self.serial

    def park(self, peer: int, name: str, **fields: Any) -> None:
        self.serial += 1
        event = FakeEvent(EventKind.PARKED, peer, self.serial, destination=name, interface="a.b", **fields)
        self.report(event)

    def own(self, peer: int, name: str) -> None:
        self.call(peer, "RequestName", "su", name, 0)

    def hand_up(self, said: bytes) -> None:
        """Hand up a connection that leaves the usual authentication sequence."""
        ours, theirs = socket.socketpair()
        self.clients.append(ours)
        kept = os.dup(0)
        event = FakeEvent(
            EventKind.HANDED_UP, self.plane.next_id(), fd=theirs.detach(), fds=(kept,), body=said, serial=0
        )
        event.began = self.timers.time()
        self.report(event)

    def say(self, data: bytes) -> None:
        """Let the latest of these clients continue, if it is still connected."""
        with contextlib.suppress(BrokenPipeError):
            self.clients[-1].sendall(data)
        self.pass_time(0.1)

    # State at the end.

    def settle(self) -> None:
        """Complete everything that ends without a further event."""
        for child in self.spawner.children:
            child.end(0)
        for _ in range(4):
            self.pass_time(20.0)

    def leave(self) -> None:
        for peer in sorted(self.plane.peers):
            self.report(FakeEvent(EventKind.GONE, peer))

    def close(self) -> None:
        self.server.stop()
        self.reloader.stop()
        for client in (self.listening, *self.clients):
            client.close()

    def debts(self) -> dict[str, Any]:
        """Return all pending obligations and remaining state; correct entries are empty."""
        private: Any = self.bus.activation
        server: Any = self.server
        statistics: Any = self.bus.statistics
        reloader: Any = self.reloader
        known = {peer.id for peer in self.bus.peers}
        return {
            "calls": self.plane.calls,
            "stopped": self.plane.stopped,
            "parked": self.plane.parked,
            "gone": self.plane.gone,
            "starts": private._starts,
            "waiting": private._waiting,
            "handshakes": server._handshakes,
            "silent": self.plane.silent,
            "asked": statistics._asked,
            "reload": reloader._busy,
            "peers": known ^ self.plane.peers,
            "answered twice": {call for call, times in self.plane.answers.items() if times > 1},
            "names": {
                name
                for name in {*self.bus.names, *self.plane.queues}
                if self.bus.names.queue(name) != self.plane.queues.get(name, ())
            },
        }


def sample(signature: str, string: str) -> list[Any]:
    return [string if kind == "s" else SAMPLES[kind] for kind in types(signature)]


def unit_job(number: int) -> bytes:
    return marshal("v", (Variant("(uo)", (number, "/")),))


def unit_state(state: str) -> bytes:
    properties = {
        "ActiveState": Variant("s", state),
        "Job": Variant("(uo)", (0, "/")),
        "InactiveExitTimestampMonotonic": Variant("t", 0),
        "ConditionResult": Variant("b", True),
        "ConditionTimestampMonotonic": Variant("t", 0),
    }
    return marshal("a{sv}", (properties,))


COMMANDS = marshal("v", (Variant("a(sasbttttuii)", [("/bin/x", ["/bin/x"], False, 0, 0, 0, 0, 1, 1, 3)]),))


class Scenario:
    """Everything once."""

    def __init__(self, world: ControlPlane) -> None:
        self.world = world

    def run(self) -> None:
        self.driver()
        self.names()
        self.starts()
        self.world.bus.systemd_activation = True
        self.transient_units()
        self.units()
        self.handshakes()
        self.reloads()
        self.ends()

    def driver(self) -> None:
        """Every method that Python answers, from the driver's tables."""
        world = self.world
        for interface in INTERFACES:
            for method in interface.methods:
                if method.handler is None:
                    continue
                strings = (BUS, "org.example.Started", ":1.0") if "s" in method.inputs else (BUS,)
                for string in strings:
                    caller = world.admit(0, active=method.name != "Hello")
                    args = sample(method.inputs, string)
                    for flags in (0, 1):
                        world.call(
                            caller, method.name, method.inputs, *args, interface=interface.name, flags=flags
                        )
        caller = world.admit()
        world.call(caller, "GetMachineId", interface="org.freedesktop.DBus.Peer", destination=None)
        world.call(caller, "Nonsense")
        world.call(caller, "GetAll", "s", BUS, interface="org.freedesktop.DBus.Properties")
        world.call(caller, "Get", "ss", BUS, "Features", interface="org.freedesktop.DBus.Properties")

    def names(self) -> None:
        world = self.world
        first, second = world.admit(), world.admit()
        world.report(FakeEvent(EventKind.WELCOMED, world.admit(active=False)))
        world.own(first, "org.example.Name")
        world.own(second, "org.example.Name")
        world.park(second, "org.example.Name")
        world.call(first, "ReleaseName", "s", "org.example.Name")
        if "org.example.Free" not in world.plane.queues:
            world.report(FakeEvent(EventKind.NAMED, first, destination="org.example.Free"))
        world.report(FakeEvent(EventKind.RELEASED, first, destination="org.example.Free"))
        world.report(FakeEvent(EventKind.LOG, second, destination="a.b", type=5, path="/f", body=b"denied"))
        world.report(FakeEvent(EventKind.LOG, second, destination=None, type=4, body=b"a line"))
        world.report(FakeEvent(EventKind.LEFT, world.admit()))

    def starts(self) -> None:
        world = self.world
        first, second, service = world.admit(), world.admit(), world.admit()
        world.park(first, "org.example.Absent")
        world.park(first, "org.example.Absent", flags=2)
        for name in ("org.example.Started", "org.example.Fails", "org.example.Slow"):
            world.call(second, "StartServiceByName", "su", name, 0)
            world.park(first, name)
            world.park(second, name)
        world.own(service, "org.example.Started")
        for child in world.spawner.children[1:2]:
            child.end(256)
        world.turn()
        world.report(FakeEvent(EventKind.GONE, first))
        world.pass_time(15.0)

    def transient_units(self) -> None:
        """As ``starts``, but systemd runs the programs: one comes, one fails, one takes too long."""
        world = self.world
        manager, caller, service = world.admit(0), world.admit(), world.admit()
        world.call(caller, "StartServiceByName", "su", "org.example.Started", 0)
        world.own(manager, SYSTEMD)
        world.own(service, "org.example.Started")
        for name in ("org.example.Fails", "org.example.Slow"):
            world.park(caller, name)
        for signature, body in (("v", unit_job(0)), ("a{sv}", unit_state("failed")), ("v", COMMANDS)):
            self.answer(manager, signature, body)
        world.pass_time(15.0)
        world.report(FakeEvent(EventKind.GONE, service))
        world.report(FakeEvent(EventKind.GONE, manager))

    def answer(self, manager: int, signature: str, body: bytes) -> None:
        """Answer the latest query for a unit."""
        activation: Any = self.world.bus.activation
        serial = activation.units.serial
        self.tell(manager, type=2, reply_serial=serial, signature=signature, body=body)

    def units(self) -> None:
        world = self.world
        manager, caller = world.admit(0), world.admit()
        world.park(caller, "org.example.Early")
        world.own(manager, SYSTEMD)
        world.park(caller, "org.example.Unit")
        for job, state in ((1, ""), (0, "activating"), (0, "failed"), (0, "failed"), (0, "failed")):
            for signature, body in (("v", unit_job(job)), ("a{sv}", unit_state(state)))[: 2 - job]:
                self.answer(manager, signature, body)
            world.pass_time(2.0)
        world.park(caller, "org.example.Unit")
        body = marshal("sss", ("unit.service", "a.b", "no"))
        activator = systemd_module.ACTIVATOR_INTERFACE
        failure = {"type": 4, "interface": activator, "member": "ActivationFailure", "signature": "sss"}
        self.tell(manager, body=body, **failure)
        self.tell(caller, body=body, **failure)
        world.report(FakeEvent(EventKind.GONE, manager))

    def tell(self, peer: int, **fields: Any) -> None:
        self.world.serial += 1
        self.world.report(FakeEvent(peer=peer, serial=self.world.serial, **fields))

    def handshakes(self) -> None:
        world = self.world
        world.hand_up(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\nl")
        world.hand_up(b"nonsense")
        world.hand_up(b"\0AUTH EXTERNAL\r\n")
        world.say(b"DATA\r\n")
        world.say(b"BEGIN\r\n")
        world.hand_up(b"\0")
        world.pass_time(11.0)

    def reloads(self) -> None:
        world = self.world
        world.loop.run(world.reloader.watch, ignored)
        root = world.admit(0)
        later = lambda seconds, action: world.loop.later(seconds, action, ignored)  # noqa: E731
        world.guard.run(lambda: Watchdog(later, world.notifier, world.bus.statistics.ping), ignored)
        for settings in (world.settings, None, world.settings.replace(policy=encode(RULES * 40))):
            world.write(settings)
            world.call(root, "ReloadConfig")
            world.call(root, "ReloadConfig")
            world.pass_time(0.01)
            world.pass_time(0.01)
        alone = world.result.with_name("result.alone")
        world.pass_time(0.01)
        alone.touch()
        world.call(root, "ReloadConfig")
        world.pass_time(0.01)
        alone.unlink()
        world.file.write_text("changed")
        world.pass_time(0.05)
        world.pass_time(0.2)
        world.pass_time(0.2)

    def ends(self) -> None:
        world = self.world
        caller = world.admit()
        world.call(caller, "GetStats", interface="org.freedesktop.DBus.Debug.Stats")
        world.report(FakeEvent(EventKind.GONE, caller))


@pytest.fixture
def make_control_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ControlPlane]:
    services = tmp_path / "services"
    services.mkdir()
    for name, more in SERVICES.items():
        (services / f"{name}.service").write_text(f"[D-BUS Service]\nName={name}\nExec=/bin/{name}\n{more}")
    (tmp_path / "bus.conf").touch()
    monkeypatch.setattr(loop_module.threading, "Thread", ImmediateThread)
    monkeypatch.setattr(systemd_module, "is_systemd", lambda peer: peer is not None)
    monkeypatch.setattr(server_module, "at_console", lambda uid: False)
    # The reading is immediate: its result is available at once.
    monkeypatch.setattr(configuration.Rereading, "_spawn", spawn_cat)
    # Two strings are many.
    for module in (codec, dbus, monitoring):
        monkeypatch.setattr(module, "STRINGS_AT_ONCE", 2)
    # The user database is always asked.
    known = server_module.from_socket
    monkeypatch.setattr(server_module, "from_socket", lambda *args: known(*args).replace(gids=None))

    def make(faults: Faults) -> ControlPlane:
        with monkeypatch.context() as patch:
            patch.setattr(bus_module, "Guard", lambda log: FailingGuard(log, faults))
            return ControlPlane(faults, tmp_path)

    return make


def spawn_cat(reading: Any, writing: int) -> int:
    if os.path.exists(f"{reading._path}.alone"):
        raise BlockingIOError(errno.EAGAIN, "no process")
    keep = [(os.POSIX_SPAWN_DUP2, writing, 1)]
    return os.posix_spawn("/bin/cat", ["cat", reading._path], {}, file_actions=keep)


def live(world: ControlPlane) -> dict[str, Any]:
    """Run everything; return what is pending at the end."""
    world.faults.active = True
    Scenario(world).run()
    world.settle()
    world.faults.active = False
    # The following requests succeed.
    world.write(world.settings)
    caller = world.admit()
    calls = [(caller, world.call(caller, member)) for member in ("ListActivatableNames", "ReloadConfig")]
    world.park(caller, "org.example.Absent")
    world.settle()
    debts = world.debts()
    debts["next"] = [call for call in calls if world.plane.answers[call] != 1]
    world.leave()
    world.settle()
    return {key: value for key, value in (debts | world.debts() | {"next": debts["next"]}).items() if value}


# The daemon's start, its loop, and real programs, which have tests of their own.
ELSEWHERE = (
    "serve.py",
    "turns.py",
    "activation/spawner.py",
    "upgrade/containers.py",
    "upgrade/rehearsal.py",
    "upgrade/standby.py",
    "upgrade/upgrader.py",
)


def registrations() -> dict[tuple[str, int], int]:
    """Return the places in the source where a callback is registered with the loop, a thread or a tool.

    Each is given by its first and last line.
    """
    names = {"reader", "soon", "later", "at", "in_thread", "in_background", "spawn"}
    found = {}
    for path in DAEMON.rglob("*.py"):
        tree = ast.parse(path.read_text())
        # A callback registered by ``failed`` is reached after a failure: by test_each.
        late = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and "error" in [one.arg for one in node.args.args]
            for inner in ast.walk(node)
        }
        for node in set(ast.walk(tree)) - late:
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = ast.unparse(node.func.value)
            if node.func.attr in names and owner.split(".")[-1].lstrip("_") in ("loop", "guard", "tools"):
                found[str(path.relative_to(DAEMON)), node.lineno] = node.end_lineno or node.lineno
    return found


class TestScenario:
    """The scenario itself, without a fault."""

    def test_nothing_is_pending(self, make_control_plane: Callable[..., ControlPlane]) -> None:
        before = open_fds()
        world = make_control_plane(Faults())
        assert live(world) == {}
        world.close()
        assert open_fds() == before
        assert [line for line in world.log.lines if "Traceback" in line] == []

    def test_every_kind_of_event(self, make_control_plane: Callable[..., ControlPlane]) -> None:
        faults = Faults()
        live(make_control_plane(faults))
        # Those of an upgrade come when nothing else runs: tests/upgrade has them.
        for kind in set(EventKind) - {EventKind.FROZEN, EventKind.DUMPED}:
            assert f"event {kind.name}" in faults.passed

    def test_every_method_and_property(self, make_control_plane: Callable[..., ControlPlane]) -> None:
        faults = Faults()
        live(make_control_plane(faults))
        for interface in INTERFACES:
            for one in (*interface.methods, *interface.properties):
                if getattr(one, "handler", one) is not None:
                    assert f"driver.{one.name}, before" in faults.passed

    def test_every_callback(
        self, make_control_plane: Callable[..., ControlPlane], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each place in the source that registers one is reached, except those of the daemon's start."""
        reached: set[tuple[str, int]] = set()

        def watch(frame: FrameType, event: str, argument: Any) -> None:
            if event == "call":
                caller = frame.f_back
                path = Path(caller.f_code.co_filename) if caller else None
                if caller and path and "daemon" in path.parts and "omnibus" in path.parts:
                    name = str(path).rpartition("omnibus/daemon/")[2]
                    reached.add((name, caller.f_lineno))

        sys.setprofile(watch)
        try:
            world = make_control_plane(Faults())
            live(world)
            world.close()
        finally:
            sys.setprofile(None)
        missing = {
            (name, first)
            for (name, first), last in registrations().items()
            if not any((name, line) in reached for line in range(first, last + 1))
        }
        assert sorted(place for place in missing if place[0] not in ELSEWHERE) == []


class TestRegistrations:
    """Callbacks are registered by loop.py only, always with an error handler."""

    ASYNCIO = ("add_reader", "add_writer", "call_soon", "call_soon_threadsafe", "call_later", "call_at")

    def test_no_other_way(self) -> None:
        ways = {*self.ASYNCIO, "add_signal_handler", "Thread", "create_task", "run_in_executor"}
        found = {
            f"{path.name}:{node.lineno}"
            for folder in (DAEMON, DAEMON.parent / "systemd", DAEMON.parent / "auth")
            for path in folder.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute) and node.attr in ways and path.name != "loop.py"
        }
        assert found == set()


class TestFaults:
    """Each point of the scenario raises an exception, one at a time."""

    @pytest.mark.parametrize("part", range(PARTS))
    def test_each(self, make_control_plane: Callable[..., ControlPlane], part: int) -> None:
        faults = Faults()
        world = make_control_plane(faults)
        live(world)
        world.close()
        wrong = {}
        for at, name in faults.distinct()[part::PARTS]:
            broken = Faults(at, ERRORS[at % len(ERRORS)])
            if owed := self.break_at(make_control_plane, broken):
                wrong[at, name, broken.error.__name__] = owed
        assert not wrong, "\n".join(f"{where}: {owed}" for where, owed in wrong.items())

    def break_at(self, make_control_plane: Callable[..., ControlPlane], faults: Faults) -> dict[str, Any]:
        before = open_fds()
        world = make_control_plane(faults)
        try:
            owed = live(world)
        except AssertionError as error:
            owed = {"error": error}
        world.close()
        # There may be fewer: garbage of other tests.
        if open_fds() > before:
            owed["fds"] = open_fds() - before
        return owed
