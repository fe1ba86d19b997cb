"""What two hosts say to one another, packet by packet: greetings, loss in each state, what no link sends."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest

from omnibus.link import config, flow, message
from omnibus.link.counters import Counters
from omnibus.link.flow import GONE, HEAD, HELLO, MESSAGE, NAMES, RECORD, RULES, Flow

BUS = """
[bus.a]
address = "unix:path=/a"
user = { b = 70000 }
limits = { max_message = 65536, queue = 1048576 }
[zenoh]
listen = ["tcp/127.0.0.1:7447"]
"""


class Peer:
    """What a flow tells a peer, as text, and the state that it asks for."""

    def __init__(self) -> None:
        self.bus = config.parse(BUS, "flow.toml").bus["a"]
        self.host = "b"
        self.counters = Counters()
        self.is_paused = False
        self.heard: list[tuple[Any, ...]] = []

    def begin(self, remote: Flow) -> None:
        self.heard.append(("begin",))

    def end(self) -> None:
        self.heard.append(("end",))

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def take(self, source: bytes, destination: bytes, frame: message.Frame, reply_serial: int) -> None:
        member = message.text(frame.member, frame.member_size)
        self.heard.append(("take", source, destination, member, frame.type, reply_serial))

    def refuse(self, source: bytes, destination: bytes, reply_serial: int, name: str, why: str) -> None:
        self.heard.append(("refuse", source, destination, reply_serial, name))

    def take_names(self, names: dict[bytes, frozenset[str]]) -> None:
        self.heard.append(("names", names))

    def take_rules(self, client: bytes, wanted: object) -> None:
        self.heard.append(("rules", client, wanted))

    def take_gone(self, client: bytes) -> None:
        self.heard.append(("gone", client))


class Lane:
    """Packets that were sent, until a test hands them over."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_open = False
        self._changed = asyncio.Event()

    def send(self, packet: bytes, is_alone: bool = False) -> None:
        self.sent.append(packet)
        self._changed.set()

    async def until(self, count: int) -> None:
        """Wait until that many packets were sent."""
        while len(self.sent) < count:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 20)

    def clear(self) -> None:
        self.sent.clear()

    def open(self) -> None:
        self.is_open = True

    def shut(self) -> None:
        self.is_open = False


class End:
    """A flow with its surroundings."""

    def __init__(self, lease: float = 60.0) -> None:
        self.peer, self.lane, self.log = Peer(), Lane(), list[str]()
        self.flow = Flow(self.peer, self.lane, self.log.append, lease)  # type: ignore[arg-type]

    def packets(self) -> list[bytes]:
        """Packets up to now; they count as sent."""
        self.flow.flush()
        sent, self.lane.sent = self.lane.sent, []
        return sent

    def call(self, size: int = 0, member: str = "Read", serial: int = 1) -> None:
        fields = {message.PATH: "/x", message.MEMBER: member}
        held = message.Held(message.make(message.CALL, serial, fields, "x" * size))
        self.flow.take(b":1.1", b"org.example.Name", held.frame, 0)


def hand_over(one: End, two: End) -> None:
    for packet in one.packets():
        two.flow.receive(packet)


def link(one: End, two: End) -> None:
    for end in (one, two):
        end.flow.set_there(True)
    for _ in range(3):
        hand_over(one, two)
        hand_over(two, one)
    assert one.flow.is_up and two.flow.is_up


@pytest.fixture
async def ends() -> Any:
    found = End(), End()
    yield found
    for end in found:
        end.flow.close()


@pytest.fixture
async def linked(ends: tuple[End, End]) -> tuple[End, End]:
    link(*ends)
    for end in ends:
        end.packets()
        end.peer.heard.clear()
    return ends


class TestGreeting:
    """Both hosts know of one another before anything else is said."""

    async def test_linked_once(self, ends: tuple[End, End]) -> None:
        link(*ends)
        assert [end.peer.heard for end in ends] == [[("begin",)], [("begin",)]]
        assert [end.log for end in ends] == [["linked with b"]] * 2

    async def test_the_first_greetings_are_lost(
        self, ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(flow, "GREETING_DELAY", 0.001)
        one, two = ends
        one.flow.set_there(True)
        await one.lane.until(3)
        one.packets()
        link(one, two)

    @pytest.mark.parametrize("lost", range(6))
    async def test_each_packet_of_it_may_be_lost(
        self, ends: tuple[End, End], lost: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the packet goes the host: the token ends, and comes back."""
        one, two = ends
        number = 0
        one.flow.set_there(True)
        two.flow.set_there(True)
        for sender, receiver in ((one, two), (two, one)) * 2:
            for packet in sender.packets():
                if number == lost:
                    for end in ends:
                        end.flow.set_there(False)
                        end.flow.set_there(True)
                    break
                receiver.flow.receive(packet)
                number += 1
        link(one, two)
        for end in ends:
            end.packets()
        one.call()
        hand_over(one, two)
        assert two.peer.heard[-1][0] == "take"

    async def test_nothing_is_said_before(self, ends: tuple[End, End]) -> None:
        one, two = ends
        one.flow.set_there(True)
        one.packets()
        one.call()
        one.flow.take_gone(b":1.1")
        assert one.packets() == []
        two.flow.receive(HEAD.pack(1, 0, 0) + record(GONE, b'":1.1"'))
        assert two.peer.heard == []

    @pytest.mark.parametrize("greeting", [(2, 0, 1 << 20), (1, 0, 0)])
    async def test_of_another_kind(self, ends: tuple[End, End], greeting: tuple[int, int, int]) -> None:
        one, _ = ends
        one.flow.set_there(True)
        one.flow.receive(HEAD.pack(7, 0, 0) + record(HELLO, flow.GREETING.pack(*greeting)))
        assert not one.flow.is_up and not one.lane.is_open
        assert one.peer.counters.violations == 1
        assert one.log == [one.log[0]] and one.log[0].startswith("b is not linked: ")


class TestEpochs:
    """What belongs to another life of a host is nothing."""

    async def test_a_host_begins_anew(self, linked: tuple[End, End]) -> None:
        """It never gets a reply to a call of the one before it."""
        one, two = linked
        one.call()
        hand_over(one, two)
        reply = message.Held(message.make(message.RETURN, 5, {message.REPLY_SERIAL: 1}))
        two.flow.take(b"org.example.Name", b":1.1", reply.frame, 1)
        late = two.packets()
        new = End()
        new.flow.set_there(True)
        for packet in late:
            new.flow.receive(packet)
        hand_over(new, two)
        assert two.peer.heard[-1] == ("end",)
        for packet in late:
            new.flow.receive(packet)
        assert new.peer.heard == []
        for _ in range(2):
            hand_over(two, new)
            hand_over(new, two)
        for packet in late:
            new.flow.receive(packet)
        assert (new.peer.heard, two.peer.heard[-1]) == ([("begin",)], ("begin",))
        new.flow.close()

    async def test_a_host_begins_anew_all_the_time(self, linked: tuple[End, End]) -> None:
        """Once at once, then once a second: neither the log nor the bus is kept busy."""
        _, two = linked
        for epoch in range(1, 100):
            for mine in (0, two.flow._mine):
                greeting = flow.GREETING.pack(flow.VERSION, mine, 1 << 20)
                two.flow.receive(HEAD.pack(epoch, 0, 0) + record(HELLO, greeting))
        assert len(two.log) < 6

    async def test_the_host_goes(self, linked: tuple[End, End]) -> None:
        one, two = linked
        one.flow.set_there(False)
        assert one.peer.heard == [("end",)]
        assert one.log[-1] == "b is lost: it is gone"
        two.call()
        hand_over(two, one)
        assert one.peer.heard == [("end",)]

    async def test_one_side_alone_loses_the_other(self, linked: tuple[End, End]) -> None:
        one, two = linked
        one.flow.set_there(False)
        one.flow.set_there(True)
        for _ in range(3):
            hand_over(one, two)
            hand_over(two, one)
        assert two.peer.heard == [("end",), ("begin",)]
        assert one.flow.is_up and two.flow.is_up

    @pytest.mark.parametrize("twice", [False, True])
    async def test_a_packet_is_missing_or_comes_twice(
        self, linked: tuple[End, End], twice: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(flow, "RELINK_DELAY", 0.001)
        one, two = linked
        one.call(member="First")
        first = one.packets()
        one.call(member="Second")
        second = one.packets()
        for packet in [*first, *first] if twice else second:
            two.flow.receive(packet)
        assert two.peer.heard[-1] == ("end",)
        assert len([heard for heard in two.peer.heard if heard[0] == "take"]) == twice
        assert not two.flow.is_up
        await two.lane.until(1)
        for _ in range(3):
            hand_over(two, one)
            hand_over(one, two)
        assert one.flow.is_up and two.flow.is_up


class TestLease:
    """A host that is silent is lost; one that has nothing to say is not silent."""

    LEASE = 0.2  # seconds

    async def test_silence(self) -> None:
        one, two = End(self.LEASE), End()
        link(one, two)
        one.packets()
        one.lane.is_open = True
        begin = asyncio.get_running_loop().time()
        ended = asyncio.Event()
        one.peer.end = ended.set  # type: ignore[method-assign]
        await asyncio.wait_for(ended.wait(), 20)
        assert one.log[-1] == "b is lost: it is silent"
        assert asyncio.get_running_loop().time() - begin >= self.LEASE / 2
        one.flow.close()
        two.flow.close()

    async def test_nothing_to_say(self) -> None:
        one, two = End(self.LEASE), End(self.LEASE)
        link(one, two)
        end = asyncio.get_running_loop().time() + 3 * self.LEASE
        while asyncio.get_running_loop().time() < end:
            await asyncio.wait({asyncio.ensure_future(one.lane.until(1))}, timeout=self.LEASE)
            hand_over(one, two)
            hand_over(two, one)
        assert one.flow.is_up and two.flow.is_up
        one.flow.close()
        two.flow.close()


class TestMessages:
    """Records arrive as they were said, in their order."""

    async def test_order(self, linked: tuple[End, End]) -> None:
        one, two = linked
        one.flow.take_names({b":1.1": frozenset({"org.example.A"})})
        one.flow.take_rules(b":1.2", frozenset({("org.example.B", frozenset({("member", "x'\n")}))}))
        one.call(member="Now")
        one.flow.take_gone(b":1.2")
        (packet,) = one.packets()
        two.flow.receive(packet)
        assert two.peer.heard == [
            ("names", {b":1.1": frozenset({"org.example.A"})}),
            ("rules", b":1.2", frozenset({("org.example.B", frozenset({("member", "x'\n")}))})),
            ("take", b":1.1", b"org.example.Name", b"Now", message.CALL, 0),
            ("gone", b":1.2"),
        ]

    async def test_a_call_that_is_larger_here(self, linked: tuple[End, End]) -> None:
        """The limits of both hosts may differ: the caller is told."""
        one, two = linked
        one.call(size=70_000, serial=9)
        hand_over(one, two)
        assert two.peer.heard[-1][:4] == ("refuse", b"org.example.Name", b":1.1", 9)

    async def test_a_reply_that_is_larger_here(self, linked: tuple[End, End]) -> None:
        one, two = linked
        held = message.Held(message.make(message.RETURN, 1, {message.REPLY_SERIAL: 9}, "x" * 70_000))
        one.flow.take(b":1.1", b":1.2", held.frame, 9)
        hand_over(one, two)
        assert two.peer.heard[-1] == ("take", b":1.1", b":1.2", b"", message.ERROR, 9)
        assert one.flow.is_up and two.flow.is_up


class TestWindow:
    """No more is under way than there is room for."""

    async def test_paused_and_resumed(self, linked: tuple[End, End]) -> None:
        one, two = linked
        for _ in range(5):
            one.call(size=60_000)
        assert one.peer.is_paused
        for packet in one.packets():
            two.flow.receive(packet)
        hand_over(two, one)
        assert not one.peer.is_paused
        assert one.flow.under_way < 60_000

    async def test_a_window_beyond_all_bounds(self, ends: tuple[End, End]) -> None:
        """No more waits here than this host has room for, whatever the other one says that it takes."""
        one, _ = ends
        one.flow.set_there(True)
        for greeting in ((flow.VERSION, 0, (1 << 32) - 1), (flow.VERSION, one.flow._mine, (1 << 32) - 1)):
            one.flow.receive(HEAD.pack(7, 0, 0) + record(HELLO, flow.GREETING.pack(*greeting)))
        assert one.flow.is_up
        while not one.peer.is_paused:
            one.call(size=60_000)
            assert one.flow.under_way <= one.peer.bus.limits.queue + 65536

    async def test_rules_that_are_never_taken(self, linked: tuple[End, End]) -> None:
        """All but messages is said in spite of the pause, up to a limit."""
        one, _ = linked
        rules = frozenset({("org.example.B", frozenset({("member", "x" * 1000)}))})
        while one.flow.under_way < 1_000_000:
            one.flow.take_rules(b":1.2", rules)
        await asyncio.sleep(0)
        assert one.peer.heard == [("end",)]
        assert one.log[-1] == "b is lost: it does not take what is sent"


def record(kind: bytes, data: bytes) -> bytes:
    return RECORD.pack(kind, len(data)) + data


def call_bytes(**changes: str) -> bytes:
    fields: dict[int, message.Field] = {message.PATH: "/x", message.MEMBER: "M"}
    if changes.get("destination", "x"):
        fields[message.DESTINATION] = changes.get("destination", "org.example.Name")
    if changes.get("sender", "x"):
        fields[7] = changes.get("sender", ":1.1")
    return message.make(message.CALL, 1, fields)


class TestViolations:
    """What no link sends ends the link, and nothing of it is believed."""

    @pytest.mark.parametrize(
        "records",
        [
            pytest.param(record(b"X", b""), id="kind"),
            pytest.param(b"M\0\0", id="no-length"),
            pytest.param(RECORD.pack(MESSAGE, 1 << 31) + b"x", id="no-end"),
            pytest.param(record(MESSAGE, b""), id="empty-message"),
            pytest.param(record(MESSAGE, call_bytes()[:-1]), id="cut-message"),
            pytest.param(record(MESSAGE, call_bytes() + b"x"), id="longer-message"),
            pytest.param(record(MESSAGE, b"x" + call_bytes()[1:]), id="byte-order"),
            pytest.param(record(MESSAGE, call_bytes(sender="")), id="no-sender"),
            pytest.param(record(MESSAGE, call_bytes(destination="")), id="no-destination"),
            pytest.param(record(MESSAGE, call_bytes(sender="a\nb.c")), id="sender"),
            pytest.param(record(NAMES, b"{"), id="no-json"),
            pytest.param(record(NAMES, b'{":1.1": ["noname"]}'), id="name"),
            pytest.param(record(NAMES, b'{":1.1\\n": ["a.b"]}'), id="id"),
            pytest.param(record(NAMES, b"[" * 100_000), id="depth"),
            pytest.param(record(RULES, b'[":1.1", [["a.b", [["member", "\\u0000"]]]]]'), id="nul"),
            pytest.param(record(RULES, b'[":1.1", [["a.b", [["member"]]]]]'), id="pair"),
            pytest.param(record(GONE, b"1"), id="gone"),
        ],
    )
    async def test_records(self, linked: tuple[End, End], records: bytes) -> None:
        one, two = linked
        head = HEAD.pack(one.flow._mine, 0, 0)
        two.flow.receive(head + records)
        assert two.peer.heard == [("end",)]
        assert two.peer.counters.violations == 1
        assert not two.lane.is_open
        assert "\n" not in two.log[-1]

    async def test_nothing_behind_it_is_handled(self, linked: tuple[End, End]) -> None:
        one, two = linked
        head = HEAD.pack(one.flow._mine, 0, 0)
        two.flow.receive(head + record(b"X", b"") + record(MESSAGE, call_bytes()))
        assert two.peer.heard == [("end",)]

    @pytest.mark.parametrize("size", [0, 1, HEAD.size - 1])
    async def test_short_packets(self, linked: tuple[End, End], size: int) -> None:
        _, two = linked
        two.flow.receive(b"H" * size)
        assert two.peer.counters.violations == 1

    async def test_more_is_acknowledged_than_was_sent(self, linked: tuple[End, End]) -> None:
        one, two = linked
        two.flow.receive(struct.pack("<QQQ", one.flow._mine, 0, 1))
        assert two.peer.counters.violations == 1

    async def test_too_much(self, linked: tuple[End, End]) -> None:
        _, two = linked
        two.flow.fail("it has sent more than there was room for", True)
        assert (two.peer.counters.violations, two.lane.is_open) == (1, False)
        assert two.peer.heard == [("end",)]
