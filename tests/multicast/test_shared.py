"""The filter that all members share: the programs of filter_compile_shared, against a model and the relay."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.message import BIG, LITTLE, Field, Type, frame

from . import bpf, filters, model, relay_reading, strategies
from .relay_reading import Relay

EXAMPLES = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="it is for messages in the host's order")
PROGRAMS = filters.shared()


def says(message: bytes, programs: list[filters.Program] = PROGRAMS) -> int | None:
    """Return the verdict; None: ask."""
    verdict = filters.judge(programs, message)
    return None if verdict >> 28 in (0, 15) else verdict


def name_at(message: bytes, verdict: int) -> bytes:
    """Return the name that the kernel finds."""
    at = 4 * (verdict & filters.NAME_MASK)
    size = int.from_bytes(message[at : at + 4], "little")
    return message[at + 4 : at + 4 + size]


class TestModel:
    """The filter's verdicts are the model's."""

    def test_the_kernel_takes_it(self) -> None:
        for program in PROGRAMS:
            bpf.check(program)

    @EXAMPLES
    @given(st.data(), strategies.orders)
    def test_all_messages(self, data: st.DataObject, order: str) -> None:
        for message in data.draw(st.lists(strategies.anything(order), min_size=1, max_size=6)):
            assert says(message) == model.shared(message, filters.MAX_SIZE)

    @EXAMPLES
    @given(strategies.messages(LITTLE))
    def test_plain_messages_go_directly(self, message: bytes) -> None:
        assert says(message) is not None

    @EXAMPLES
    @given(strategies.messages(BIG))
    def test_the_other_byte_order_asks(self, message: bytes) -> None:
        assert says(message) is None


class TestRelay:
    """The relay would accept every message that goes directly, and send it to the same name."""

    @EXAMPLES
    @given(data=st.data())
    def test_all_messages(self, relay: Relay, data: st.DataObject) -> None:
        for message in data.draw(st.lists(strategies.anything(LITTLE), min_size=1, max_size=6)):
            verdict = says(message)
            if verdict is None:
                continue
            reading = relay.read(message)
            assert reading.judgement != relay_reading.WRONG
            if reading.judgement != relay_reading.RIGHT:
                continue
            if verdict & 0xF0000000 == filters.MULTICAST:
                assert (reading.type, reading.destination) == (Type.SIGNAL, None)
                continue
            assert verdict & 0xF0000000 == filters.NAMED
            assert name_at(message, verdict) == reading.destination
            assert model.TOPICS[verdict >> filters.TOPIC_SHIFT & 3] == reading.type
            is_reply = reading.type in (Type.METHOD_RETURN, Type.ERROR)
            expects = reading.type == Type.METHOD_CALL and not reading.flags & 1
            assert (bool(verdict & filters.REPLY), bool(verdict & filters.CALL)) == (is_reply, expects)


class TestLimits:
    """The limit of a message, and names that are far behind."""

    CALL = ((Field.PATH, "o", "/a"), (Field.DESTINATION, "s", ":1.1"), (Field.MEMBER, "s", "Get"))

    def test_size(self) -> None:
        fields = [*self.CALL, (Field.SIGNATURE, "g", "ay")]
        small, large = frame(fields, bytes(100)), frame(fields, bytes(101))
        programs = filters.shared(len(small))
        assert says(small, programs) is not None
        assert says(large, programs) is None

    def test_a_name_behind_long_texts(self) -> None:
        texts = [(1, "o", "/" + "a" * 254), (2, "s", "a." + "b" * 253), (3, "s", "c" * 255)]
        message = frame([*texts, self.CALL[1]])
        verdict = says(message)
        assert verdict is not None
        assert name_at(message, verdict) == b":1.1"
