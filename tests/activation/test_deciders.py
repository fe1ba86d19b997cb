"""Each well-known name has one decider at a time: both planes, with delays between them, against one model.

The data plane has no thread here, so that each step is the test's: what clients send, a turn of the data
plane, how many events the control plane takes, when its commands arrive. The model hears of each request at
the moment at which one of the planes has decided it, in the order of the events. A release that changes
nothing is no decision: no event tells of it, and the model does not compare its answer.
"""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from omnibus.daemon.activation.environment import Environment
from omnibus.daemon.bus import Bus
from omnibus.policy.block import encode
from omnibus.policy.rules import Kind, Rule
from omnibus.policy.settings import ServiceDir, Settings
from omnibus.transport.relay import Credentials, Event, EventKind, Relay
from omnibus.transport.relay._relay import lib
from support.claimants import PRIMARY_OWNER, RELEASED, Queue
from support.message import HEADER, Message, Type, frame_length, parse
from support.plane import BUS, BUS_PATH, Lines
from support.wire import unmarshal

from .conftest import OWN_AND_SEND, FakeTools

NAMES = ("org.example.Service", "org.example.Other", "org.example.Third")
"""The first one can be started."""
CLIENTS = 4
NAME_CALLS = ("RequestName", "ReleaseName", "ListQueuedOwners")
TABLE_OF_NAMES = int(lib.RELAY_EXPORT_NAMES)
ROUNDS = 400
RULES = [*OWN_AND_SEND, Rule(Kind.RECEIVE, allow=True, requested_reply=True)]


def unique(who: str) -> str:
    return f":1.{who}" if who else ""


class Client:
    """One end of a connection; ``answers``: what it got for its calls about names, in their order."""

    def __init__(self, bus: Bus, relay: Relay, number: int) -> None:
        self.socket, other = socket.socketpair()
        self.socket.setblocking(False)
        who = Credentials(0, 1, (0,), fd_passing=True, privileged=True, loginfo="a client")
        self.id = bus.peers.add(number, who).id
        relay.attach(self.id, other.detach(), who)
        relay.commit()
        self.serial = 0
        self.monitors = False
        self.asked: dict[int, str] = {}
        self.inbox: list[Message] = []
        self._buffer = b""
        self.call("Hello")

    def call(
        self, member: str, signature: str = "", *body: object, to: str = BUS, interface: str = BUS
    ) -> None:
        self.serial += 1
        message = Message(
            serial=self.serial,
            destination=to,
            path=BUS_PATH,
            interface=interface,
            member=member,
            signature=signature,
            body=body,
        )
        if member in NAME_CALLS:
            self.asked[self.serial] = member
        self.socket.send(message.encode())

    def read(self) -> None:
        try:
            while data := self.socket.recv(1 << 16):
                self._buffer += data
        except (BlockingIOError, ConnectionResetError):
            pass
        while len(self._buffer) >= HEADER and len(self._buffer) >= (n := frame_length(self._buffer)):
            self.inbox.append(parse(self._buffer[:n]))
            self._buffer = self._buffer[n:]

    def answers(self) -> list[Any]:
        self.read()
        # Monitors see those of others, too.
        mine = [m for m in self.inbox if m.destination == unique(str(self.id))]
        replies = {m.reply_serial: m for m in mine if m.type in (Type.METHOD_RETURN, Type.ERROR)}
        found = [(member, replies[serial]) for serial, member in self.asked.items() if serial in replies]
        answers = [
            (member, m.body[0] if m.type == Type.METHOD_RETURN else m.error_name) for member, m in found
        ]
        return [answer for member, answer in answers if member != "ReleaseName" or answer == RELEASED]


class SlowPlane(Relay):
    """A data plane whose events are taken a few at a time, and whose commands may have to wait."""

    def __init__(self, world: World) -> None:
        super().__init__("0" * 32)
        self._world = world
        self.most = 256
        self.held = False
        self.names: dict[str, list[int]] = {}

    def events(self) -> Iterator[Event]:  # type: ignore[override]
        count = lib.relay_events(self._relay, self._events, self.most)
        for event in [Event(self._events[at]) for at in range(count)]:
            if event.kind == EventKind.EXPORT:
                self.names = json.loads(event.body)
                continue
            self._world.decided(event)
            yield event

    def commit(self) -> None:
        if not self.held:
            super().commit()


class World:
    """Both planes, their clients, and the model: a queue for each name, and what each party is told."""

    def __init__(self, services: Path) -> None:
        self.queues = {name: Queue() for name in NAMES}
        self.changes: dict[str, list[tuple[str, str]]] = {name: [] for name in NAMES}
        self.expected: dict[int, list[Any]] = {}
        self.kinds: list[int] = []
        self.tools = FakeTools()
        self.log = Lines()
        self.relay = SlowPlane(self)
        settings = Settings(policy=encode(RULES), service_dirs=(ServiceDir(str(services)),))
        self.relay.load_policy(settings.policy)
        self.relay.set_limits(settings.limits)
        self.bus = Bus(
            self.relay,  # type: ignore[arg-type]
            settings,
            self.log,
            tools=self.tools,
            environment=Environment({}, "", None),
        )
        self.tools.guard = self.bus.guard
        self.numbers = itertools.count()
        self.watcher = Client(self.bus, self.relay, next(self.numbers))
        self.watcher.call("AddMatch", "s", f"type='signal',sender='{BUS}',member='NameOwnerChanged'")
        self.clients = [Client(self.bus, self.relay, next(self.numbers)) for _ in range(CLIENTS)]
        self.settle()

    # The model.

    def decided(self, event: Event) -> None:
        """Take note of what an event says was decided, or lets the control plane decide now."""
        self.kinds.append(event.kind)
        name, who = event.destination or "", str(event.peer)
        if event.kind == EventKind.NAMED:
            assert self.queues[name].names() in ([], [who])
            self.request(name, who, event.flags)
        elif event.kind == EventKind.RELEASED:
            assert self.queues[name].names() == [who]
            self.release(name, who)
        elif event.kind == EventKind.GONE:
            self.leave(who)
        elif event.kind == EventKind.CALL and event.type == Type.METHOD_CALL:
            self.called(str(event.member), who, unmarshal(event.signature, event.body))

    def called(self, member: str, who: str, args: tuple[Any, ...]) -> None:
        if member == "RequestName":
            self.request(args[0], who, args[1])
        elif member == "ReleaseName":
            self.release(args[0], who)
        elif member == "ListQueuedOwners":
            queue = [unique(one) for one in self.queues[args[0]].names()]
            self.answer(who, queue or f"{BUS}.Error.NameHasNoOwner")
        elif member == "BecomeMonitor":
            self.leave(who)

    def request(self, name: str, who: str, flags: int) -> None:
        queue, before = self.queues[name], self.queues[name].owner
        self.answer(who, queue.request(who, flags))
        self.changed(name, before)

    def release(self, name: str, who: str) -> None:
        queue, before = self.queues[name], self.queues[name].owner
        if queue.release(who) == RELEASED:
            self.answer(who, RELEASED)
        self.changed(name, before)

    def leave(self, who: str) -> None:
        for name, queue in self.queues.items():
            before = queue.owner
            queue.release(who)
            self.changed(name, before)

    def changed(self, name: str, before: str) -> None:
        after = self.queues[name].owner
        if before != after:
            self.changes[name].append((unique(before), unique(after)))

    def answer(self, who: str, answer: Any) -> None:
        self.expected.setdefault(int(who), []).append(answer)

    # The steps.

    def step(self, what: str, client: int, name: int, number: int) -> None:
        one, text = self.clients[client], NAMES[name]
        if what == "turn":
            self.relay.turn()
        elif what == "dispatch":
            self.relay.most, self.relay.held = 1 + number, bool(client & 1)
            self.bus.dispatch()
        elif what == "read the directories":
            self.tools.read()
            self.relay.commit()
        elif what == "let starts fail":
            self.pass_time()
        elif what == "disconnect":
            self.compare_answers(one)
            one.socket.close()
            self.clients[client] = Client(self.bus, self.relay, next(self.numbers))
        elif not one.monitors:
            self.ask(what, one, text, number)

    def ask(self, what: str, one: Client, name: str, flags: int) -> None:
        if what == "request":
            one.call("RequestName", "su", name, flags)
        elif what == "release":
            one.call("ReleaseName", "s", name)
        elif what == "list":
            one.call("ListQueuedOwners", "s", name)
        elif what == "start":
            one.call("StartServiceByName", "su", name, 0)
        elif what == "send":
            one.call("Nonsense", to=name)
        else:
            one.call("BecomeMonitor", "asu", [], 0, interface=f"{BUS}.Monitoring")
            one.monitors = True

    def pass_time(self) -> None:
        for timer in [timer for timer in self.tools.timers if not timer.cancelled]:
            if not timer.cancelled:
                self.tools.pass_time(timer)
        self.relay.commit()

    def settle(self) -> None:
        """Let both planes do what is left, until nothing comes any more."""
        self.relay.most, self.relay.held = 256, False
        quiet = 0
        for _ in range(ROUNDS):
            before = len(self.kinds)
            self.relay.commit()
            self.relay.turn()
            self.bus.dispatch()
            self.tools.read()
            quiet = 0 if len(self.kinds) > before else quiet + 1
            if quiet == 10:
                return
        pytest.fail("the planes do not come to rest")

    # What has to be.

    def compare_answers(self, client: Client) -> None:
        """A client has got what the model says, or has yet to get it."""
        answers, expected = client.answers(), self.expected.get(client.id, [])
        assert answers[: len(expected)] == expected[: len(answers)]

    def compare(self) -> None:
        """At rest, all know the same."""
        assert not [line for line in self.log.lines if "Traceback" in line]
        for client in self.clients:
            assert client.answers() == self.expected.get(client.id, [])
        self.watcher.read()
        signals = [m.body for m in self.watcher.inbox if m.member == "NameOwnerChanged"]
        for name, changes in self.changes.items():
            assert [body[1:] for body in signals if body[0] == name] == changes
        queues = {name: [int(who) for who in queue.names()] for name, queue in self.queues.items()}
        self.relay.export(TABLE_OF_NAMES)
        self.settle()
        assert self.relay.names == {name: queue for name, queue in queues.items() if queue}
        assert {name: list(self.bus.names.queue(name)) for name in NAMES} == queues

    def end(self) -> None:
        """When all calls are answered and the monitors have left, the data plane has all names back."""
        self.pass_time()
        self.settle()
        for at, client in enumerate(self.clients):
            if client.monitors or any(client.id in self.bus.names.queue(name) for name in NAMES):
                self.step("disconnect", at, 0, 0)
        self.settle()
        self.kinds.clear()
        for name in NAMES:
            self.clients[0].call("RequestName", "su", name, 0)
            self.clients[0].call("ReleaseName", "s", name)
        self.settle()
        assert self.kinds == [EventKind.NAMED, EventKind.RELEASED] * len(NAMES)
        self.compare()

    def close(self) -> None:
        for client in (self.watcher, *self.clients):
            client.socket.close()
        self.relay.close()


REQUESTS = ("request", "request", "request", "release", "release", "list", "start", "send")
PLANES = ("turn", "turn", "turn", "dispatch", "dispatch", "dispatch")
RARE = ("disconnect", "disconnect", "let starts fail", "read the directories", "monitor")
STEPS = st.lists(
    st.tuples(
        st.sampled_from((*4 * REQUESTS, *4 * PLANES, *RARE)),
        st.integers(0, CLIENTS - 1),
        st.integers(0, len(NAMES) - 1),
        st.integers(0, 7),
    ),
    min_size=30,  # the average of a list is otherwise 5
    max_size=90,
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("services")
    (path / "one.service").write_text(f"[D-BUS Service]\nName={NAMES[0]}\nExec=/bin/true\n")
    return path


class TestDeciders:
    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(STEPS)
    @example([("list", 0, 0, 0), ("turn", 0, 0, 0), ("request", 1, 0, 0), ("turn", 0, 0, 0)])
    @example([("start", 0, 0, 0), ("turn", 0, 0, 0), ("dispatch", 0, 0, 7), ("request", 1, 0, 0)])
    def test_one_model(self, directory: Path, steps: list[tuple[str, int, int, int]]) -> None:
        """Whatever clients do, and however late each plane hears of the other."""
        world = World(directory)
        try:
            for step in steps:
                world.step(*step)
            world.settle()
            world.compare()
            world.end()
        finally:
            world.close()

    def test_quick_while_another_is_started(self, directory: Path) -> None:
        """A slow start keeps only its own name from the data plane."""
        world = World(directory)
        try:
            world.clients[0].call("StartServiceByName", "su", NAMES[0], 0)
            world.settle()
            world.kinds.clear()
            world.clients[1].call("RequestName", "su", NAMES[1], 0)
            world.clients[1].call("RequestName", "su", NAMES[0], 0)
            world.settle()
            assert world.kinds == [EventKind.NAMED, EventKind.CALL]
            assert world.clients[1].answers() == [PRIMARY_OWNER, PRIMARY_OWNER]
            world.clients[1].call("ReleaseName", "s", NAMES[0])
            world.settle()
            assert world.kinds[2:] == [EventKind.RELEASED]
            assert world.clients[1].answers()[2:] == [RELEASED]
        finally:
            world.close()
