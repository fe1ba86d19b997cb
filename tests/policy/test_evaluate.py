"""dbus-daemon(1), <policy>, <allow> and <deny>: permission to connect, own, send and receive."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnibus.policy.block import decode, encode
from omnibus.policy.evaluate import ClientPolicy, Policy, is_below
from omnibus.policy.question import Header, Identity
from omnibus.policy.rules import ANY_ID, Context, Kind, Rule

from .strategies import headers, identities, names, policies

BUS = "org.freedesktop.DBus"
CALL = Header(1, destination="org.example", path="/a", interface="org.example.I", member="Get")
SIGNAL = Header(4, path="/a", interface="org.example.I", member="Changed")
RETURN = Header(2, destination=":1.5", is_reply=True)
ERROR = Header(3, destination=":1.5", error_name="org.example.E", is_reply=True)

RECEIVER = frozenset({":1.5", "org.example"})
SENDER = frozenset({":1.7", "com.example"})


def allow(kind: Kind, **fields: object) -> Rule:
    return Rule(kind, True, requested_reply=bool(fields.pop("requested_reply", True)), **fields)  # type: ignore[arg-type]


def deny(kind: Kind, **fields: object) -> Rule:
    return Rule(kind, False, **fields)  # type: ignore[arg-type]


ALLOW_SEND = allow(Kind.SEND)
ALLOW_RECEIVE = allow(Kind.RECEIVE)


def can_send(
    *rules: Rule, message: Header = CALL, to: frozenset[str] | None = RECEIVER, reply: bool = False
) -> bool:
    return ClientPolicy(rules).can_send(message, to, reply).allowed


def can_receive(
    *rules: Rule,
    message: Header = CALL,
    of: frozenset[str] | None = SENDER,
    reply: bool = False,
    eavesdropping: bool = False,
) -> bool:
    return ClientPolicy(rules).can_receive(message, of, reply, eavesdropping).allowed


class TestOrder:
    """The order is default, group, user, at_console, mandatory; the last matching rule wins."""

    def own(self, identity: Identity, *contexts: tuple[Context, int, bool]) -> bool:
        rules = [
            Rule(Kind.OWN, allowed, context=context, principal=principal, destination="org.example")
            for context, principal, allowed in contexts
        ]
        return Policy(rules).for_identity(identity).can_own("org.example").allowed

    @pytest.mark.parametrize(
        ("earlier", "later"),
        [
            (Context.DEFAULT, Context.GROUP),
            (Context.GROUP, Context.USER),
            (Context.USER, Context.AT_CONSOLE),
            (Context.AT_CONSOLE, Context.MANDATORY),
        ],
    )
    def test_contexts(self, earlier: Context, later: Context) -> None:
        identity = Identity(1000, (100,), at_console=True)
        principal = {Context.GROUP: 100, Context.USER: 1000}
        one = (earlier, principal.get(earlier, ANY_ID), False)
        two = (later, principal.get(later, ANY_ID), True)
        assert self.own(identity, one, two)
        assert self.own(identity, two, one), "the order in the file must not count between contexts"

    def test_the_last_of_a_context_wins(self) -> None:
        yes, no = (Context.DEFAULT, ANY_ID, True), (Context.DEFAULT, ANY_ID, False)
        assert self.own(Identity(0), no, yes)
        assert not self.own(Identity(0), yes, no)

    @pytest.mark.parametrize("gids", [(1, 2), (2, 1), (2, 1, 2)])
    def test_the_greatest_group_wins(self, gids: tuple[int, ...]) -> None:
        rules = ((Context.GROUP, 2, True), (Context.GROUP, 1, False))
        assert self.own(Identity(0, gids), *rules)

    def test_only_ones_own_rules_apply(self) -> None:
        rules = ((Context.USER, 1, True), (Context.GROUP, 1, True), (Context.AT_CONSOLE, ANY_ID, True))
        assert not self.own(Identity(0, (0,)), *rules)
        assert self.own(Identity(0, (0,)), *rules, (Context.NO_CONSOLE, ANY_ID, True))
        assert not self.own(Identity(0, (0,), at_console=True), (Context.NO_CONSOLE, ANY_ID, True))

    def test_anonymous(self) -> None:
        """An anonymous client has no user, so no rule for users or for the console applies to it."""
        assert not self.own(
            Identity(None), (Context.AT_CONSOLE, ANY_ID, True), (Context.NO_CONSOLE, ANY_ID, True)
        )
        assert self.own(Identity(None), (Context.DEFAULT, ANY_ID, True))

    def test_without_a_rule_it_is_no(self) -> None:
        policy = Policy([]).for_identity(Identity(0))
        assert not policy.can_own("org.example")
        assert not policy.can_send(CALL, RECEIVER)
        assert not policy.can_receive(CALL, SENDER)


class TestConnect:
    """user and group: permission to connect to the bus."""

    def connect(self, *rules: Rule, uid: int = 1000, gids: tuple[int, ...] = (100,)) -> bool:
        return Policy(rules).can_connect(uid, gids, bus_owner_uid=0).allowed

    def test_by_default_only_the_owner_of_the_bus(self) -> None:
        assert not self.connect()
        assert self.connect(uid=0)

    def test_user(self) -> None:
        assert self.connect(allow(Kind.CONNECT_USER, principal=1000))
        assert not self.connect(allow(Kind.CONNECT_USER, principal=1001))
        assert not self.connect(deny(Kind.CONNECT_USER, principal=0), uid=0)

    def test_group(self) -> None:
        assert self.connect(allow(Kind.CONNECT_GROUP, principal=100))
        assert not self.connect(allow(Kind.CONNECT_GROUP, principal=1000))

    @pytest.mark.parametrize("kind", [Kind.CONNECT_USER, Kind.CONNECT_GROUP])
    def test_any_user(self, kind: Kind) -> None:
        assert self.connect(allow(kind), gids=())
        assert not self.connect(deny(kind), uid=0, gids=())

    def test_the_last_wins(self) -> None:
        assert self.connect(deny(Kind.CONNECT_USER), allow(Kind.CONNECT_GROUP, principal=100))
        assert not self.connect(allow(Kind.CONNECT_GROUP, principal=100), deny(Kind.CONNECT_USER))

    def test_mandatory_comes_last(self) -> None:
        mandatory = deny(Kind.CONNECT_USER, context=Context.MANDATORY)
        assert not self.connect(mandatory, allow(Kind.CONNECT_USER))

    def test_console_rules_do_not_apply(self) -> None:
        """At the time of the connection it is not known whether the user is at the console."""
        assert not self.connect(allow(Kind.CONNECT_USER, context=Context.NO_CONSOLE))

    def test_other_rules_do_not_count(self) -> None:
        assert not self.connect(allow(Kind.OWN), allow(Kind.SEND))


class TestOwn:
    """own and own_prefix: names that may be owned."""

    def test_name(self) -> None:
        policy = ClientPolicy([allow(Kind.OWN, destination="org.example.A")])
        assert policy.can_own("org.example.A")
        assert not policy.can_own("org.example.A.B")
        assert not policy.can_own("org.example")

    def test_prefix(self) -> None:
        """own_prefix="a.b" allows "a.b" and "a.b.c", not "a.bc"."""
        policy = ClientPolicy([allow(Kind.OWN, destination="a.b", prefix=True)])
        assert policy.can_own("a.b")
        assert policy.can_own("a.b.c")
        assert not policy.can_own("a.bc")
        assert not policy.can_own("a")

    def test_any(self) -> None:
        assert ClientPolicy([allow(Kind.OWN)]).can_own("a.b")

    def test_exception(self) -> None:
        policy = ClientPolicy([allow(Kind.OWN), deny(Kind.OWN, destination="a.b")])
        assert policy.can_own("a.c")
        assert not policy.can_own("a.b")

    @settings(deadline=None)
    @given(names, names)
    def test_below(self, name: str, prefix: str) -> None:
        labels = name.split(".")
        assert is_below(name, prefix) == (labels[: prefix.count(".") + 1] == prefix.split("."))


class TestMessage:
    """Common attributes of send_ and receive_ rules."""

    @pytest.mark.parametrize("kind", [Kind.SEND, Kind.RECEIVE])
    @pytest.mark.parametrize(
        ("field", "other"),
        [
            ({"message_type": 1}, {"message_type": 4}),
            ({"path": "/a"}, {"path": "/a/b"}),
            ({"interface": "org.example.I"}, {"interface": "org.example"}),
            ({"path": "/a", "member": "Get"}, {"path": "/a", "member": "Set"}),
            ({"min_fds": 1}, {"min_fds": 2}),
            ({"max_fds": 1}, {"max_fds": 0}),
        ],
    )
    def test_field(self, kind: Kind, field: dict[str, object], other: dict[str, object]) -> None:
        message = CALL.replace(n_fds=1)
        judge = can_send if kind == Kind.SEND else can_receive
        assert judge(allow(kind, **field), message=message)
        assert not judge(allow(kind, **other), message=message)

    @pytest.mark.parametrize("kind", [Kind.SEND, Kind.RECEIVE])
    def test_error_name(self, kind: Kind) -> None:
        judge = can_send if kind == Kind.SEND else can_receive
        assert judge(allow(kind, error="org.example.E"), message=ERROR, reply=True)
        assert not judge(allow(kind, error="org.example.F"), message=ERROR, reply=True)

    @pytest.mark.parametrize("kind", [Kind.SEND, Kind.RECEIVE])
    @pytest.mark.parametrize("field", ["path", "member", "error"])
    def test_a_missing_field_does_not_skip_a_rule(self, kind: Kind, field: str) -> None:
        """A rule with a path, a member or an error name applies to messages without one."""
        judge = can_send if kind == Kind.SEND else can_receive
        bare = Header(1, destination="org.example")
        assert judge(allow(kind, **{field: "/x"}), message=bare)
        everything = allow(kind)
        assert not judge(everything, deny(kind, **{field: "/x"}), message=bare)

    @pytest.mark.parametrize("kind", [Kind.SEND, Kind.RECEIVE])
    def test_a_missing_interface_is_denied_and_not_allowed(self, kind: Kind) -> None:
        judge = can_send if kind == Kind.SEND else can_receive
        bare = CALL.replace(interface=None)
        assert not judge(allow(kind, interface="org.example.I"), message=bare)
        assert not judge(allow(kind), deny(kind, interface="org.example.Other"), message=bare)
        assert judge(allow(kind), deny(kind, interface="org.example.Other"))


class TestReplies:
    """For allow, requested_reply means only requested replies; for deny, only the others."""

    @pytest.mark.parametrize("kind", [Kind.SEND, Kind.RECEIVE])
    @pytest.mark.parametrize("message", [RETURN, ERROR, CALL.replace(is_reply=True)])
    def test_allow(self, kind: Kind, message: Header) -> None:
        judge = can_send if kind == Kind.SEND else can_receive
        assert judge(allow(kind), message=message, reply=True)
        assert not judge(allow(kind), message=message, reply=False)
        assert judge(allow(kind, requested_reply=False), message=message, reply=False)

    @pytest.mark.parametrize("kind", [Kind.SEND, Kind.RECEIVE])
    def test_allow_eavesdropping_lets_every_reply_pass(self, kind: Kind) -> None:
        judge = can_send if kind == Kind.SEND else can_receive
        assert judge(allow(kind, eavesdrop=True), message=RETURN, reply=False)

    @pytest.mark.parametrize("kind", [Kind.SEND, Kind.RECEIVE])
    def test_deny(self, kind: Kind) -> None:
        judge = can_send if kind == Kind.SEND else can_receive
        everything = allow(kind, requested_reply=False)
        assert judge(everything, deny(kind, message_type=2), message=RETURN, reply=True)
        assert not judge(everything, deny(kind, message_type=2), message=RETURN, reply=False)
        always = deny(kind, message_type=2, requested_reply=True)
        assert not judge(everything, always, message=RETURN, reply=True)

    def test_calls_and_signals_are_no_replies(self) -> None:
        assert can_send(ALLOW_SEND, message=CALL, reply=False)
        assert can_receive(ALLOW_RECEIVE, message=SIGNAL, reply=False)


class TestSend:
    """send_destination is compared with the names of the receiver, not with the header."""

    def test_any_name_of_the_receiver(self) -> None:
        """All names that the receiver owns or waits for are compared."""
        for name in (":1.5", "org.example"):
            assert can_send(allow(Kind.SEND, destination=name))
            assert can_send(allow(Kind.SEND, destination=name), message=CALL.replace(destination=":1.5"))
        assert not can_send(allow(Kind.SEND, destination="org.example.A"))

    def test_a_name_of_the_header_that_the_receiver_lost(self) -> None:
        assert not can_send(allow(Kind.SEND, destination="org.example"), to=frozenset({":1.5"}))

    def test_broadcasts_too(self) -> None:
        assert can_send(allow(Kind.SEND, destination="org.example"), message=SIGNAL)

    def test_without_a_receiver_the_header_counts(self) -> None:
        """The bus itself is no client, and a service to be activated isn't one yet."""
        to_bus = CALL.replace(destination=BUS)
        assert can_send(allow(Kind.SEND, destination=BUS), message=to_bus, to=None)
        assert not can_send(allow(Kind.SEND, destination="org.example"), message=to_bus, to=None)
        assert not can_send(allow(Kind.SEND, destination=BUS), message=SIGNAL, to=None)

    def test_prefix(self) -> None:
        """send_destination_prefix="a.b" matches "a.b" and "a.b.c", not "a.bc"."""
        rule = allow(Kind.SEND, destination="a.b", prefix=True)
        for name, matches in (("a.b", True), ("a.b.c", True), ("a.bc", False), ("a", False)):
            assert can_send(rule, to=frozenset({":1.5", name})) is matches
            assert can_send(rule, to=None, message=CALL.replace(destination=name)) is matches
        assert not can_send(rule, to=None, message=SIGNAL)

    def test_broadcast(self) -> None:
        """send_broadcast="true" matches signals without destination, "false" all other messages."""
        only, never = allow(Kind.SEND, broadcast=True), allow(Kind.SEND, broadcast=False)
        for message, is_broadcast in (
            (SIGNAL, True),
            (CALL, False),
            (SIGNAL.replace(destination="a.b"), False),
        ):
            assert can_send(only, message=message) is is_broadcast
            assert can_send(never, message=message) is not is_broadcast

    def test_log(self) -> None:
        """The log attribute of the last matching rule applies."""
        policy = ClientPolicy([allow(Kind.SEND, log=True)])
        assert policy.can_send(CALL, RECEIVER).log
        quiet = ClientPolicy([allow(Kind.SEND, log=True), allow(Kind.SEND, message_type=1)])
        assert not quiet.can_send(CALL, RECEIVER).log
        assert not ClientPolicy([]).can_send(CALL, RECEIVER).log


class TestReceive:
    """receive_sender is compared with the names of the sender; eavesdrop concerns messages to others."""

    def test_any_name_of_the_sender(self) -> None:
        assert can_receive(allow(Kind.RECEIVE, destination="com.example"))
        assert can_receive(allow(Kind.RECEIVE, destination=":1.7"))
        assert not can_receive(allow(Kind.RECEIVE, destination="org.example"))

    def test_the_bus_itself(self) -> None:
        from_bus = SIGNAL.replace(sender=BUS)
        assert can_receive(allow(Kind.RECEIVE, destination=BUS), message=from_bus, of=None)
        assert not can_receive(allow(Kind.RECEIVE, destination="com.example"), message=from_bus, of=None)

    def test_allow(self) -> None:
        """For allow, eavesdrop="true" means that the rule matches even when eavesdropping."""
        assert not can_receive(ALLOW_RECEIVE, eavesdropping=True)
        assert can_receive(allow(Kind.RECEIVE, eavesdrop=True), eavesdropping=True)
        assert can_receive(allow(Kind.RECEIVE, eavesdrop=True), eavesdropping=False)

    def test_deny(self) -> None:
        """For deny, eavesdrop="true" means that the rule matches only when eavesdropping."""
        everything = allow(Kind.RECEIVE, eavesdrop=True)
        only = deny(Kind.RECEIVE, message_type=1, eavesdrop=True)
        assert not can_receive(everything, only, eavesdropping=True)
        assert can_receive(everything, only, eavesdropping=False)
        always = deny(Kind.RECEIVE, message_type=1)
        assert not can_receive(everything, always, eavesdropping=True)
        assert not can_receive(everything, always, eavesdropping=False)


class TestCatchAll:
    """A rule without type and strings invalidates all rules before it, even where it doesn't match itself."""

    def test_deny_by_fds(self) -> None:
        rule = deny(Kind.SEND, min_fds=1)
        assert not can_send(ALLOW_SEND, rule)
        assert can_send(ALLOW_SEND, rule.replace(message_type=1))

    def test_deny_broadcasts(self) -> None:
        assert not can_send(ALLOW_SEND, deny(Kind.SEND, broadcast=True))

    def test_only_of_its_kind(self) -> None:
        assert can_receive(ALLOW_RECEIVE, ALLOW_SEND)

    def test_across_contexts(self) -> None:
        user = deny(Kind.SEND, min_fds=1).replace(context=Context.USER, principal=0)
        policy = Policy([user, ALLOW_SEND])
        assert not policy.for_identity(Identity(0)).can_send(CALL, RECEIVER)
        assert policy.for_identity(Identity(1)).can_send(CALL, RECEIVER)

    def test_what_is_cleared_does_not_count_as_matched(self) -> None:
        assert ClientPolicy([ALLOW_SEND, ALLOW_SEND]).can_send(CALL, RECEIVER).matched == 1


class TestReason:
    """ "Why was this denied?" """

    def test_the_rule_and_its_place(self) -> None:
        rule = Rule(Kind.SEND, False, message_type=1, path="/a", log=True, file="/etc/a.conf", line=7)
        verdict = ClientPolicy([ALLOW_SEND, rule]).can_send(CALL, RECEIVER)
        assert verdict.rule is rule
        assert verdict.matched == 2
        assert verdict.reason == (
            'denied by <deny send_type="method_call" send_path="/a" log="true"/> (/etc/a.conf:7)'
        )

    def test_allowed(self) -> None:
        rule = allow(Kind.OWN, file="/etc/a.conf", line=7)
        assert ClientPolicy([rule]).can_own("a.b").reason == 'allowed by <allow own="*"/> (/etc/a.conf:7)'

    def test_no_rule(self) -> None:
        verdict = ClientPolicy([]).can_own("a.b")
        assert (verdict.rule, verdict.matched, verdict.reason) == (None, 0, "denied: no rule matched")

    def test_the_owner_of_the_bus(self) -> None:
        verdict = Policy([]).can_connect(0, (), 0)
        assert verdict.reason == "allowed: only the bus's own user may connect by default"


class TestAnyPolicy:
    @settings(deadline=None)
    @given(policies(), identities, headers(), st.booleans(), st.booleans())
    def test_through_a_block(
        self, rules: list[Rule], identity: Identity, message: Header, reply: bool, eavesdropping: bool
    ) -> None:
        """The block decides as the rules do, by the last matching rule."""
        one = Policy(rules).for_identity(identity)
        two = Policy(decode(encode(rules))).for_identity(identity)
        assert one.can_send(message, RECEIVER, reply) == two.can_send(message, RECEIVER, reply)
        verdict = one.can_receive(message, SENDER, reply, eavesdropping)
        assert verdict == two.can_receive(message, SENDER, reply, eavesdropping)
        assert (verdict.rule is None) == (verdict.matched == 0)
        assert verdict.allowed == (verdict.rule is not None and verdict.rule.allow)
