"""Bodies: what dbus-fast is used for, held against a marshaller of our own."""

from typing import Any

import pytest
from dbus_fast import InvalidMessageError

from omnibus.daemon.codec import Variant, make_body, read_body
from support import wire

CASES = [
    ("", []),
    ("s", ["text"]),
    ("su", ["org.example.Name", 7]),
    ("us", [7, "ünïcode"]),
    ("ybnqiuxtd", [1, True, -2, 3, -4, 5, -6, 7, 8.5]),
    ("og", ["/a/b", "a{sv}"]),
    ("as", [["a", "", "ccc"]]),
    ("as", [[]]),
    ("ay", [b"\x00\xff"]),
    ("asu", [["type='signal'"], 0]),
    ("a{ss}", [{"KEY": "value", "": ""}]),
    ("a{ss}", [{}]),
]


@pytest.mark.parametrize("order", [wire.LITTLE, wire.BIG])
@pytest.mark.parametrize(("signature", "values"), CASES)
def test_read(signature: str, values: list[Any], order: str) -> None:
    assert read_body(signature, wire.marshal(signature, values, order), order == wire.BIG) == values


@pytest.mark.parametrize(("signature", "values"), CASES)
def test_make(signature: str, values: list[Any]) -> None:
    assert make_body(signature, values) == wire.marshal(signature, values)


def test_read_variant() -> None:
    body = wire.marshal("ssv", ["interface", "name", wire.Variant("as", ["a"])])
    interface, name, value = read_body("ssv", body, False)
    assert (interface, name, value.signature, value.value) == ("interface", "name", "as", ["a"])


def test_make_variant() -> None:
    ours = make_body(
        "a{sv}", [{"One": Variant("u", 1), "Label": Variant("ay", b"x\0"), "Fd": Variant("h", 0)}]
    )
    theirs = {"One": wire.Variant("u", 1), "Label": wire.Variant("ay", b"x\0"), "Fd": wire.Variant("h", 0)}
    assert ours == wire.marshal("a{sv}", [theirs])


def test_body_that_ends_early() -> None:
    """It can't come: the data plane validates. It must not be taken for something else all the same."""
    with pytest.raises((ValueError, IndexError, InvalidMessageError)):
        read_body("su", wire.marshal("s", ["text"]), False)
