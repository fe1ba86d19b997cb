"""Who may connect: the reference evaluation and C, asked in two ways, agree on random rules."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from random import Random

import pytest

from omnibus.policy.block import encode
from omnibus.policy.evaluate import Policy
from omnibus.policy.question import Identity
from omnibus.policy.rules import ANY_ID, Context, Kind, Rule
from omnibus.transport.relay import Evaluator
from support.relay_programs import build

from .judge import Judge
from .strategies import GIDS, UIDS

pytestmark = pytest.mark.skipif(
    not (shutil.which("clang") and shutil.which("make")), reason="clang and make build the C program"
)

RULE_SETS = 300
CLIENTS = 3


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    judge = Judge(build("judge_cases"))
    yield judge
    judge.close()


def rule(random: Random) -> Rule:
    """A rule about connecting, sometimes about something else, in any context."""
    kind = random.choice((Kind.CONNECT_USER, Kind.CONNECT_USER, Kind.CONNECT_GROUP, Kind.OWN))
    context = random.choice((Context.DEFAULT, Context.DEFAULT, Context.MANDATORY, *Context))
    principals = GIDS if kind == Kind.CONNECT_GROUP else UIDS
    return Rule(kind, random.random() < 0.5, context, random.choice((ANY_ID, *principals)))


def identity(random: Random) -> Identity:
    return Identity(random.choice(UIDS), tuple(random.sample(GIDS, random.randrange(len(GIDS)))))


@pytest.mark.parametrize("seed", range(3))
def test_both_agree(judge: Judge, seed: int) -> None:
    random = Random(seed)
    outcomes = set()
    for _ in range(RULE_SETS):
        rules = [rule(random) for _ in range(random.randrange(8))]
        clients = [identity(random) for _ in range(CLIENTS)]
        owner = random.choice(UIDS)
        judge.clear()
        judge.load(rules)
        for one in clients:
            judge.add(one)
        found = judge.can_connect(owner, CLIENTS)
        policy = Policy(rules)
        expected = [policy.can_connect(one.uid or 0, one.gids, owner).allowed for one in clients]
        assert found == expected, (rules, clients, owner)
        handle = Evaluator(encode(rules))
        assert [handle.can_connect(one.uid or 0, one.gids, owner) for one in clients] == expected
        outcomes.update(found)
    assert outcomes == {True, False}
