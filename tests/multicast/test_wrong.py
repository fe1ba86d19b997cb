"""Messages with a single error ask. D-Bus specification, "Message Format"."""

from __future__ import annotations

from typing import Any

import pytest

from support.message import BIG, LITTLE, Field, Flag, Type, frame
from support.wire import Writer

from . import filters
from .filters import Flow

PATH, INTERFACE, MEMBER = (1, "o", "/a"), (2, "s", "a.b"), (3, "s", "Get")
ERROR_NAME, REPLY_SERIAL, DESTINATION = (4, "s", "a.b"), (5, "u", 77), (6, "s", ":1.1")
TEXT = (8, "g", "s")
FIELDS: dict[int, list[tuple[int, str, Any]]] = {
    Type.METHOD_CALL: [PATH, MEMBER, DESTINATION],
    Type.METHOD_RETURN: [REPLY_SERIAL, DESTINATION],
    Type.ERROR: [ERROR_NAME, REPLY_SERIAL, DESTINATION],
    Type.SIGNAL: [PATH, INTERFACE, MEMBER, DESTINATION],
}
ORDERS = (LITTLE, BIG)
FLOWS = [Flow(b":1.1", 5, 31)]
PROGRAMS = {order: filters.egress(FLOWS, big_endian=order == BIG) for order in ORDERS}


def passes(message: bytes, order: str) -> bool:
    return filters.judge(PROGRAMS[order], message) >> 28 not in (0, 15)


def built(order: str, fields: list[Any], body: str | None = None, **changes: Any) -> bytes:
    data = b"" if body is None else bytes(Writer(order).write("s", body).data)
    return frame(fields, data, order=order, **changes)


@pytest.fixture(params=ORDERS)
def order(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[pytest.param(kind, id=Type(kind).name) for kind in FIELDS])
def kind(request: pytest.FixtureRequest) -> int:
    return int(request.param)


class TestFixedPart:
    """Byte order, type, flags, version, lengths and serial."""

    def test_right(self, order: str, kind: int) -> None:
        assert passes(built(order, FIELDS[kind], type=kind), order)
        assert passes(built(order, [*FIELDS[kind], TEXT], "abc", type=kind), order)

    @pytest.mark.parametrize("change", [{"serial": 0}, {"version": 0}, {"version": 2}, {"mark": "x"}])
    def test_wrong(self, order: str, kind: int, change: dict[str, Any]) -> None:
        assert not passes(built(order, FIELDS[kind], type=kind, **change), order)

    @pytest.mark.parametrize("wrong", [0, 5, 255])
    def test_type(self, order: str, wrong: int) -> None:
        every = [PATH, INTERFACE, MEMBER, DESTINATION]
        assert not passes(built(order, every, type=wrong), order)

    @pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 0x108, 0x10008, 0x1000008])
    def test_length_of_the_body(self, order: str, length: int) -> None:
        message = built(order, [*FIELDS[1], TEXT], "abc", body_length=length)
        assert passes(message, order) == (length == 8)

    @pytest.mark.parametrize("change", [-8, -1, 1, 8, 0x100, 0x10000, 0x1000000])
    def test_length_of_the_fields(self, order: str, change: int) -> None:
        right = built(order, FIELDS[1])
        length = int.from_bytes(right[12:16], "big" if order == BIG else "little")
        assert not passes(built(order, FIELDS[1], fields_length=length + change), order)

    def test_bytes_behind_it(self, order: str) -> None:
        right = built(order, FIELDS[1])
        assert not passes(right + b"\0", order)
        assert not passes(right + bytes(8), order)
        assert not passes(right[:-8], order)

    def test_expecting_a_reply(self, order: str) -> None:
        for flags in range(8):
            verdict = filters.judge(PROGRAMS[order], built(order, FIELDS[1], flags=flags))
            assert bool(verdict & filters.CALL) == (not flags & Flag.NO_REPLY_EXPECTED)


class TestFields:
    """The fields and their types."""

    def test_required(self, order: str, kind: int) -> None:
        for missing in FIELDS[kind]:
            fields = [one for one in FIELDS[kind] if one != missing]
            expected = kind == Type.SIGNAL and missing == DESTINATION
            assert passes(built(order, fields, type=kind), order) == expected

    def test_forbidden(self, order: str, kind: int) -> None:
        for extra in (ERROR_NAME, REPLY_SERIAL):
            if extra not in FIELDS[kind]:
                assert not passes(built(order, [*FIELDS[kind], extra], type=kind), order)

    def test_allowed(self, order: str, kind: int) -> None:
        for extra in (PATH, INTERFACE, MEMBER, (8, "g", "")):
            if extra not in FIELDS[kind]:
                assert passes(built(order, [*FIELDS[kind], extra], type=kind), order)

    def test_twice(self, order: str, kind: int) -> None:
        for again in FIELDS[kind]:
            assert not passes(built(order, [*FIELDS[kind], again], type=kind), order)
        twice = [*FIELDS[kind], TEXT, TEXT]
        assert not passes(built(order, twice, "abc", type=kind), order)

    @pytest.mark.parametrize(
        "extra",
        [(7, "s", ":1.1"), (9, "u", 0), (10, "o", "/a"), (11, "s", "a"), (0, "s", "a"), (255, "y", 1)],
    )
    def test_removed_or_unknown_fields(self, order: str, kind: int, extra: tuple[int, str, Any]) -> None:
        for fields in ([*FIELDS[kind], extra], [extra, *FIELDS[kind]]):
            assert not passes(built(order, fields, type=kind), order)

    @pytest.mark.parametrize(
        "wrong",
        [
            (1, "s", "/a"),
            (2, "o", "a.b"),
            (3, "o", "Get"),
            (4, "o", "a.b"),
            (5, "i", 77),
            (6, "o", ":1.1"),
            (8, "s", "s"),
            (8, "o", ""),
        ],
    )
    def test_of_another_type(self, order: str, kind: int, wrong: tuple[int, str, Any]) -> None:
        fields = [one for one in FIELDS[kind] if one[0] != wrong[0]]
        assert not passes(built(order, [*fields, wrong], type=kind), order)

    def test_reply_serial_0(self, order: str) -> None:
        for kind in (Type.METHOD_RETURN, Type.ERROR):
            fields = [(5, "u", 0) if one == REPLY_SERIAL else one for one in FIELDS[kind]]
            assert not passes(built(order, fields, type=kind), order)

    def test_a_body_and_its_signature(self, order: str, kind: int) -> None:
        """One without the other."""
        assert not passes(built(order, FIELDS[kind], "abc", type=kind), order)
        assert not passes(built(order, [*FIELDS[kind], (8, "g", "")], "abc", type=kind), order)
        assert not passes(built(order, [*FIELDS[kind], TEXT], type=kind), order)


class TestTexts:
    """Lengths, the NUL behind each, padding, and the few characters that are checked."""

    @pytest.mark.parametrize("length", range(1, 20))
    def test_ends(self, order: str, length: int) -> None:
        """A byte that is not zero, from the NUL to the next multiple of eight."""
        fields = [PATH, DESTINATION, (3, "s", "x" * length)]
        right = built(order, [*fields, TEXT], "abc")
        assert passes(right, order)
        nul = right.index(b"x" * length + b"\0") + length
        for at in range(nul, nul + 8 - nul % 8):
            assert not passes(right[:at] + b"\1" + right[at + 1 :], order)
            assert not passes(right[:at] + b"\x80" + right[at + 1 :], order)

    @pytest.mark.parametrize("length", range(1, 20))
    def test_ends_of_the_last_field(self, order: str, length: int) -> None:
        fields = [PATH, DESTINATION, TEXT, (3, "s", "x" * length)]
        right = built(order, fields, "abc")
        assert passes(right, order)
        nul = right.index(b"x" * length + b"\0") + length
        for at in range(nul, nul + 8 - nul % 8):
            assert not passes(right[:at] + b"\1" + right[at + 1 :], order)

    @pytest.mark.parametrize("length", range(9))
    def test_ends_of_signatures(self, order: str, length: int) -> None:
        signature = (8, "g", "s" * length)
        for fields in ([PATH, signature, DESTINATION, MEMBER], [PATH, DESTINATION, MEMBER, signature]):
            right = built(order, fields, "abc" if length else None)
            assert passes(right, order)
            nul = right.index(b"\x01g\0") + 4 + length
            for at in range(nul, nul + 8 - nul % 8):
                assert not passes(right[:at] + b"\1" + right[at + 1 :], order)

    @pytest.mark.parametrize("field", [1, 2, 3, 6])
    def test_empty(self, order: str, field: int) -> None:
        fields = [(code, kind, "" if code == field else text) for code, kind, text in FIELDS[Type.SIGNAL]]
        assert not passes(built(order, fields, type=Type.SIGNAL), order)

    @pytest.mark.parametrize("change", [0x100, 0x10000, 0x1000000, 0x80000000, 8, -1])
    def test_lengths(self, order: str, change: int) -> None:
        for fields in ([MEMBER, PATH, DESTINATION], [PATH, DESTINATION, MEMBER]):
            data = bytearray(built(order, fields))
            at = data.index(b"Get") - 4
            bytes_of = "big" if order == BIG else "little"
            data[at : at + 4] = (3 + change).to_bytes(4, bytes_of)  # type: ignore[arg-type]
            assert not passes(bytes(data), order)

    @pytest.mark.parametrize(("length", "right"), [(255, True), (256, False), (257, False), (512, False)])
    def test_long_texts(self, order: str, length: int, right: bool) -> None:
        for fields in (
            [(1, "o", "/" * length), MEMBER, DESTINATION],
            [PATH, DESTINATION, (3, "s", "a" * length)],
        ):
            assert passes(built(order, fields), order) == right

    @pytest.mark.parametrize(
        ("path", "right"),
        [
            ("a", False),
            ("/org/freedesktop/DBus/Local", False),
            ("/org/freedesktop/DBus/Local/a", False),
            ("/org/freedesktop/DBus/Locality", False),
            ("/org/freedesktop/DBus/Loca", True),
            ("/org/freedesktop/DBus", True),
            ("/org/freedesktop/DBus/Locak", True),
        ],
    )
    def test_reserved_paths(self, order: str, path: str, right: bool) -> None:
        assert passes(built(order, [(1, "o", path), MEMBER, DESTINATION]), order) == right

    @pytest.mark.parametrize(
        ("interface", "right"),
        [
            ("org.freedesktop.DBus.Local", False),
            ("org.freedesktop.DBus.Locally", False),
            ("org.freedesktop.DBus.Loca", True),
            ("org.freedesktop.DBus.Locak", True),
            ("org.freedesktop.DBus", True),
        ],
    )
    def test_reserved_interfaces(self, order: str, interface: str, right: bool) -> None:
        assert passes(built(order, [*FIELDS[1], (2, "s", interface)]), order) == right

    def test_zeros_are_part_of_a_text(self, order: str) -> None:
        assert not passes(built(order, [PATH, MEMBER, (Field.DESTINATION, "s", ":1.1\0\0")]), order)
