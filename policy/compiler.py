"""Compiles the attributes of an <allow> or <deny> into a rule."""

from __future__ import annotations

from functools import partial
from typing import Any

from .attributes import MAX_MESSAGE_FDS, RuleAttributes
from .principals import group_id, user_id
from .rules import ANY_ID, NO_MAXIMUM, Context, Kind, Rule
from .xml import Element

MESSAGE_TEXTS = ("path", "interface", "member", "error")


class UnknownPrincipalError(LookupError):
    """A connect rule names a user or group unknown to the system; dbus-daemon ignores the rule."""


def compile_rule(attributes: RuleAttributes, context: Context, principal: int, element: Element) -> Rule:
    """Return the rule; principal is the uid or gid of the enclosing <policy>, or ANY_ID.

    Raises UnknownPrincipalError.
    """
    allow = attributes.element == "allow"
    rule = partial(Rule, allow=allow, context=context, file=element.file, line=element.line)
    if attributes.is_send:
        prefix = attributes.send_destination_prefix
        return rule(
            kind=Kind.SEND,
            principal=principal,
            # A prefix of "*" is not a wildcard.
            destination=_any(attributes.send_destination) if prefix is None else prefix,
            prefix=prefix is not None,
            log=attributes.log == "true",
            broadcast=attributes.send_broadcast,
            **_message(attributes, "send", allow),
        )
    if attributes.is_receive:
        sender = _any(attributes.receive_sender)
        message = _message(attributes, "receive", allow)
        return rule(kind=Kind.RECEIVE, principal=principal, destination=sender, **message)
    if attributes.own is not None or attributes.own_prefix is not None:
        prefix = attributes.own_prefix
        destination = _any(attributes.own) if prefix is None else prefix
        return rule(kind=Kind.OWN, principal=principal, destination=destination, prefix=prefix is not None)
    kind = Kind.CONNECT_GROUP if attributes.user is None else Kind.CONNECT_USER
    return rule(kind=kind, principal=_subject(attributes))


def _message(attributes: RuleAttributes, side: str, allow: bool) -> dict[str, Any]:
    """Return the fields of a rule that describe messages, whose attributes have the prefix ``side``."""
    texts = {name: _any(getattr(attributes, f"{side}_{name}")) for name in MESSAGE_TEXTS}
    requested = getattr(attributes, f"{side}_requested_reply")
    return texts | {
        "message_type": getattr(attributes, f"{side}_type"),
        "min_fds": attributes.min_fds,
        "max_fds": NO_MAXIMUM if attributes.max_fds >= MAX_MESSAGE_FDS else attributes.max_fds,
        "eavesdrop": attributes.eavesdrop,
        # An allow rule lets only requested replies pass, a deny rule stops only unrequested ones.
        "requested_reply": allow if requested is None else requested,
    }


def _any(text: str | None) -> str | None:
    return None if text == "*" else text


def _subject(attributes: RuleAttributes) -> int:
    text = attributes.user if attributes.user is not None else attributes.group
    assert text is not None, "the model has seen to it"
    if text == "*":
        return ANY_ID
    kind, look_up = ("username", user_id) if attributes.user is not None else ("group", group_id)
    found = look_up(text)
    if found is None:
        raise UnknownPrincipalError(f'Unknown {kind} "{text}" on element <{attributes.element}>')
    return found
