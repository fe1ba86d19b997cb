"""What is said never to matter does not: without it the reference evaluation judges everything alike."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from omnibus.ctl.checks import rules as checks
from omnibus.ctl.checks.relation import covers, overlaps
from omnibus.policy.evaluate import ClientPolicy, Policy
from omnibus.policy.question import Header, Identity
from omnibus.policy.rules import NO_MAXIMUM, Kind, Rule
from policy import strategies

VOID = {"W009", "I010", "I011", "I006"}
names = st.lists(strategies.names, unique=True, max_size=3)
FLAGS = st.booleans()


def numbered(found: list[Rule]) -> list[Rule]:
    """Give each rule a line of its own, in one file."""
    return [rule.replace(file="/a/b.conf", line=line) for line, rule in enumerate(found, 1)]


def void(found: list[Rule]) -> list[int]:
    """Return the lines of the rules that never matter."""
    return [one.line for one in checks.find(found, main="/a/main.conf", session=False) if one.code in VOID]


class Question:
    """One question of each kind."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.identity: Identity = draw(strategies.identities)
        header: Header = draw(strategies.headers())
        # No library sends a reply with an interface.
        self.header = header.replace(interface=None) if header.is_reply else header
        self.others = draw(st.one_of(st.none(), names))
        self.name = draw(strategies.names)
        self.requested, self.eavesdropping = draw(FLAGS), draw(FLAGS)

    def answers(self, found: list[Rule]) -> tuple[bool, bool, bool]:
        client = Policy(found).for_identity(self.identity)
        return (
            bool(client.can_own(self.name)),
            bool(client.can_send(self.header, self.others, self.requested)),
            bool(client.can_receive(self.header, self.others, self.requested, self.eavesdropping)),
        )


questions = st.composite(lambda draw: Question(draw))()


class TestVoidRules:
    @given(strategies.policies().map(numbered), st.lists(questions, min_size=8, max_size=8))
    def test_one_is_removed(self, found: list[Rule], asked: list[Question]) -> None:
        lines = void(found)
        event(f"{min(len(lines), 3)} void rules")
        for line in lines:
            rest = [rule for rule in found if rule.line != line]
            assert [one.answers(rest) for one in asked] == [one.answers(found) for one in asked]

    @given(strategies.policies().map(numbered), st.lists(questions, min_size=8, max_size=8))
    def test_all_of_one_kind_are_removed(self, found: list[Rule], asked: list[Question]) -> None:
        """They don't excuse each other."""
        for codes in ({"W009", "I010", "I011"}, {"I006"}):
            lines = {one.line for one in checks.find(found, main="", session=False) if one.code in codes}
            rest = [rule for rule in found if rule.line not in lines]
            assert [one.answers(rest) for one in asked] == [one.answers(found) for one in asked]


MESSAGES = (Kind.SEND, Kind.RECEIVE, Kind.OWN)
FREE = {
    "message_type": 0,
    "destination": None,
    "path": None,
    "interface": None,
    "member": None,
    "error": None,
    "min_fds": 0,
    "max_fds": NO_MAXIMUM,
    "broadcast": None,
}
filtering = settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)


class TestRelations:
    @filtering
    @given(
        strategies.rules(MESSAGES),
        st.sets(st.sampled_from(sorted(FREE))),
        st.tuples(FLAGS, FLAGS, FLAGS),
        questions,
    )
    def test_covering(
        self, narrow: Rule, freed: set[str], flags: tuple[bool, bool, bool], asked: Question
    ) -> None:
        """What the narrow rule matches is matched by the wide one."""
        wide = narrow.replace(**{name: FREE[name] for name in freed})
        allow, eavesdrop, requested = flags
        wide = wide.replace(allow=allow, eavesdrop=eavesdrop, requested_reply=requested)
        wide = wide.replace(prefix=wide.prefix and wide.destination is not None)
        assume(covers(wide, narrow))
        assert matches(narrow, asked) <= matches(wide, asked)

    @filtering
    @given(strategies.rules(), strategies.rules(), questions)
    def test_overlapping(self, one: Rule, other: Rule, asked: Question) -> None:
        """What both match is found to overlap, unless they agree."""
        assume(one.kind == other.kind and one.is_per_client and one.allow != other.allow)
        assume(not overlaps(one, other))
        assert not matches(one, asked) & matches(other, asked)


def matches(rule: Rule, asked: Question) -> set[str]:
    """Return the kinds of questions in which the rule matches."""
    client = ClientPolicy([rule])
    verdicts = {
        "own": client.can_own(asked.name),
        "send": client.can_send(asked.header, asked.others, asked.requested),
        "receive": client.can_receive(asked.header, asked.others, asked.requested, asked.eavesdropping),
    }
    return {kind for kind, verdict in verdicts.items() if verdict.matched}
