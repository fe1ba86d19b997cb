"""The control plane's handle of the policy in C; test_three_ways.py compares its verdicts."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from omnibus.policy.block import encode
from omnibus.policy.question import Header, Identity
from omnibus.policy.rules import Context, Kind, Rule
from omnibus.transport.relay import Evaluator, evaluator

NAME = "org.example.A"
USER = Identity(1000, (1000,))
CALL = Header(1, NAME, path="/", interface="org.example.I", member="Get")


class TestBlock:
    @pytest.mark.parametrize("block", [b"", encode([])[:-1], b"x" + encode([])[1:]])
    def test_damaged(self, block: bytes) -> None:
        with pytest.raises(ValueError, match="can't read this"):
            Evaluator(block)

    def test_without_rules(self) -> None:
        """Only the bus's own user may connect, and nothing else is allowed."""
        policy = Evaluator(encode([]))
        assert [policy.can_connect(uid, (), 7) for uid in (7, 8)] == [True, False]
        assert not policy.can_own(USER, NAME)
        assert policy.can_send(USER, CALL) == (False, 0, False, None, 0)

    def test_lives_longer_than_its_block(self) -> None:
        block = bytearray(encode([Rule(Kind.OWN, True, destination=NAME)]))
        policy = Evaluator(bytes(block))
        del block
        assert policy.can_own(USER, NAME)


class TestVerdict:
    """A denial and a rule with log="true" name the place in the configuration."""

    def verdict(self, *rules: Rule, message: Header = CALL) -> evaluator.Verdict:
        return Evaluator(encode(rules)).can_send(USER, message)

    def test_place(self) -> None:
        """The last matching rule decides, and only it is named."""
        first = Rule(Kind.SEND, True, log=True, file="/etc/a.conf", line=3)
        second = Rule(Kind.SEND, False, Context.MANDATORY, destination=NAME, file="/etc/b.conf", line=70_000)
        assert self.verdict(second, first) == (False, 2, False, "/etc/b.conf", 70_000)
        assert self.verdict(first) == (True, 1, True, "/etc/a.conf", 3)

    def test_file_name_that_is_not_utf8(self) -> None:
        name = b"/etc/\xff.conf".decode("utf-8", "surrogateescape")
        assert self.verdict(Rule(Kind.SEND, False, file=name, line=1)).file == name

    @pytest.mark.parametrize("field", ["path", "interface", "member", "error_name", "destination"])
    def test_each_field_counts(self, field: str) -> None:
        """A rule with a field matches only messages with the same text in the field."""
        rule = Rule(Kind.SEND, True).replace(**{{"error_name": "error"}.get(field, field): "org.text"})
        assert self.verdict(rule, message=Header(4, **{field: "org.text"})).matched == 1
        assert self.verdict(rule, message=Header(4, **{field: "org.other"})).matched == 0

    def test_numbers_count(self) -> None:
        """Descriptors, the type, and whether it is a reply are compared, too."""
        assert self.verdict(Rule(Kind.SEND, True, min_fds=2), message=CALL.replace(n_fds=2)).allowed
        assert not self.verdict(Rule(Kind.SEND, True, min_fds=2), message=CALL.replace(n_fds=1)).allowed
        assert not self.verdict(Rule(Kind.SEND, True, message_type=4)).allowed
        unasked = CALL.replace(type=2, is_reply=True)
        assert not self.verdict(Rule(Kind.SEND, True, requested_reply=True), message=unasked).allowed


class TestMemory:
    """A query without memory for it is an error, not a verdict."""

    def test_none_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        policy = Evaluator(encode([]))
        names = ("relay_policy_new", "relay_policy_can_own", "relay_policy_can_send")
        monkeypatch.setattr(
            evaluator, "lib", SimpleNamespace(**dict.fromkeys(names, lambda *arguments: -errno.ENOMEM))
        )
        with pytest.raises(MemoryError):
            Evaluator(encode([]))
        with pytest.raises(MemoryError):
            policy.can_own(USER, NAME)
        with pytest.raises(MemoryError):
            policy.can_send(USER, CALL)
