"""The control plane's handle of the policy in C; test_connect_two_ways.py compares its verdicts."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from omnibus.policy.block import encode
from omnibus.policy.rules import Kind, Rule
from omnibus.transport.relay import Evaluator, evaluator

ALICE = Rule(Kind.CONNECT_USER, True, principal=8)


class TestBlock:
    @pytest.mark.parametrize("block", [b"", encode([])[:-1], b"x" + encode([])[1:]])
    def test_damaged(self, block: bytes) -> None:
        with pytest.raises(ValueError, match="can't read this"):
            Evaluator(block)

    def test_without_rules(self) -> None:
        """Only the bus's own user may connect."""
        policy = Evaluator(encode([]))
        assert [policy.can_connect(uid, (), 7) for uid in (7, 8)] == [True, False]

    def test_lives_longer_than_its_block(self) -> None:
        block = bytearray(encode([ALICE]))
        policy = Evaluator(bytes(block))
        del block
        assert [policy.can_connect(uid, (), 7) for uid in (8, 9)] == [True, False]


class TestMemory:
    def test_none_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fails = SimpleNamespace(policy_new=lambda *arguments: -errno.ENOMEM)
        monkeypatch.setattr(evaluator, "lib", fails)
        with pytest.raises(MemoryError):
            Evaluator(encode([]))
