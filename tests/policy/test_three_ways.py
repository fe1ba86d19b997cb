"""The reference evaluation, the one in C, and dbus-daemon: the same random rules, the same random messages.

C is asked twice: as the data plane does, and through the control plane's handle.

POLICY_RULE_SETS and POLICY_REFERENCE_RULE_SETS set the number of rule sets; `make policy-test` uses many.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnibus.policy.evaluate import ClientPolicy, Policy, Verdict
from omnibus.policy.question import Header, Identity
from omnibus.policy.rules import Context, Kind, Rule
from support.relay_programs import build

from . import random_cases
from .judge import Judge
from .reference import (
    ACTIVATABLE,
    ALWAYS,
    GIDS,
    MESSAGE_KINDS,
    UIDS,
    Bus,
    needs_reference,
    play,
    running,
    scripts,
)
from .strategies import BUS, NAMES, headers, identities, names, policies, to_xml

pytestmark = pytest.mark.skipif(
    not (shutil.which("clang") and shutil.which("make")), reason="clang and make build the C program"
)

RULE_SETS = int(os.environ.get("POLICY_RULE_SETS", "40"))
REFERENCE_RULE_SETS = int(os.environ.get("POLICY_REFERENCE_RULE_SETS", "12"))
PATIENT = settings(deadline=None, suppress_health_check=list(HealthCheck))
CLIENTS = 3
WANTED = (*NAMES, "org.example.A.B.C", "org.exampl", "org.examples", "net.unused.name")


@pytest.fixture(scope="module")
def counts() -> Iterator[Counter[str]]:
    """The number of compared verdicts."""
    counts: Counter[str] = Counter()
    yield counts
    print("\n" + ", ".join(f"{number} {what}" for what, number in counts.items()))


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    judge = Judge(build("judge_cases"))
    yield judge
    judge.close()


@dataclass(frozen=True)
class Case:
    """A message with sender and recipient; None is the bus itself, or an absent recipient."""

    message: Header
    sender: int | None
    recipient: int | None
    requested_reply: bool = False
    eavesdropping: bool = False


def between_all(message: Header) -> Iterator[Case]:
    """All clients send the message to one another in all possible ways."""
    parties = (None, *range(CLIENTS))
    flags = (False, True)
    for sender, recipient, requested, eavesdropping in itertools.product(parties, parties, flags, flags):
        if sender is None and recipient is None:
            continue
        header = message.replace(sender=BUS) if sender is None else message
        yield Case(header, sender, recipient, requested, eavesdropping)


class TestEvaluators:
    """Both evaluators allow the same, with the same number of rules, in whatever order they are asked."""

    @settings(PATIENT, max_examples=RULE_SETS)
    @given(st.randoms(use_true_random=True))
    def test_many(self, judge: Judge, counts: Counter[str], random: Random) -> None:
        self.meet(
            judge,
            counts,
            loaded=[random_cases.policy(random) for _ in range(2)],
            who=random_cases.identities(random, CLIENTS),
            owned=[random_cases.queues(random, CLIENTS) for _ in range(2)],
            messages=[random_cases.header(random) for _ in range(4)],
        )

    @settings(PATIENT, max_examples=RULE_SETS)
    @given(
        policies(),
        st.lists(identities, min_size=CLIENTS, max_size=CLIENTS),
        st.dictionaries(names, st.lists(st.integers(0, CLIENTS - 1), unique=True), max_size=4),
        st.lists(headers(), min_size=1, max_size=4),
    )
    def test_few(
        self,
        judge: Judge,
        counts: Counter[str],
        rules: list[Rule],
        who: list[Identity],
        owned: dict[str, list[int]],
        messages: list[Header],
    ) -> None:
        self.meet(judge, counts, [rules], who, [owned], messages)

    def meet(
        self,
        judge: Judge,
        counts: Counter[str],
        loaded: list[list[Rule]],
        who: list[Identity],
        owned: list[dict[str, list[int]]],
        messages: list[Header],
    ) -> None:
        """Change names and policies while the same clients send the same messages, and compare."""
        judge.clear()
        for one in who:
            judge.add(one)
        now: dict[str, list[int]] = {}
        for rules in loaded:
            judge.load(rules)
            policy = Policy(rules)
            oracle = [policy.for_identity(one) for one in who]
            compare_owners(judge, oracle)
            counts["names that clients want"] += len(oracle) * len(WANTED)
            for queue in owned:
                for name, members in queue.items():
                    judge.queue(name, members)
                now |= queue
                names = [{f":1.{i}", *(name for name in now if i in now[name])} for i in range(CLIENTS)]
                cases = [case for message in messages for case in between_all(message)]
                compare(judge, oracle, names, cases)
                counts["verdicts of both evaluators"] += len(cases)

    def agree(self, judge: Judge, rules: list[Rule], one: Identity) -> Verdict:
        """Compare whether a client may send a plain signal, and return the verdict."""
        judge.clear()
        judge.load(rules)
        judge.add(one)
        signal = Header(4, path="/", interface="org.example.I", member="Get")
        judge.ask(signal, 0, None)
        verdict = Policy(rules).for_identity(one.replace(gids=tuple(sorted(one.gids)))).can_send(signal, None)
        assert judge.answers()[0].send == (verdict.allowed, verdict.matched, verdict.log)
        return verdict

    @pytest.mark.parametrize("gids", [(4, 7), (7, 4), (4, 7, 4), (9, 7, 4, 1)])
    def test_later_group_decides(self, judge: Judge, gids: tuple[int, ...]) -> None:
        """Groups apply in ascending order, once each, however the kernel lists them."""
        rules = [
            Rule(Kind.SEND, True, Context.GROUP, 7, interface="org.example.I"),
            Rule(Kind.SEND, False, Context.GROUP, 4, interface="org.example.I"),
        ]
        verdict = self.agree(judge, rules, Identity(1, gids))
        assert (verdict.allowed, verdict.matched) == (True, 2)

    @pytest.mark.parametrize("uid", [None, 1])
    def test_anonymous_has_no_console_rules(self, judge: Judge, uid: int | None) -> None:
        """An anonymous client is neither at the console nor away from it."""
        rules = [
            Rule(Kind.SEND, True),
            Rule(Kind.SEND, False, Context.AT_CONSOLE),
            Rule(Kind.SEND, False, Context.NO_CONSOLE),
        ]
        assert self.agree(judge, rules, Identity(uid)).allowed == (uid is None)
        assert self.agree(judge, rules, Identity(uid, at_console=True)).allowed == (uid is None)

    def test_catch_all_invalidates(self, judge: Judge) -> None:
        """A catch-all rule invalidates all rules before it, which are not counted either."""
        rules = [
            Rule(Kind.SEND, True, message_type=4),
            Rule(Kind.SEND, True, min_fds=1),
            Rule(Kind.SEND, False, Context.MANDATORY, path="/"),
        ]
        assert self.agree(judge, rules, Identity(1)).matched == 1
        assert self.agree(judge, rules[:2], Identity(1)) == Verdict(False, None, 0)


def compare(
    judge: Judge, oracle: Sequence[ClientPolicy], names: Sequence[set[str]], cases: Sequence[Case]
) -> None:
    """Evaluate in C and compare with the evaluator."""
    for case in cases:
        judge.ask(case.message, case.sender, case.recipient, case.requested_reply, case.eavesdropping)
    for case, answer in zip(cases, judge.answers(), strict=True):
        if case.sender is not None:
            theirs = None if case.recipient is None else names[case.recipient]
            sent = oracle[case.sender].can_send(case.message, theirs, case.requested_reply)
            assert answer.send == (sent.allowed, sent.matched, sent.log), (case, sent.reason)
        if case.recipient is not None:
            theirs = None if case.sender is None else names[case.sender]
            received = oracle[case.recipient].can_receive(
                case.message, theirs, case.requested_reply, case.eavesdropping
            )
            assert answer.receive == (received.allowed, received.matched), (case, received.reason)


def compare_owners(judge: Judge, oracle: Sequence[ClientPolicy]) -> None:
    """Compare which names a client may own."""
    for client, policy in enumerate(oracle):
        assert judge.can_own(client, WANTED) == [policy.can_own(name).allowed for name in WANTED]


class BothClients:
    """Both evaluators for one client. Its partner has names, and no rules of its own."""

    def __init__(self, judge: Judge, rules: Sequence[Rule], one: Identity, counts: Counter[str]) -> None:
        self._judge = judge
        self._rules = rules
        self._identity = one
        self._oracle = Policy(rules).for_identity(one)
        self._counts = counts

    def can_own(self, name: str) -> Verdict:
        verdict = self._oracle.can_own(name)
        self._judge.clear()
        self._judge.load(self._rules)
        self._judge.add(self._identity)
        assert self._judge.can_own(0, [name]) == [verdict.allowed], verdict.reason
        return verdict

    def can_send(
        self, message: Header, receiver_names: Collection[str] | None, requested_reply: bool = False
    ) -> Verdict:
        verdict = self._oracle.can_send(message, receiver_names, requested_reply)
        other = self._meet(receiver_names)
        self._judge.ask(message, 0, other, requested_reply)
        (answer,) = self._judge.answers()
        assert answer.send == (verdict.allowed, verdict.matched, verdict.log), verdict.reason
        return verdict

    def can_receive(
        self,
        message: Header,
        sender_names: Collection[str] | None,
        requested_reply: bool = False,
        eavesdropping: bool = False,
    ) -> Verdict:
        verdict = self._oracle.can_receive(message, sender_names, requested_reply, eavesdropping)
        other = self._meet(sender_names)
        self._judge.ask(message, other, 0, requested_reply, eavesdropping)
        (answer,) = self._judge.answers()
        assert answer.receive == (verdict.allowed, verdict.matched), verdict.reason
        return verdict

    def _meet(self, names: Collection[str] | None) -> int | None:
        self._counts["verdicts that dbus-daemon showed, of both evaluators"] += 1
        self._judge.clear()
        self._judge.load(self._rules)
        self._judge.add(self._identity)
        if names is None:
            return None
        self._judge.add(Identity(None))
        for name in names:
            if not name.startswith(":"):
                self._judge.queue(name, [1])
        return 1


@dataclass(frozen=True)
class BothPolicies:
    """The policy of the whole bus, by both evaluators."""

    judge: Judge
    rules: Sequence[Rule]
    counts: Counter[str]

    def for_identity(self, identity: Identity) -> BothClients:
        return BothClients(self.judge, self.rules, identity, self.counts)


@needs_reference
class TestReference:
    """The messages that dbus-daemon delivers, and the number of rules in its denials."""

    @settings(PATIENT, max_examples=REFERENCE_RULE_SETS)
    @given(
        policies(UIDS, GIDS, MESSAGE_KINDS, max_size=14),
        st.lists(st.tuples(st.integers(0, 2), names), max_size=6),
        scripts(),
        headers().filter(lambda header: header.type in (2, 3)),
    )
    def test_verdicts(
        self,
        judge: Judge,
        counts: Counter[str],
        rules: list[Rule],
        requests: list[tuple[int, str]],
        script: list[tuple[int, Header, bool]],
        answer: Header,
    ) -> None:
        with running(to_xml(rules) + ALWAYS) as daemon:
            bus = Bus(daemon, BothPolicies(judge, rules, counts))
            for number, name in requests:
                if name != ACTIVATABLE:
                    bus.request(bus.peers[number], name)
            for number, header, answered in script:
                play(bus, number, header, answer if answered else None)
            counts["messages through dbus-daemon"] += len(script)
