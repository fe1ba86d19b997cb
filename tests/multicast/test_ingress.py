"""Multicasts that reach members: the programs of filter_compile_ingress, against the relay's matching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.message import BIG, LITTLE, Field, Type, frame

from . import bpf, filters, relay_reading, strategies
from .filters import ASK_NOW, NO, SIDE_ASK, SIDE_NO, SIDE_YES, YES, Program, Rule
from .relay_reading import Relay

EXAMPLES = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
SIDES = (SIDE_YES, SIDE_NO, SIDE_ASK, SIDE_YES, SIDE_YES, 77)
NOT_ASKED = filters.egress([]), filters.egress([], big_endian=True)


def mark(side: int, sender: int) -> int:
    return side << 14 | sender


def compiled(rules: Sequence[Rule], **settings: object) -> list[Program]:
    programs = filters.ingress(rules, **settings)  # type: ignore[arg-type]
    for program in programs:
        bpf.check(program)
    return programs


def is_multicast(message: bytes, order: str) -> bool:
    """Return whether the sender's filter lets it pass."""
    return filters.judge(NOT_ASKED[order == BIG], message) & 0xF0000000 == filters.MULTICAST


def written(rule: Rule) -> str:
    """Return the rule as AddMatch takes it, without the keys that filters can't decide."""
    keys = {
        key: text.decode()
        for key in ("interface", "member", "path", "path_namespace", "arg0")
        if (text := getattr(rule, key)) is not None
    }
    if rule.sender is not None:
        keys["sender"] = "org.freedesktop.DBus" if rule.sender == filters.NO_MEMBER else f":1.{rule.sender}"
    return ",".join(f"{key}='{value}'" for key, value in keys.items())


def expected(rules: Sequence[Rule], matches: Sequence[bool], side: int) -> int:
    answer = {SIDE_YES: YES, SIDE_NO: NO}.get(SIDES[side] if side < len(SIDES) else SIDE_ASK, ASK_NOW)
    matching = [rule for rule, matched in zip(rules, matches, strict=True) if matched]
    if not matching:
        return NO
    if any(not rule.unclear for rule in matching) or answer == NO:
        return answer
    return ASK_NOW


class TestRelay:
    """Exactly the messages that the relay would deliver are delivered."""

    @EXAMPLES
    @given(data=st.data(), order=strategies.orders, rules=st.lists(strategies.rules, max_size=12))
    def test_all_signals(self, relay: Relay, data: st.DataObject, order: str, rules: list[Rule]) -> None:
        programs = compiled(rules, big_endian=order == BIG, sides=SIDES)
        for message in data.draw(st.lists(strategies.broadcasts(order), min_size=1, max_size=6)):
            if not is_multicast(message, order):
                continue
            side = data.draw(st.sampled_from((0, 0, 0, *range(8), 0x3FFFF)))
            sender = data.draw(st.sampled_from(strategies.SENDERS))
            matches = relay.matches([written(rule) for rule in rules], f":1.{sender}", message)
            verdict = filters.judge(programs, message, mark(side, sender))
            assert verdict == expected(rules, matches, side)

    @EXAMPLES
    @given(data=st.data(), order=strategies.orders, rules=st.lists(strategies.rules, max_size=6))
    def test_damaged_signals(self, relay: Relay, data: st.DataObject, order: str, rules: list[Rule]) -> None:
        """Those that the sender's filter still lets pass."""
        programs = compiled(rules, big_endian=order == BIG)
        texts = [written(rule) for rule in rules]
        signals = strategies.damaged(order, strategies.broadcasts(order))
        for message in data.draw(st.lists(signals, min_size=1, max_size=12)):
            if not is_multicast(message, order):
                continue
            verdict = filters.judge(programs, message)
            assert verdict in (YES, NO, ASK_NOW)
            if relay.read(message).judgement == relay_reading.RIGHT:
                assert verdict == expected(rules, relay.matches(texts, ":1.0", message), 0)


INTERFACE, MEMBER, PATH = (
    (Field.INTERFACE, "s", "a.b"),
    (Field.MEMBER, "s", "Changed"),
    (Field.PATH, "o", "/a/b"),
)
STRING = (Field.SIGNATURE, "g", "s")


def signal(body: bytes = b"", order: str = LITTLE, fields: Sequence[tuple[int, str, str]] = ()) -> bytes:
    return frame([PATH, INTERFACE, MEMBER, *fields], body, type=Type.SIGNAL, order=order)


class TestSides:
    """The receiver's policy for each group of senders."""

    @pytest.mark.parametrize(
        ("side", "verdict"), [(0, YES), (1, NO), (2, ASK_NOW), (3, YES), (4, YES), (5, ASK_NOW), (6, ASK_NOW)]
    )
    def test_each(self, side: int, verdict: int) -> None:
        assert filters.judge(compiled([Rule()], sides=SIDES), signal(), mark(side, 3)) == verdict

    def test_none(self) -> None:
        assert filters.judge(compiled([Rule()], sides=()), signal()) == ASK_NOW

    def test_too_many_ask(self) -> None:
        programs = compiled([Rule()], sides=(SIDE_YES, SIDE_NO) * 1000)
        assert {filters.judge(programs, signal(), mark(side, 0)) for side in (0, 1, 1999)} == {ASK_NOW}


class TestRules:
    """Precedence of the rules."""

    def test_clear_rules_win(self) -> None:
        rules = [Rule(interface=b"a.b", unclear=True), Rule(member=b"Changed")]
        assert filters.judge(compiled(rules), signal()) == YES
        assert filters.judge(compiled(rules[:1]), signal()) == ASK_NOW

    def test_a_rule_for_an_absent_sender_matches_nothing(self) -> None:
        programs = compiled([Rule(sender=filters.NO_MEMBER), Rule(sender=0x4001)])
        assert filters.judge(programs, signal(), mark(0, 1)) == NO

    def test_without_rules_nothing_is_wanted(self) -> None:
        assert filters.judge(compiled([]), signal()) == NO

    def test_the_other_byte_order(self) -> None:
        assert filters.judge(compiled([Rule()]), signal(order=BIG)) == ASK_NOW

    def test_equal_rules_take_the_room_of_one(self) -> None:
        """Any number of equal rules takes no more room than one."""
        rules = [
            Rule(interface=b"a.b"),
            Rule(interface=b"a.b", sender=3, path_namespace=b"/a", arg0=b"abc"),
            Rule(path_namespace=b"/"),
        ]
        for rule in rules:
            assert compiled([rule] * 5) == compiled([rule])
        assert compiled([rules[1], rules[0], rules[1], rules[0]]) == compiled(rules[:2])
        assert compiled([rules[2]]) == compiled([Rule()])

    def test_rules_with_impossible_texts(self) -> None:
        long = b"/" + b"a" * 255
        rules = [
            Rule(interface=long),
            Rule(member=b""),
            Rule(path=long),
            Rule(path_namespace=long),
            Rule(arg0=b"a" * 65536),
        ]
        assert compiled(rules) == compiled([])


def desktop_rules(sender: int) -> list[Rule]:
    """Return the rules of a client that watches some objects and services."""
    objects = Rule(interface=b"org.freedesktop.DBus.Properties", member=b"PropertiesChanged")
    return [
        *(replace(objects, path_namespace=b"/org/example/desk/%d" % n) for n in range(8)),
        *(Rule(interface=b"org.example.Desk", sender=sender + n) for n in range(3)),
        Rule(interface=b"org.example.Rare", member=b"Never"),
    ]


class TestWork:
    """A filter runs for each member and message: few instructions for what is not wanted."""

    @pytest.mark.parametrize(
        ("path", "interface", "most"),
        [
            ("/org/example/desk/9/a", "org.freedesktop.DBus.Properties", 44),
            ("/a", "org.freedesktop.DBus.Properties", 34),
            ("/org/example/desk/1", "org.example.Other", 43),
        ],
    )
    def test_unwanted(self, path: str, interface: str, most: int) -> None:
        message = frame(
            [(1, "o", path), (2, "s", interface), (3, "s", "PropertiesChanged")], type=Type.SIGNAL
        )
        (program,) = compiled(desktop_rules(5))
        machine = bpf.Machine(message, mark(0, 1), filters.note(message))
        assert machine.run(program) == NO
        assert machine.steps <= most

    def test_equal_namespaces_of_senders(self) -> None:
        """Rules for a namespace, for senders and for both, in any mixture, each decide."""
        rules = [
            Rule(interface=b"a.b", path_namespace=b"/a"),
            Rule(interface=b"a.b", path_namespace=b"/c"),
            Rule(interface=b"a.b", path_namespace=b"/d", sender=4),
            Rule(interface=b"a.b", path_namespace=b"/e", arg0=b"x"),
            Rule(interface=b"a.b", sender=7),
            Rule(interface=b"a.b", sender=8),
        ]
        for path, sender, verdict in [
            ("/a", 1, YES),
            ("/c/d", 1, YES),
            ("/d", 1, NO),
            ("/d", 4, YES),
            ("/e", 1, NO),
            ("/f", 7, YES),
            ("/f", 8, YES),
            ("/f", 9, NO),
            ("/", 9, NO),
        ]:
            message = frame([(1, "o", path), INTERFACE, MEMBER], type=Type.SIGNAL)
            assert filters.judge(compiled(rules), message, mark(0, sender)) == verdict


class TestNamespace:
    """path_namespace: the path itself and what is below it."""

    @pytest.mark.parametrize("order", [LITTLE, BIG])
    @pytest.mark.parametrize(
        ("namespace", "path", "matches"),
        [
            (b"/", "/", True),
            (b"/", "/a", True),
            (b"/a", "/a", True),
            (b"/a", "/a/b", True),
            (b"/a", "/ab", False),
            (b"/a", "/", False),
            (b"/a", "/b", False),
            (b"/a/b", "/a/b", True),
            (b"/a/b", "/a/b/c/d/e", True),
            (b"/a/b", "/a/bc", False),
            (b"/a/b", "/a", False),
            (b"/org/example", "/org/example", True),
            (b"/org/example", "/org/example/A", True),
            (b"/org/example", "/org/example1", False),
            (b"/org/example", "/org/exampl", False),
        ],
    )
    def test_each(self, order: str, namespace: bytes, path: str, matches: bool) -> None:
        message = frame([(1, "o", path), INTERFACE, MEMBER], type=Type.SIGNAL, order=order)
        programs = compiled([Rule(path_namespace=namespace)], big_endian=order == BIG)
        assert filters.judge(programs, message) == (YES if matches else NO)


class TestArgument:
    """arg0 is the first argument if that is a string; a body too short for it asks."""

    PROGRAMS = compiled([Rule(arg0=b"abc")])

    def test_equal(self) -> None:
        assert filters.judge(self.PROGRAMS, signal(b"\3\0\0\0abc\0", fields=[STRING])) == YES

    @pytest.mark.parametrize("body", [b"\3\0\0\0abd\0", b"\2\0\0\0ab\0", b"\4\0\0\0abcd\0", b"\3\0\0\1abc\0"])
    def test_other_texts(self, body: bytes) -> None:
        assert filters.judge(self.PROGRAMS, signal(body, fields=[STRING])) == NO

    @pytest.mark.parametrize("signature", ["o", "as", "ay", "(s)", "us"])
    def test_other_types(self, signature: str) -> None:
        fields = [(Field.SIGNATURE, "g", signature)]
        assert filters.judge(self.PROGRAMS, signal(b"\3\0\0\0abc\0", fields=fields)) == NO

    def test_no_argument(self) -> None:
        assert filters.judge(self.PROGRAMS, signal()) == NO
        assert filters.judge(self.PROGRAMS, signal(fields=[(Field.SIGNATURE, "g", "")])) == NO

    @pytest.mark.parametrize("length", range(1, 8))
    def test_short_bodies(self, length: int) -> None:
        body = b"\3\0\0\0abc\0"[:length]
        assert filters.judge(self.PROGRAMS, signal(body, fields=[STRING])) == ASK_NOW


class TestChain:
    """Rules that do not fit 4,096 instructions: only the last program says no."""

    def test_each_rule_is_found(self) -> None:
        rules = [
            Rule(interface=b"org.example.Interface%d" % n, path_namespace=b"/org/example/%d" % n, arg0=b"abc")
            for n in range(150)
        ]
        rules = [replace(rule, unclear=n % 2 == 1) for n, rule in enumerate(rules)]
        programs = compiled(rules)
        assert len(programs) > 1
        for n, rule in enumerate(rules):
            assert rule.interface
            fields = [(1, "o", f"/org/example/{n}/a"), (2, "s", rule.interface), MEMBER, STRING]
            message = frame(fields, b"\3\0\0\0abc\0", type=Type.SIGNAL)
            assert filters.judge(programs, message) == (ASK_NOW if rule.unclear else YES)
            other = frame(fields, b"\3\0\0\0abd\0", type=Type.SIGNAL)
            assert filters.judge(programs, other) == NO
