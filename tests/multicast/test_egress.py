"""Messages that members send: the programs of filter_compile_egress, against a model and the relay."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.message import BIG, Field, Type, frame

from . import bpf, filters, model, relay_reading, strategies
from .filters import Flow, Program
from .relay_reading import Relay

ANY_TYPE = 0b11110
EXAMPLES = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def says(programs: Sequence[Program], message: bytes, mark: int = 0) -> int | None:
    """Return the verdict; None: ask."""
    verdict = filters.judge(programs, message, mark)
    return None if verdict >> 28 in (0, 15) else verdict


def compiled(flows: Sequence[Flow], **settings: object) -> list[Program]:
    programs = filters.egress(flows, **settings)  # type: ignore[arg-type]
    for program in programs:
        bpf.check(program)
    return programs


class TestModel:
    """The filters' verdicts are the model's."""

    @EXAMPLES
    @given(st.data(), strategies.orders, st.lists(strategies.flows, max_size=12), st.booleans())
    def test_all_messages(self, data: st.DataObject, order: str, flows: list[Flow], broadcasts: bool) -> None:
        big_endian = order == BIG
        programs = compiled(flows, big_endian=big_endian, broadcasts=broadcasts)
        for message in data.draw(st.lists(strategies.anything(order), min_size=1, max_size=6)):
            right = model.egress(
                message, flows, big_endian=big_endian, broadcasts=broadcasts, max_size=filters.MAX_SIZE
            )
            assert says(programs, message) in (right or {None})

    @EXAMPLES
    @given(st.data(), strategies.orders)
    def test_plain_messages_of_an_open_flow_go_directly(self, data: st.DataObject, order: str) -> None:
        flows = [Flow(name.encode(), 7, ANY_TYPE) for name in strategies.DESTINATIONS]
        programs = compiled(flows, big_endian=order == BIG)
        verdict = says(programs, data.draw(strategies.messages(order)))
        assert verdict is not None


class TestRelay:
    """The relay would accept every message that goes directly, and parses it alike."""

    @EXAMPLES
    @given(data=st.data(), order=strategies.orders, flows=st.lists(strategies.flows, max_size=6))
    def test_all_messages(self, relay: Relay, data: st.DataObject, order: str, flows: list[Flow]) -> None:
        # One flow for each destination, so that valid messages get a verdict.
        open_flows = [Flow(name.encode(), 99, ANY_TYPE) for name in strategies.DESTINATIONS]
        programs = compiled([*flows, *open_flows], big_endian=order == BIG)
        for message in data.draw(st.lists(strategies.anything(order), min_size=1, max_size=6)):
            verdict = says(programs, message)
            if verdict is None:
                continue
            reading = relay.read(message)
            assert reading.judgement != relay_reading.WRONG
            if reading.judgement == relay_reading.RIGHT:
                self.compare(verdict, reading, message, [*flows, *open_flows])

    def compare(
        self, verdict: int, reading: relay_reading.Reading, message: bytes, flows: Sequence[Flow]
    ) -> None:
        assert not reading.rewrite
        assert reading.n_fds == 0
        assert reading.big_endian == bool(verdict & filters.BIG_ENDIAN)
        if verdict & 0xF0000000 == filters.MULTICAST:
            assert (reading.type, reading.destination) == (Type.SIGNAL, None)
            return
        assert verdict & 0xF0000000 == filters.UNICAST
        assert verdict & 0x3FFF in {flow.index for flow in flows if self.opens(flow, reading)}
        is_reply = reading.type in (Type.METHOD_RETURN, Type.ERROR)
        expects = reading.type == Type.METHOD_CALL and not reading.flags & 1
        assert (bool(verdict & filters.REPLY), bool(verdict & filters.CALL)) == (is_reply, expects)
        offset = 4 * (verdict >> 14 & 0x3FF)
        key = int.from_bytes(message[offset : offset + 4], "big" if reading.big_endian else "little")
        if is_reply or expects:
            assert key == (reading.reply_serial if is_reply else reading.serial)
        else:
            assert offset == 0

    def opens(self, flow: Flow, reading: relay_reading.Reading) -> bool:
        texts = (
            (flow.destination, reading.destination),
            (flow.path, reading.path),
            (flow.interface, reading.interface),
            (flow.member, reading.member),
            (flow.error_name, reading.error_name),
        )
        return bool(flow.types & 1 << reading.type) and all(
            wanted is None or wanted == text for wanted, text in texts
        )


CALL = [(Field.PATH, "o", "/a"), (Field.DESTINATION, "s", ":1.1"), (Field.MEMBER, "s", "Get")]
OPEN = [Flow(b":1.1", 5, ANY_TYPE)]


class TestLimits:
    """Messages that no filter lets pass, and the limits."""

    def test_size(self) -> None:
        fields = [*CALL, (Field.SIGNATURE, "g", "ay")]
        small, large = frame(fields, bytes(100)), frame(fields, bytes(101))
        programs = compiled(OPEN, max_size=len(small))
        assert says(programs, small) is not None
        assert says(programs, large) is None

    def test_the_largest_message_is_within_the_kernels_limit(self) -> None:
        fields = [*CALL, (Field.SIGNATURE, "g", "ay")]
        empty = frame(fields, b"")
        programs = compiled(OPEN, max_size=1 << 20)
        assert says(programs, frame(fields, bytes(65536 - len(empty)))) is not None
        assert says(programs, frame(fields, bytes(65537 - len(empty)))) is None

    def test_lengths_that_wrap(self) -> None:
        """The sum of the lengths is valid modulo 2^32."""
        whole = frame(CALL)
        fields_length = len(whole) - 16
        for fields_wrong, body_wrong in ((0x10000, -0x10000), (0xFFFFFFF8, 8 - fields_length)):
            wrong = frame(
                CALL,
                fields_length=(fields_length + fields_wrong) & 0xFFFFFFFF,
                body_length=body_wrong & 0xFFFFFFFF,
            )
            assert says(compiled(OPEN), wrong) is None
        assert says(compiled(OPEN), whole) is not None

    def test_an_empty_array_of_fields(self) -> None:
        assert says(compiled(OPEN), frame([])) is None
        assert says(compiled(OPEN), b"") is None

    def test_two_messages_at_once(self) -> None:
        assert says(compiled(OPEN), frame(CALL) * 2) is None

    def test_the_other_byte_order(self) -> None:
        assert says(compiled(OPEN), frame(CALL, order=BIG)) is None
        assert says(compiled(OPEN, big_endian=True), frame(CALL)) is None

    def test_seven_fields(self) -> None:
        six = [*CALL[:2], (2, "s", "a.b"), (3, "s", "Get"), (4, "s", "a.b"), (5, "u", 1)]
        assert says(compiled(OPEN), frame(six, type=Type.ERROR)) is not None
        seven = [*six, (Field.SIGNATURE, "g", "")]
        assert says(compiled(OPEN), frame(seven, type=Type.ERROR)) is None

    def test_fields_beyond_the_noted_offsets(self) -> None:
        """The first filter notes a field's offset in seven bits."""
        texts = [(1, "o", "/" + "a" * 254), (2, "s", "a." + "b" * 253), (3, "s", "c" * 255)]
        far, near = [*texts, (8, "g", "y" * 255), CALL[1]], [CALL[1], *texts, (8, "g", "y" * 255)]
        assert says(compiled(OPEN), frame(near, bytes(255))) is not None
        assert says(compiled(OPEN), frame(far, bytes(255))) is None

    def test_fields_that_are_not_noted(self) -> None:
        """A reply may have a path, but flows don't see it."""
        reply = frame([CALL[0], CALL[1], (5, "u", 1)], type=Type.METHOD_RETURN)
        assert says(compiled(OPEN), reply) is not None
        assert says(compiled([Flow(b":1.1", 5, ANY_TYPE, path=b"/a")]), reply) is None

    def test_no_flow(self) -> None:
        assert says(compiled([]), frame(CALL)) is None

    def test_neither_flows_nor_broadcasts(self) -> None:
        assert compiled([], broadcasts=False) == [[bpf.Instruction(bpf.RET, 0, 0, filters.ASK)]]

    def test_equal_flows_take_the_room_of_one(self) -> None:
        """Any number of equal flows takes no more room than one."""
        assert compiled([*OPEN * 5, Flow(b":1.1", 6, 2), Flow(b":1.1", 6, 0)]) == compiled(OPEN)

    def test_a_text_in_place_of_a_missing_field(self) -> None:
        """The fixed part contains the text, at the place where the field would be."""
        message = frame(
            [*CALL, (Field.SIGNATURE, "g", "yyy")], b"123", serial=int.from_bytes(b"a.b\0", "little")
        )
        assert message[4:12] == b"\3\0\0\0a.b\0"
        assert says(compiled(OPEN), message) is not None
        assert says(compiled([Flow(b":1.1", 5, ANY_TYPE, interface=b"a.b")]), message) is None

    def test_flows_of_other_types(self) -> None:
        programs = compiled(
            [Flow(b":1.1", 1, 1 << Type.METHOD_RETURN), Flow(b":1.1", 2, 1 << Type.METHOD_CALL)]
        )
        assert says(programs, frame(CALL)) == filters.UNICAST | filters.CALL | 2 << 14 | 2
        assert says(programs, frame(CALL, type=Type.SIGNAL)) is None

    def test_flows_without_possible_messages(self) -> None:
        impossible = [
            Flow(None, 1, ANY_TYPE),
            Flow(b"", 1, ANY_TYPE),
            Flow(b":1.1", 0x4000, ANY_TYPE),
            Flow(b":1.1", 1, ANY_TYPE, member=b""),
            Flow(b":1.1", 1, ANY_TYPE, path=b"/" * 256),
        ]
        assert compiled(impossible) == compiled([])


class TestChain:
    """Flows that do not fit 4,096 instructions are spread over several programs."""

    def test_each_flow_is_found(self) -> None:
        flows = [
            Flow(
                b":1.%d" % (n // 4), n, 1 << Type.METHOD_CALL, b"/org/example/%d" % n, b"org.example.I", b"M"
            )
            for n in range(400)
        ]
        programs = compiled(flows)
        assert len(programs) > 1
        for flow in flows:
            assert flow.destination and flow.path
            fields = [
                (1, "o", flow.path),
                (2, "s", b"org.example.I"),
                (3, "s", b"M"),
                (6, "s", flow.destination),
            ]
            assert says(programs, frame(fields)) == filters.UNICAST | filters.CALL | 2 << 14 | flow.index
        elsewhere = [(1, "o", b"/org/example/400"), *fields[1:]]
        assert says(programs, frame(elsewhere)) is None
