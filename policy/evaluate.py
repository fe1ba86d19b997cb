"""The reference evaluation: the decision of the policy, and the rule that made it.

The daemon does not use it: both of its planes evaluate the policy in C (``transport/relay/policy``). This
version is written to be read: tests compare the two, and tools explain a decision with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..record import Record
from .question import Header, Identity
from .rules import ANY_ID, Context, Kind, Rule


class Verdict(Record):
    """A decision, and the rule that made it.

    rule: the deciding rule; None if none matched, and the default applies.
    matched: how many rules matched; dbus-daemon puts it into its error messages.
    overruled: those of them before the deciding one, in the order of evaluation.
    reason: one line for an administrator.
    """

    allowed: bool
    rule: Rule | None
    matched: int
    default: str = "no rule matched"
    overruled: tuple[Rule, ...] = ()

    def __bool__(self) -> bool:
        return self.allowed

    @property
    def log(self) -> bool:
        """True if the deciding rule requests a log line."""
        return self.rule is not None and self.rule.log

    @property
    def reason(self) -> str:
        """The deciding rule and its place in the files."""
        outcome = "allowed" if self.allowed else "denied"
        if self.rule is None:
            return f"{outcome}: {self.default}"
        return f"{outcome} by {self.rule} ({self.rule.file}:{self.rule.line})"


class Policy:
    """The rules of the whole bus."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._per_client: dict[tuple[Context, int], list[Rule]] = {}
        self._connect: list[Rule] = []
        for rule in self.rules:
            if rule.is_per_client:
                self._per_client.setdefault((rule.context, rule.principal), []).append(rule)
            else:
                self._connect.append(rule)

    def can_connect(self, uid: int, gids: Collection[int], bus_owner_uid: int) -> Verdict:
        """Decide if a user may connect.

        gids are the groups of the uid in the user database, not those of the connecting process. Without a
        matching rule only the bus's own user may connect. Rules in <policy context="mandatory"> come last.
        """
        matching = [
            rule
            for context in (Context.DEFAULT, Context.MANDATORY)
            for rule in self._connect
            if rule.context == context and _is_about(rule, uid, gids)
        ]
        if not matching:
            return Verdict(uid == bus_owner_uid, None, 0, "only the bus's own user may connect by default")
        return _last(matching)

    def for_identity(self, identity: Identity) -> ClientPolicy:
        """Return the rules that apply to an identity, in the order of evaluation."""
        chosen = list(self._of(Context.DEFAULT))
        for gid in sorted(set(identity.gids)):
            chosen += self._of(Context.GROUP, gid)
        if identity.uid is not None:
            chosen += self._of(Context.USER, identity.uid)
            chosen += self._of(Context.AT_CONSOLE if identity.at_console else Context.NO_CONSOLE)
        chosen += self._of(Context.MANDATORY)
        return ClientPolicy(chosen)

    def _of(self, context: Context, principal: int = ANY_ID) -> list[Rule]:
        return self._per_client.get((context, principal), [])


class ClientPolicy:
    """The rules that apply to one identity. The last match decides; without a match the answer is no."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        kinds: dict[Kind, list[Rule]] = {Kind.SEND: [], Kind.RECEIVE: [], Kind.OWN: []}
        for rule in rules:
            of_kind = kinds[rule.kind]
            if rule.is_catch_all:
                of_kind.clear()
            of_kind.append(rule)
        self.send = tuple(kinds[Kind.SEND])
        self.receive = tuple(kinds[Kind.RECEIVE])
        self.own = tuple(kinds[Kind.OWN])

    def can_own(self, name: str) -> Verdict:
        """Decide if the client may request a well-known name."""
        return _last(rule for rule in self.own if _covers_name(rule, name))

    def can_send(
        self, message: Header, receiver_names: Collection[str] | None, requested_reply: bool = False
    ) -> Verdict:
        """Decide if a message may be sent to one receiver.

        receiver_names: all names that the receiver owns or waits for, its unique name included; None if
        there is no receiver yet, or it is the bus: then the destination of the message is compared.
        requested_reply: the message answers a call that the receiver made.
        """
        return _last(
            rule
            for rule in self.send
            if _matches_header(rule, message, requested_reply)
            and _matches_broadcast(rule, message)
            and _matches_receiver(rule, message, receiver_names)
        )

    def can_receive(
        self,
        message: Header,
        sender_names: Collection[str] | None,
        requested_reply: bool = False,
        eavesdropping: bool = False,
    ) -> Verdict:
        """Decide if the client may receive a message.

        sender_names: all names that the sender owns or waits for; None if it is the bus itself.
        eavesdropping: the destination of the message is another connection.
        """
        return _last(
            rule
            for rule in self.receive
            if _matches_header(rule, message, requested_reply)
            and _matches_eavesdropping(rule, eavesdropping)
            and _matches_sender(rule, message, sender_names)
        )


def _last(matching: Iterable[Rule]) -> Verdict:
    *overruled, rule = (None, *matching)
    return Verdict(
        rule is not None and rule.allow, rule, len(overruled), overruled=tuple(filter(None, overruled))
    )


def _is_about(rule: Rule, uid: int, gids: Collection[int]) -> bool:
    if rule.kind == Kind.CONNECT_USER:
        return rule.principal in (ANY_ID, uid)
    return rule.kind == Kind.CONNECT_GROUP and (rule.principal == ANY_ID or rule.principal in gids)


def is_below(name: str, prefix: str) -> bool:
    """Return True if the name is the prefix or continues it after a dot."""
    return name == prefix or name.startswith(prefix + ".")


def _covers_name(rule: Rule, name: str) -> bool:
    if rule.destination is None:
        return True
    return is_below(name, rule.destination) if rule.prefix else name == rule.destination


def _matches_header(rule: Rule, message: Header, requested_reply: bool) -> bool:
    if rule.message_type not in (0, message.type):
        return False
    if message.is_reply and not _matches_reply(rule, requested_reply):
        return False
    # A field that the message lacks matches any value ...
    for wanted, found in (
        (rule.path, message.path),
        (rule.member, message.member),
        (rule.error, message.error_name),
    ):
        if wanted is not None and found is not None and wanted != found:
            return False
    # ... but a missing interface must not bypass rules about interfaces: deny rules match, allow rules don't.
    if rule.interface is not None and message.interface is None and rule.allow:
        return False
    if rule.interface is not None and message.interface not in (None, rule.interface):
        return False
    return rule.min_fds <= message.n_fds <= rule.max_fds


def _matches_reply(rule: Rule, requested_reply: bool) -> bool:
    if rule.allow:
        return requested_reply or not rule.requested_reply or rule.eavesdrop
    return not requested_reply or rule.requested_reply


def _matches_broadcast(rule: Rule, message: Header) -> bool:
    return rule.broadcast is None or rule.broadcast == message.is_broadcast


def _matches_eavesdropping(rule: Rule, eavesdropping: bool) -> bool:
    # "eavesdrop" extends an allow rule to messages for other receivers, and limits a deny rule to them.
    if rule.allow:
        return rule.eavesdrop or not eavesdropping
    return eavesdropping or not rule.eavesdrop


def _matches_receiver(rule: Rule, message: Header, receiver_names: Collection[str] | None) -> bool:
    if rule.destination is None:
        return True
    if receiver_names is None:
        return message.destination is not None and _covers_name(rule, message.destination)
    if rule.prefix:
        return any(_covers_name(rule, name) for name in receiver_names)
    return rule.destination in receiver_names


def _matches_sender(rule: Rule, message: Header, sender_names: Collection[str] | None) -> bool:
    if rule.destination is None:
        return True
    if sender_names is None:
        return rule.destination == message.sender
    return rule.destination in sender_names
