"""A load that notices everything: python3 load.py ADDRESS; it ends, and tells, when its input ends.

Callers have one call under way each, some with a descriptor; signallers send numbers, of which each has to
come once and in order. The exit status is 0 if nothing was lost, doubled, reordered, mixed up or cut off.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from support.raw import Client

PAIRS = 4
SIGNALLERS = 2
FD_EVERY = 10
DEADLINE = 60.0


class Load:
    def __init__(self, address: str) -> None:
        self.address = address
        self.stopping = threading.Event()
        self.calls = self.signals = 0
        self.longest = 0.0
        self.failures: list[str] = []
        self.lock = threading.Lock()
        self.threads: list[threading.Thread] = []

    def client(self) -> Client:
        return Client(self.address, deadline=DEADLINE)

    def start(self, action: Callable[[], None]) -> None:
        def run() -> None:
            try:
                action()
            except BaseException as error:
                self.failures.append(f"{action}: {error!r}")
                self.stopping.set()

        thread = threading.Thread(target=run, daemon=True)
        self.threads.append(thread)
        thread.start()

    def serve(self, service: Client) -> None:
        while True:
            call = service.receive()
            if call.member == "End":
                service.reply(call)
                return
            if call.member != "Echo":
                continue
            if call.fds:
                os.write(call.fds[0], str(call.body[0]).encode())
                service.close_fds()
            service.reply(call, "u", call.body[0])

    def call(self, client: Client, name: str) -> None:
        number = 0
        while not self.stopping.is_set():
            number += 1
            began = time.monotonic()
            if number % FD_EVERY:
                assert client.call(name, "Echo", "u", number).body == (number,)
            else:
                self.call_with_descriptor(client, name, number)
            with self.lock:
                self.calls += 1
                self.longest = max(self.longest, time.monotonic() - began)
        client.call(name, "End")

    def call_with_descriptor(self, client: Client, name: str, number: int) -> None:
        reading, writing = os.pipe()
        try:
            serial = client.start_call(name, "Echo", "uh", number, 0, fds=[writing])
            os.close(writing)
            assert client.reply_to(serial).body == (number,)
            assert os.read(reading, 100) == str(number).encode()
        finally:
            os.close(reading)

    def signal(self, client: Client, member: str) -> None:
        number = 0
        while not self.stopping.is_set():
            number += 1
            client.signal(member, "u", number)
            if number % 20 == 0:
                client.driver("GetId")  # not faster than the bus
        client.signal(member, "u", 0)
        with self.lock:
            self.signals += number

    def listen(self, client: Client, member: str) -> None:
        expected = 1
        while True:
            message = client.receive()
            if message.member == member and message.body == (0,):
                return
            if message.member == member:
                assert message.body == (expected,), f"{message.body} instead of {expected}"
                expected += 1

    def run(self) -> int:
        for number in range(PAIRS):
            service, caller = self.client(), self.client()
            name = f"org.example.Load{number}"
            service.own(name)
            self.start(lambda service=service: self.serve(service))  # type: ignore[misc]
            self.start(lambda caller=caller, name=name: self.call(caller, name))  # type: ignore[misc]
        for number in range(SIGNALLERS):
            receiver, sender = self.client(), self.client()
            member = f"Number{number}"
            receiver.match(f"type='signal',member='{member}'")
            self.start(lambda receiver=receiver, member=member: self.listen(receiver, member))  # type: ignore[misc]
            self.start(lambda sender=sender, member=member: self.signal(sender, member))  # type: ignore[misc]
        print("ready", flush=True)
        sys.stdin.read()
        self.stopping.set()
        for thread in self.threads:
            thread.join(DEADLINE)
        lost = len(self.failures) + sum(thread.is_alive() for thread in self.threads)
        counted = f"{self.calls} calls, {self.signals} signals, longest wait {1000 * self.longest:.0f} ms"
        print(f"{counted}, lost {lost}")
        print(*self.failures, sep="\n", flush=True)
        return int(lost > 0)


if __name__ == "__main__":
    os._exit(Load(sys.argv[1]).run())
