"""What one connection sends arrives in the order in which it was sent, each message once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from support.message import Type
from support.raw import Client

from .conftest import NAME, Linked

UNDER_WAY = 64
ROUNDS = 100
SIGNALS = 8  # before each reply


@contextmanager
def serving(service: Client, act: Callable[[Client], None]) -> Iterator[None]:
    """Let a service act in a thread; what it raises is raised at the end."""
    faults: list[BaseException] = []

    def run() -> None:
        try:
            act(service)
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if faults:
        raise faults[0]


class TestOrder:
    """64 calls under way, and signals between the replies."""

    def test_signals_before_a_reply_arrive_before_it(self, linked: Linked) -> None:
        """Each reply says how many signals were sent up to then: 51,200 signals and 6,400 replies."""
        service, client = linked.service(), linked.b.connect()
        client.match(f"type='signal',sender='{NAME}',member='Tick'")

        def serve(service: Client) -> None:
            sent = 0
            for _ in range(ROUNDS * UNDER_WAY):
                call = service.take(member="Read")
                for _ in range(SIGNALS):
                    sent += 1
                    service.signal("Tick", "u", sent)
                service.reply(call, "uu", *call.body, sent)

        with serving(service, serve):
            seen, replies, asked = 0, 0, 0
            for _ in range(UNDER_WAY):
                client.start_call(NAME, "Read", "u", asked)
                asked += 1
            while replies < ROUNDS * UNDER_WAY:
                message = client.receive()
                if message.type == Type.SIGNAL:
                    assert message.body == (seen + 1,)
                    seen += 1
                elif message.type == Type.METHOD_RETURN:
                    assert message.body == (replies, seen)
                    replies += 1
                    if asked < ROUNDS * UNDER_WAY:
                        client.start_call(NAME, "Read", "u", asked)
                        asked += 1
        assert seen == ROUNDS * UNDER_WAY * SIGNALS

    def test_a_rule_before_a_call_is_in_force_for_it(self, linked: Linked) -> None:
        """Also if the client does not wait until the bus has added it."""
        service = linked.service()
        for number in range(100):
            client = linked.b.connect()
            rule = f"type='signal',sender='{NAME}',member='M{number}'"
            client.start_call(
                "org.freedesktop.DBus",
                "AddMatch",
                "s",
                rule,
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
            )
            serial = client.start_call(NAME, "Read")
            call = service.take(member="Read")
            service.signal(f"M{number}")
            service.reply(call)
            client.reply_to(serial)
            assert [one.member for one in client.inbox if one.sender == linked.stand_in()] == [f"M{number}"]
            client.close()

    def test_calls_are_made_once(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        total = 1000
        with serving(
            service, lambda one: [one.reply(one.take(member="Count")) for _ in range(total)] and None
        ):
            serials = [client.start_call(NAME, "Count", "u", number) for number in range(total)]
            for serial in serials:
                client.reply_to(serial)
        client.start_call(NAME, "End")
        assert service.receive().member == "End"
