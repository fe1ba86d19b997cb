"""The rule that would allow what was denied, and nothing else; found by trying it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..policy.evaluate import Policy, Verdict
from ..policy.question import Header, Identity
from ..policy.rules import Context, Kind, Rule
from ..record import Record
from .source import Source
from .subjects import user_name

ANY_PATH = "/omnibusctl/any/path"
"""The object path of a message for which none was given: no rule is about it."""
LOCAL = "/etc/dbus-1/{}-local.conf"


class Hint(Record):
    """A place and the lines for it; without lines only a text that says why there are none."""

    text: str
    lines: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"text": self.text, "lines": list(self.lines)}


def hint_for(
    source: Source,
    sender: Identity,
    receiver: Identity | None,
    header: Header | None,
    what: Mapping[str, Any],
    verdicts: Mapping[str, Verdict],
) -> Hint:
    """Return what would allow a denied question.

    ``verdicts`` are those of the sides that were asked, and the last one is a denial.
    """
    side = list(verdicts)[-1]
    identity = receiver if side == "receive" and receiver is not None else sender
    if side == "connect":
        line = f'<allow user="{user_name(identity.uid)}"/>'
        where = _local(source)
        return Hint(f"add to {where}", ('<policy context="default">', f"  {line}", "</policy>"))
    if identity.uid is None:
        return Hint("no rule can allow it to an anonymous user alone")
    rule = _rule(side, header, what, identity.uid)
    if rule is None:
        return Hint(
            "no rule is proposed for a reply that nothing has asked for, or without interface and path"
        )
    lines = (f'<policy user="{user_name(identity.uid)}">', f"  {rule}", "</policy>")
    for at, where in _places(source, rule):
        policy = Policy((*source.rules[:at], rule, *source.rules[at:]))
        if _asked_again(policy, identity, side, header, what):
            return Hint(f"add to {where}", lines)
    deciding = verdicts[side].rule
    context = (
        "a rule that comes after those of users" if deciding is None else f"{deciding.file}:{deciding.line}"
    )
    return Hint(f"no rule for this user can allow it, since {context} is evaluated later")


def _rule(side: str, header: Header | None, what: Mapping[str, Any], uid: int) -> Rule | None:
    if side == "own":
        return Rule(Kind.OWN, True, Context.USER, uid, destination=what["own"])
    assert header is not None, "it is about a message"
    if header.is_reply or (header.interface is None and header.path == ANY_PATH):
        return None
    kind = Kind.SEND if side == "send" else Kind.RECEIVE
    return Rule(
        kind,
        True,
        Context.USER,
        uid,
        message_type=0 if header.type == 1 and header.destination else header.type,
        destination=header.destination if kind == Kind.SEND else header.sender,
        path=None if header.interface else header.path,
        interface=header.interface,
        member=header.member,
        requested_reply=True,
    )


def _places(source: Source, rule: Rule) -> list[tuple[int, str]]:
    """Return where the rule could stand: behind those of its destination, or at the end."""
    found = []
    same = [
        at
        for at, one in enumerate(source.rules)
        if rule.destination is not None and one.destination == rule.destination and one.file
    ]
    if same:
        file = source.rules[same[-1]].file
        end = max(at for at, one in enumerate(source.rules) if one.file == file)
        found.append((end + 1, file))
    return [*found, (len(source.rules), _local(source))]


def _local(source: Source) -> str:
    kind = source.settings.bus_type if source.settings is not None else None
    return LOCAL.format(kind or "system")


def _asked_again(
    policy: Policy, identity: Identity, side: str, header: Header | None, what: Mapping[str, Any]
) -> bool:
    client = policy.for_identity(identity)
    if side == "own":
        return bool(client.can_own(what["own"]))
    assert header is not None
    if side == "send":
        names = None if header.destination is None else (header.destination,)
        return bool(client.can_send(header, names))
    return bool(client.can_receive(header, ()))
