"""Packets of a host that was taken over: whatever is in them, it loses its own link at most."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from omnibus.link import flow, message
from omnibus.link.flow import GONE, HEAD, HELLO, MESSAGE, NAMES, RECORD, RULES

from .test_flow import End, link, record

CALL = message.make(
    message.CALL, 1, {message.PATH: "/x", message.MEMBER: "M", message.DESTINATION: "a.b", 7: ":1.1"}
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from((":1.1", "a.b")),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from((":1.1", "a.b", "")), inner),
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message with some bytes changed, and cut or longer."""
    data = bytearray(CALL)
    for at in draw(st.lists(st.integers(0, len(data) - 1), max_size=4)):
        data[at] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@st.composite
def records(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from((NAMES, RULES, GONE, MESSAGE, b"X")))
    if kind == MESSAGE:
        data = draw(messages())
    else:
        data = draw(st.binary(max_size=40) | JSON.map(lambda value: flow.json.dumps(value).encode()))
    size = draw(st.sampled_from((len(data), len(data), len(data), 0, len(data) + 1, (1 << 32) - 1)))
    return bytes(RECORD.pack(kind, size) + data)


@st.composite
def packets(draw: st.DrawFn) -> tuple[str, int, int, bytes]:
    """Which epoch, how far from the right number and count, and what follows."""
    greeting = st.tuples(st.sampled_from((flow.VERSION, 9)), st.booleans(), st.integers(0, (1 << 32) - 1))
    if draw(st.integers(0, 9)) == 0:
        return ("greeting", 0, 0, flow.json.dumps(draw(greeting)).encode())
    off = st.sampled_from((0, 0, 0, 0, 1, (1 << 64) - 1))
    whole = draw(st.lists(records(), max_size=4).map(b"".join) | st.binary(max_size=60))
    return (draw(st.sampled_from(("mine", "mine", "mine", "other"))), draw(off), draw(off), whole)


def bytes_of(packet: tuple[str, int, int, bytes], one: End, two: End) -> bytes:
    """The packet at this state of a link from ``one`` to ``two``."""
    epoch, number, count, data = packet
    if epoch == "greeting":
        version, knows, window = flow.json.loads(data)
        text = flow.GREETING.pack(version, two.flow._mine if knows else 1, window)
        return HEAD.pack(number + 5, 0, 0) + record(HELLO, text)
    return (
        HEAD.pack(
            one.flow._mine if epoch == "mine" else 3,
            (two.flow._taken_packets + number) % (1 << 64),
            (two.flow._acknowledged + count) % (1 << 64),
        )
        + data
    )


def is_sane(two: End) -> bool:
    """What the peer is told comes between a beginning and an end, which alternate."""
    is_up = False
    told: tuple[Any, ...]
    for told in two.peer.heard:
        if told[0] in ("begin", "end"):
            if is_up == (told[0] == "begin"):
                return False
            is_up = not is_up
        elif not is_up:
            return False
    return is_up == two.flow.is_up


@settings(deadline=None, max_examples=300)
@given(st.lists(packets(), min_size=1, max_size=12))
def test_any_packets(given_packets: list[tuple[str, int, int, bytes]]) -> None:
    """No exception leaves the flow, nothing is believed outside a link, and the log stays short."""

    async def run() -> None:
        one, two = End(), End()
        link(one, two)
        for packet in given_packets:
            two.flow.receive(bytes_of(packet, one, two))
        assert is_sane(two)
        assert len(two.log) < 8
        for end in (one, two):
            end.flow.close()

    asyncio.run(run())
