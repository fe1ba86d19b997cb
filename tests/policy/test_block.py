"""The block of compiled rules: little-endian, a header of 32 bytes, records of 64, NUL-terminated strings."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnibus.policy.block import decode, encode
from omnibus.policy.rules import HEADER, RECORD, Context, Flag, Kind, Rule

from .strategies import policies

RULE = Rule(
    kind=Kind.SEND,
    allow=True,
    context=Context.GROUP,
    principal=1000,
    message_type=4,
    destination="org.example",
    path="/a",
    interface="org.example.I",
    member="Get",
    error="org.example.E",
    min_fds=1,
    max_fds=2,
    prefix=True,
    eavesdrop=True,
    requested_reply=True,
    log=True,
    broadcast=False,
    file="/etc/a.conf",
    line=77,
)

HEADER_IN_C = Path(__file__).parents[2] / "transport/relay/policy/policy_internal.h"


def numbers_in_c(what: str) -> dict[str, int]:
    """Return the members of an enumeration of the data plane, without their prefix."""
    (members,) = re.findall(
        rf"^enum policy_{what} {{(.*?)^}};", HEADER_IN_C.read_text(), re.MULTILINE | re.DOTALL
    )
    return {name: int(value) for name, value in re.findall(r"POLICY_(\w+) = (\d+),", members)}


texts = st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
numbers = st.integers(0, 2**32 - 1)
any_rule = st.builds(
    Rule,
    kind=st.sampled_from(Kind),
    allow=st.booleans(),
    context=st.sampled_from(Context),
    principal=numbers,
    message_type=st.integers(0, 4),
    destination=texts,
    path=texts,
    interface=texts,
    member=texts,
    error=texts,
    min_fds=numbers,
    max_fds=numbers,
    prefix=st.booleans(),
    eavesdrop=st.booleans(),
    requested_reply=st.booleans(),
    log=st.booleans(),
    broadcast=st.sampled_from((None, True, False)),
    file=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    line=numbers,
)


class TestRoundTrip:
    @settings(deadline=None)
    @given(st.lists(any_rule, max_size=8))
    def test_any_rules(self, rules: list[Rule]) -> None:
        assert decode(encode(rules)) == tuple(rules)

    @settings(deadline=None)
    @given(policies())
    def test_likely_rules(self, rules: list[Rule]) -> None:
        assert decode(encode(rules)) == tuple(rules)

    def test_a_file_name_need_not_be_utf8(self) -> None:
        rule = RULE.replace(file=b"/etc/\xff.conf".decode("utf-8", "surrogateescape"))
        assert decode(encode([rule])) == (rule,)


class TestLayout:
    """The layout that C relies on, byte by byte."""

    def string(self, block: bytes, offset: int) -> bytes:
        (start,) = struct.unpack_from("<I", block, 16)
        return block[start + offset :].split(b"\0")[0]

    def test_empty(self) -> None:
        assert encode([]) == b"OMNIPOL1" + struct.pack("<6I", 0, 64, 32, 1, 0, 0) + b"\0"

    def test_header(self) -> None:
        block = encode([RULE, RULE, RULE])
        n_rules, rule_size, strings_offset, strings_size, flags, reserved = struct.unpack_from(
            "<6I", block, 8
        )
        assert block[:8] == b"OMNIPOL1"
        assert (n_rules, rule_size, strings_offset, flags, reserved) == (3, 64, 32 + 3 * 64, 0, 0)
        assert strings_offset + strings_size == len(block)
        assert block[strings_offset] == 0

    def test_record(self) -> None:
        block = encode([RULE])
        record = block[32:96]
        assert list(record[:4]) == [1, 1, 1, 4]
        fields = struct.unpack_from("<9I2H2I", record, 4)
        principal, destination, path, interface, member, error, min_fds, max_fds = fields[:8]
        assert (principal, min_fds, max_fds) == (1000, 1, 2)
        strings = [self.string(block, offset) for offset in (destination, path, interface, member, error)]
        assert strings == [b"org.example", b"/a", b"org.example.I", b"Get", b"org.example.E"]

    def test_end_of_the_record(self) -> None:
        block = encode([RULE])
        flags, reserved, file, line = struct.unpack_from("<2H2I", block, 32 + 36)
        assert (flags, reserved, line) == (1 | 2 | 4 | 8 | 2 << 4, 0, 77)
        assert self.string(block, file) == b"/etc/a.conf"
        assert block[32 + 48 : 32 + 64] == bytes(16)

    @pytest.mark.parametrize(("broadcast", "bits"), [(None, 0), (True, 1), (False, 2)])
    def test_broadcast_is_two_bits(self, broadcast: bool | None, bits: int) -> None:
        (flags,) = struct.unpack_from("<H", encode([RULE.replace(broadcast=broadcast)]), 32 + 36)
        assert flags >> 4 == bits

    @pytest.mark.parametrize("kind", Kind)
    def test_kinds(self, kind: Kind) -> None:
        assert encode([Rule(kind, False)])[32:36] == bytes([kind, 0, 0, 0])

    def test_numbers(self) -> None:
        """Names and numbers are those of the data plane."""
        assert {one.name: one.value for one in Kind} == numbers_in_c("kind")
        assert {one.name: one.value for one in Context} == numbers_in_c("context")
        assert {one.name: one.value for one in Flag} == numbers_in_c("flag")

    def test_nothing_given(self) -> None:
        """Offset 0 means "not given"; no principal and no maximum are all ones."""
        fields = struct.unpack_from("<8I2H2I", encode([Rule(Kind.RECEIVE, True)]), 36)
        assert fields == (2**32 - 1, 0, 0, 0, 0, 0, 0, 2**32 - 1, 0, 0, 0, 0)

    def test_an_empty_string_is_given(self) -> None:
        (rule,) = decode(encode([Rule(Kind.SEND, False, interface="")]))
        assert (rule.interface, rule.path) == ("", None)

    def test_a_string_is_kept_once(self) -> None:
        assert encode([RULE] * 9).count(b"org.example.I\0") == 1


class TestDamage:
    """An invalid block is refused."""

    BLOCK = encode([RULE, RULE])

    @pytest.mark.parametrize(
        ("block", "reason"),
        [
            (b"", "header of 32 bytes"),
            (BLOCK[:31], "header of 32 bytes"),
            (b"OMNIPOL2" + BLOCK[8:], "not a policy block of this version"),
            (BLOCK[:12] + b"\x41" + BLOCK[13:], "not a policy block of this version"),
            (BLOCK[:8] + b"\x03" + BLOCK[9:], "do not add up"),
            (BLOCK[:16] + b"\x00" + BLOCK[17:], "do not add up"),
            (BLOCK[:-1], "do not add up"),
            (BLOCK + b"\0", "do not add up"),
            (BLOCK[:-1] + b"x", "begin and end with NUL"),
            (HEADER.pack(b"OMNIPOL1", 0, 64, 32, 0, 0, 0), "begin and end with NUL"),
            (HEADER.pack(b"OMNIPOL1", 0, 64, 32, 2, 0, 0) + b"x\0", "begin and end with NUL"),
            (BLOCK[:40] + b"\xff\xff" + BLOCK[42:], "outside the policy block"),
            (BLOCK[:32] + b"\x09" + BLOCK[33:], "9 is not a valid Kind"),
            (BLOCK[:34] + b"\x09" + BLOCK[35:], "9 is not a valid Context"),
        ],
    )
    def test_refused(self, block: bytes, reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            decode(block)

    @settings(deadline=None)
    @given(st.data())
    def test_any_damage_is_refused_or_harmless(self, data: st.DataObject) -> None:
        block = bytearray(self.BLOCK)
        for _ in range(3):
            block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
        try:
            rules = decode(bytes(block))
        except ValueError:
            return
        assert all(isinstance(rule, Rule) for rule in rules)

    def test_sizes(self) -> None:
        assert (HEADER.size, RECORD.size) == (32, 64)
