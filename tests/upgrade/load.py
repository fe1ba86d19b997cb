"""Load that notices everything: each call, signal and descriptor comes once, in order, and from who sent it.

    python3 load.py ADDRESS PAIRS SIGNALLERS CARRIERS IDLE RULES

Callers have one call under way each, to a service by its well-known name; signallers broadcast numbers to a
receiver with a match rule; carriers send descriptors, each with its number written into the file. Idle
clients have match rules, and nothing else. It ends at the end of file of its standard input, and prints a
line of JSON, a ``Result``.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from support.message import HEADER, Message, Type, frame_length
from support.raw import BUS, BUS_PATH, Client, Closed

TICK = 0.002  # seconds between the signals of a signaller
QUIET = 2.0  # seconds without a message after which nothing more is expected
MOST = 120.0  # seconds for what is under way at the end
LATE = 0.005  # seconds from which on a call is noted as one that had to wait


@dataclass
class Result:
    """What was sent, and what came.

    ``late``: of each call that had to wait when its reply came, by time.monotonic(), and for how many
    seconds it waited; ``longest`` is the longest of these.
    """

    connections: int = 0
    calls: int = 0
    replies: int = 0
    errors: int = 0
    signals: int = 0
    signals_received: int = 0
    descriptors: int = 0
    descriptors_received: int = 0
    wrong: int = 0
    cut_off: int = 0
    longest: float = 0.0
    late: list[tuple[float, float]] = field(default_factory=list)

    @property
    def unanswered(self) -> int:
        return self.calls - self.replies - self.errors

    @property
    def lost(self) -> int:
        sent = self.calls + self.signals + self.descriptors
        return sent - self.replies - self.signals_received - self.descriptors_received


class Load:
    def __init__(self, address: str) -> None:
        self.address = address
        self.result = Result()
        self.poll = select.epoll()
        self.clients: dict[int, tuple[Client, Callable[[Message], None]]] = {}
        self.senders: list[Callable[[], None]] = []
        self.stopped = False

    def connect(self, receive: Callable[[Client, Message], None]) -> Client:
        client = Client(self.address, deadline=120)
        self.result.connections += 1
        self.clients[client.socket.fileno()] = client, lambda message: receive(client, message)
        self.poll.register(client.socket, select.EPOLLIN)
        return client

    def add_pair(self, number: int) -> None:
        name = f"org.omnibus.Load{number}"
        service = self.connect(lambda client, call: self.serve(client, call))
        service.own(name)
        caller = self.connect(lambda client, reply: replied(reply))
        expected = 0
        since = 0.0
        serial = 0

        def call() -> None:
            nonlocal since, serial
            self.result.calls += 1
            since = time.monotonic()
            serial = caller.start_call(name, "Echo", "u", expected)

        def replied(reply: Message) -> None:
            nonlocal expected
            if reply.type not in (Type.METHOD_RETURN, Type.ERROR):
                return
            now = time.monotonic()
            self.result.longest = max(self.result.longest, now - since)
            if now - since > LATE:
                self.result.late.append((now, now - since))
            self.result.errors += reply.type == Type.ERROR
            self.result.replies += reply.type == Type.METHOD_RETURN
            right = reply.reply_serial == serial and (reply.type == Type.ERROR or reply.body == (expected,))
            self.result.wrong += not right
            expected += 1
            if not self.stopped:
                call()

        self.senders.append(call)

    def serve(self, service: Client, call: Message) -> None:
        if call.type == Type.METHOD_CALL:
            service.reply(call, "u", *call.body)

    def add_signaller(self, number: int, ticks: list[Callable[[], None]]) -> None:
        sender = self.connect(lambda client, message: None)
        expected = 0

        def receive(client: Client, message: Message) -> None:
            nonlocal expected
            if message.member == "Tick":
                self.result.wrong += message.body != (expected,) or message.sender != sender.unique
                self.result.signals_received += 1
                expected = message.body[0] + 1

        receiver = self.connect(receive)
        receiver.match(f"type='signal',interface='org.omnibus.Load',sender='{sender.unique}'")
        sent = 0

        def tick() -> None:
            nonlocal sent
            sender.signal("Tick", "u", sent, interface="org.omnibus.Load")
            self.result.signals += 1
            sent += 1

        ticks.append(tick)

    def add_carrier(self, ticks: list[Callable[[], None]]) -> None:
        sender = self.connect(lambda client, message: None)
        expected = 0

        def receive(client: Client, message: Message) -> None:
            nonlocal expected
            if message.member == "Fd":
                (fd,) = message.fds
                right = message.body[1] == expected and os.pread(fd, 20, 0) == b"%d" % expected
                client.kept.remove(fd)
                os.close(fd)
                self.result.wrong += not right
                self.result.descriptors_received += 1
                expected = message.body[1] + 1

        receiver = self.connect(receive)
        sent = 0

        def tick() -> None:
            nonlocal sent
            fd = os.memfd_create("load")
            os.write(fd, b"%d" % sent)
            sender.signal("Fd", "hu", 0, sent, destination=receiver.unique, fds=[fd])
            os.close(fd)
            self.result.descriptors += 1
            sent += 1

        ticks.append(tick)

    def add_idle(self, number: int, rules: int) -> None:
        client = self.connect(lambda client, message: None)
        for rule in range(rules):
            text = f"type='signal',interface='org.omnibus.Idle{number}',member='M{rule}',path='/a/b/c{rule}'"
            client.start_call(
                BUS, "AddMatch", "s", text, path=BUS_PATH, interface=BUS, flags=1
            )  # no reply is expected
        client.driver("GetId")

    def turn(self, timeout: float) -> bool:
        """Handle what has come; return whether anything has."""
        ready = self.poll.poll(timeout)
        for fd, _ in ready:
            if fd not in self.clients:
                continue
            client, receive = self.clients[fd]
            try:
                client.fill(time.monotonic() + 1)
                while (message := next_message(client)) is not None:
                    receive(message)
            except (Closed, OSError):
                self.result.cut_off += 1
                self.poll.unregister(fd)
                del self.clients[fd]
        return bool(ready)

    def run(self, ticks: list[Callable[[], None]]) -> None:
        """Go on until standard input ends, and until all that is under way has come."""
        self.poll.register(0, select.EPOLLIN | select.EPOLLHUP)
        ended = False
        with contextlib.suppress(Closed):
            for send in self.senders:
                send()
            last = 0.0
            while not ended:
                self.turn(TICK)
                ended = bool(select.select([0], [], [], 0)[0])
                if time.monotonic() - last >= TICK:
                    last = time.monotonic()
                    for tick in ticks:
                        tick()
        self.poll.unregister(0)
        self.stopped = True
        end = time.monotonic() + MOST
        quiet = time.monotonic() + QUIET
        while time.monotonic() < end and (self.result.lost > self.result.errors or time.monotonic() < quiet):
            if self.turn(0.05):
                quiet = time.monotonic() + QUIET


def next_message(client: Client) -> Message | None:
    """Take a message that has been received whole."""
    if len(client.buffer) < HEADER:
        return None
    if len(client.buffer) < frame_length(bytes(client.buffer[:HEADER])):
        return None
    return client.read_message(0)


def main() -> None:
    address, *numbers = sys.argv[1:]
    pairs, signallers, carriers, idle, rules = map(int, numbers)
    load = Load(address)
    ticks: list[Callable[[], None]] = []
    for number in range(idle):
        load.add_idle(number, rules)
    for number in range(pairs):
        load.add_pair(number)
    for number in range(signallers):
        load.add_signaller(number, ticks)
    for _ in range(carriers):
        load.add_carrier(ticks)
    print("ready", flush=True)
    load.run(ticks)
    print(json.dumps(asdict(load.result)), flush=True)


if __name__ == "__main__":
    main()
