"""Values in the wire format, held against another marshaller of ours and against dbus-fast."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message as FastMessage
from dbus_fast import MessageType
from dbus_fast import Variant as FastVariant
from dbus_fast.aio import MessageBus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnibus.daemon import codec
from omnibus.daemon.codec import (
    FIXED_HEADER,
    Message,
    Variant,
    make_body,
    message_size,
    parse_message,
    read_body,
    read_message,
)
from omnibus.daemon.signature import complete_types
from omnibus.transport.relay import message as numbers
from support import wire

CASES = [
    ("", []),
    ("s", ["text"]),
    ("su", ["org.example.Name", 7]),
    ("us", [7, "ünïcode"]),
    ("ybnqiuxtdh", [1, True, -2, 3, -4, 5, -6, 7, 8.5, 9]),
    ("og", ["/a/b", "a{sv}"]),
    ("as", [["a", "", "ccc"]]),
    ("as", [[]]),
    ("ay", [b"\x00\xff"]),
    ("yat", [1, []]),
    ("asu", [["type='signal'"], 0]),
    ("a{ss}", [{"KEY": "value", "": ""}]),
    ("a{ss}", [{}]),
    ("y(uo)y", [1, [2, "/"], 3]),
    ("aa{s(ii)}", [[{}, {"a": [1, 2]}]]),
]
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
BASIC = "ybnqiuxtdhsog"
RANGES = {"y": (0, 8), "n": (-1, 15), "q": (0, 16), "i": (-1, 31), "u": (0, 32), "x": (-1, 63), "t": (0, 64)}

kinds = st.recursive(
    st.sampled_from([*BASIC, "v"]),
    lambda inner: st.one_of(
        inner.map("a{}".format),
        st.lists(inner, min_size=1, max_size=3).map(lambda members: f"({''.join(members)})"),
        st.builds("a{{{}{}}}".format, st.sampled_from([*"ybnqiuxtsog"]), inner),
    ),
    max_leaves=4,
)
texts = st.sampled_from(["", "a", "abc", "abcd", "ünïcode", "日本語", "x" * 300])


def values_of(kind: str) -> st.SearchStrategy[Any]:
    """Random values of a type."""
    code = kind[0]
    simple: dict[str, st.SearchStrategy[Any]] = {
        "b": st.booleans(),
        "d": st.floats(allow_nan=False),
        "h": st.just(0),
        "s": texts,
        "o": st.sampled_from(["/", "/a", "/org/example"]),
        "g": st.sampled_from(["", "s", "a{sv}", "(ii)"]),
        "v": st.sampled_from(["u", "s", "as", "a{sv}", "(yt)", "v"]).flatmap(
            lambda inner: values_of(inner).map(lambda value: Variant(inner, value))
        ),
    }
    if code in simple:
        return simple[code]
    if code in RANGES:
        sign, bits = RANGES[code]
        return st.integers(sign * 2**bits, 2**bits - 1)
    if kind == "ay":
        return st.binary(max_size=5)
    if kind.startswith("a{"):
        key, value = complete_types(kind[2:-1])
        return st.dictionaries(values_of(key), values_of(value), max_size=2)
    if code == "a":
        return st.lists(values_of(kind[1:]), max_size=2)
    return st.tuples(*map(values_of, complete_types(kind[1:-1]))).map(list)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """A signature of a few types, and values of them."""
    signature = "".join(draw(st.lists(kinds, min_size=1, max_size=3)))
    return signature, [draw(values_of(kind)) for kind in complete_types(signature)]


def converted(value: Any, variant: Any) -> Any:
    """The value with another class of variants."""
    if isinstance(value, (Variant, FastVariant, wire.Variant)):
        inner = converted(value.value, variant)
        return variant(value.signature, inner)
    if isinstance(value, (list, tuple)):
        return [converted(one, variant) for one in value]
    if isinstance(value, dict):
        return {key: converted(one, variant) for key, one in value.items()}
    return value


class TestBothWays:
    @pytest.mark.parametrize("order", [wire.LITTLE, wire.BIG])
    @pytest.mark.parametrize(("signature", "values"), CASES)
    def test_read(self, signature: str, values: list[Any], order: str) -> None:
        assert read_body(signature, wire.marshal(signature, values, order), order == wire.BIG) == values

    @pytest.mark.parametrize(("signature", "values"), CASES)
    def test_make(self, signature: str, values: list[Any]) -> None:
        assert make_body(signature, values) == wire.marshal(signature, values)

    @patient
    @given(bodies(), st.sampled_from([wire.LITTLE, wire.BIG]))
    def test_any(self, body: tuple[str, list[Any]], order: str) -> None:
        signature, values = body
        theirs = wire.marshal(signature, converted(values, wire.Variant), order)
        assert read_body(signature, theirs, order == wire.BIG) == values
        if order == wire.LITTLE:
            assert make_body(signature, values) == theirs

    def test_first_values_only(self) -> None:
        body = wire.marshal("ssv", ["interface", "name", wire.Variant("as", ["a"])])
        assert read_body("ss", memoryview(body), False) == ["interface", "name"]

    @pytest.mark.parametrize(
        ("signature", "values"), [("u", [-1]), ("u", [2**32]), ("y", ["x"]), ("s", ["\udcff"]), ("ss", ["a"])]
    )
    def test_value_that_does_not_fit(self, signature: str, values: list[Any]) -> None:
        with pytest.raises((ValueError, struct.error)):
            make_body(signature, values)


class TestBrokenBodies:
    """The data plane lets none through. They must not be taken for something else all the same."""

    @pytest.mark.parametrize(
        ("signature", "body"),
        [
            ("su", wire.marshal("s", ["text"])),
            ("s", b""),
            ("s", b"\xff\xff\xff\xff"),
            ("s", b"\1\0\0\0x"),
            ("s", b"\1\0\0\0\xff\0"),
            ("g", b"\1"),
            ("ay", b"\5\0\0\0abcd"),
            ("as", b"\1\0\0\0\1\0\0\0x\0"),
            ("v", b"\0\0"),
            ("v", b"\2ss\0\0\0\0\0\0\0\0\0"),
            ("v", b"\1a\0\0\0\0\0"),
            ("v", b"\1\xff\0\0\0\0\0"),
            ("v", b"\1z\0\0\0\0\0"),
            ("v", b"\3a()\0\0\0\0\1\0\0\0\0\0\0\0\0"),
            ("v", b"\1v\0" * 2000),
            ("v", b"\xff" + b"a" * 255 + b"\0" + bytes(1000)),
            ("a", bytes(8)),
            ("(s", bytes(8)),
            ("a{vs}", wire.marshal("a(vs)", [[(wire.Variant("as", []), "")]])),
        ],
    )
    def test_refused(self, signature: str, body: bytes) -> None:
        with pytest.raises(ValueError, match=r"."):
            read_body(signature, body, False)

    @patient
    @given(st.text("ybnqiuxtdhsogva(){}z", max_size=10), st.binary(max_size=100), st.booleans())
    def test_noise(self, signature: str, body: bytes, big_endian: bool) -> None:
        """It is read, or it raises ValueError, and nothing else happens."""
        with suppress(ValueError):
            read_body(signature, body, big_endian)

    @patient
    @given(bodies(), st.data())
    def test_damage(self, body: tuple[str, list[Any]], data: st.DataObject) -> None:
        signature, values = body
        damaged = bytearray(make_body(signature, values))
        for _ in range(data.draw(st.integers(0, 3))):
            if damaged:
                damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
        with suppress(ValueError):
            read_body(signature, cut, False)

    @patient
    @given(st.binary(max_size=40), st.booleans(), st.booleans())
    def test_arrays_of_strings(self, body: bytes, big_endian: bool, pairs: bool) -> None:
        with suppress(ValueError):
            list(codec.read_strings(memoryview(body), big_endian, pairs=pairs))


class TestMessages:
    CALL = Message(
        numbers.METHOD_CALL, 7, {numbers.PATH: Variant("o", "/"), numbers.MEMBER: Variant("s", "M")}
    )

    def test_both_ways(self) -> None:
        answer = Message(numbers.METHOD_RETURN, 8, {numbers.REPLY_SERIAL: Variant("u", 7)}, b"body", flags=1)
        for message in (self.CALL, answer):
            data = message.encode()
            assert message_size(data[:FIXED_HEADER]) == len(data)
            assert parse_message(data) == message

    def test_values(self) -> None:
        fields = self.CALL.fields | {numbers.SIGNATURE: Variant("g", "us")}
        assert self.CALL._replace(fields=fields, body=make_body("us", [5, "x"])).values() == [5, "x"]
        assert self.CALL.values() == []

    def test_too_long(self) -> None:
        broken = bytearray(self.CALL.encode())
        broken[4:8] = (2**27).to_bytes(4, "little")
        with pytest.raises(ValueError, match="a message of"):
            message_size(bytes(broken))

    @pytest.mark.parametrize("cut", [-20, 8])
    def test_cut_short(self, cut: int) -> None:
        with pytest.raises(ValueError, match="no whole message"):
            parse_message(self.CALL.encode()[:cut])

    @given(st.binary(max_size=200))
    def test_noise(self, data: bytes) -> None:
        with suppress(ValueError):
            parse_message(data)

    @given(st.integers(0, 10**6), st.integers(1, 255))
    def test_damage(self, place: int, change: int) -> None:
        broken = bytearray(self.CALL.encode())
        broken[place % len(broken)] ^= change
        with suppress(ValueError):
            parse_message(bytes(broken))


class Echo:
    """A bus for one connection, which answers each call with its own arguments, read and written again.

    ``read``: the arguments of the last call.
    """

    def __init__(self, path: Path) -> None:
        self.read: list[Any] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as stream:
            stream.read(1)
            while not (line := stream.readline()).startswith(b"BEGIN"):
                agreed = line.startswith(b"NEGOTIATE_UNIX_FD")
                connection.sendall(b"AGREE_UNIX_FD\r\n" if agreed else b"OK 0123456789abcdef\r\n")
            while (call := read_message(stream)) is not None:
                connection.sendall(self._answer(call).encode())

    def _answer(self, call: Message) -> Message:
        fields = {numbers.REPLY_SERIAL: Variant("u", call.serial)}
        signature, values = "s", [":1.1"]
        if call.fields[numbers.MEMBER].value == "Echo":
            signature = call.fields[numbers.SIGNATURE].value
            values = self.read = read_body(signature, call.body, False)
        fields[numbers.SIGNATURE] = Variant("g", signature)
        return Message(numbers.METHOD_RETURN, call.serial, fields, make_body(signature, values))


class Client:
    """dbus-fast, connected."""

    def __init__(self, path: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.bus = self.loop.run_until_complete(self.connect(f"unix:path={path}"))

    @staticmethod
    async def connect(address: str) -> MessageBus:
        return await MessageBus(bus_address=address).connect()

    def close(self) -> None:
        self.bus.disconnect()
        self.loop.run_until_complete(self.bus.wait_for_disconnect())
        self.loop.close()

    def echo(self, signature: str, values: list[Any]) -> list[Any]:
        call = FastMessage("a.b", "/", "a.b", "Echo", signature=signature, body=values)
        reply = self.loop.run_until_complete(self.bus.call(call))
        assert reply is not None
        assert reply.message_type is MessageType.METHOD_RETURN
        return reply.body


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Echo, Client]]:
    path = tmp_path_factory.mktemp("echo") / "bus"
    server = Echo(path)
    client = Client(path)
    yield server, client
    client.close()
    server.close()


class TestAgainstDbusFast:
    """What dbus-fast writes is read as it was meant, and what is written it reads as it was meant."""

    @patient
    @given(body=bodies())
    def test_any(self, echo: tuple[Echo, Client], body: tuple[str, list[Any]]) -> None:
        server, client = echo
        signature, values = body
        answered = client.echo(signature, converted(values, FastVariant))
        assert server.read == values
        assert converted(answered, Variant) == values


def test_doubles() -> None:
    """Not-a-number too, which is not equal to itself."""
    (value,) = read_body("d", make_body("d", [math.nan]), False)
    assert math.isnan(value)
