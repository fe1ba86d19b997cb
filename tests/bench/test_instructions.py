"""The relay spends no more instructions on a message than it did."""

from __future__ import annotations

import shutil

import pytest

from omnibus.bench import instructions
from omnibus.bench.instructions import Count

needs_valgrind = pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind counts the instructions")


@needs_valgrind
def test_no_ratio_has_grown() -> None:
    assert instructions.grown(instructions.count(), instructions.expected()) == []


class TestGrown:
    """What the check above can find."""

    def test_a_tenth_more_is_let_pass(self) -> None:
        assert instructions.grown({"ping-pong": Count(relay=219, floor=50)}, {"ping-pong": 4.0}) == []

    def test_more_than_a_tenth_is_not(self) -> None:
        found = instructions.grown({"ping-pong": Count(relay=221, floor=50)}, {"ping-pong": 4.0})
        assert found == ["ping-pong: 4.42 times the floor, expected 4.00"]

    def test_a_script_that_is_gone(self) -> None:
        assert instructions.grown({}, {"ping-pong": 4.0}) == ["ping-pong: not counted"]

    def test_a_script_without_an_expected_ratio(self) -> None:
        found = instructions.grown({"ping-pong": Count(relay=1, floor=1)}, {})
        assert found == ["ping-pong: no expected ratio"]
