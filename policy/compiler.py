"""Compiles the attributes of an <allow> or <deny> into a rule."""

from __future__ import annotations

from .models import MAX_MESSAGE_FDS, RuleAttributes
from .principals import group_id, user_id
from .rules import ANY_ID, NO_MAXIMUM, Context, Kind, Rule
from .xml import Element


class UnknownPrincipalError(LookupError):
    """A connect rule names a user or group unknown to the system; dbus-daemon ignores the rule."""


def compile_rule(attributes: RuleAttributes, context: Context, principal: int, element: Element) -> Rule:
    """Return the rule; principal is the uid or gid of the enclosing <policy>, or ANY_ID.

    Raises UnknownPrincipalError.
    """
    if attributes.is_send:
        return _send(attributes, context, principal, element)
    if attributes.is_receive:
        return _receive(attributes, context, principal, element)
    allow = attributes.element == "allow"
    if attributes.own is not None or attributes.own_prefix is not None:
        return Rule(
            kind=Kind.OWN,
            allow=allow,
            context=context,
            principal=principal,
            destination=_any(attributes.own) if attributes.own_prefix is None else attributes.own_prefix,
            prefix=attributes.own_prefix is not None,
            file=element.file,
            line=element.line,
        )
    by_user = attributes.user is not None
    return Rule(
        kind=Kind.CONNECT_USER if by_user else Kind.CONNECT_GROUP,
        allow=allow,
        context=context,
        principal=_subject(attributes),
        file=element.file,
        line=element.line,
    )


def _send(attributes: RuleAttributes, context: Context, principal: int, element: Element) -> Rule:
    allow = attributes.element == "allow"
    prefix = attributes.send_destination_prefix
    return Rule(
        kind=Kind.SEND,
        allow=allow,
        context=context,
        principal=principal,
        message_type=attributes.send_type,
        # A prefix of "*" is not a wildcard.
        destination=_any(attributes.send_destination) if prefix is None else prefix,
        path=_any(attributes.send_path),
        interface=_any(attributes.send_interface),
        member=_any(attributes.send_member),
        error=_any(attributes.send_error),
        min_fds=attributes.min_fds,
        max_fds=_max_fds(attributes),
        prefix=prefix is not None,
        eavesdrop=attributes.eavesdrop,
        requested_reply=_requested(attributes.send_requested_reply, allow),
        log=attributes.log == "true",
        broadcast=attributes.send_broadcast,
        file=element.file,
        line=element.line,
    )


def _receive(attributes: RuleAttributes, context: Context, principal: int, element: Element) -> Rule:
    allow = attributes.element == "allow"
    return Rule(
        kind=Kind.RECEIVE,
        allow=allow,
        context=context,
        principal=principal,
        message_type=attributes.receive_type,
        destination=_any(attributes.receive_sender),
        path=_any(attributes.receive_path),
        interface=_any(attributes.receive_interface),
        member=_any(attributes.receive_member),
        error=_any(attributes.receive_error),
        min_fds=attributes.min_fds,
        max_fds=_max_fds(attributes),
        eavesdrop=attributes.eavesdrop,
        requested_reply=_requested(attributes.receive_requested_reply, allow),
        file=element.file,
        line=element.line,
    )


def _any(text: str | None) -> str | None:
    return None if text == "*" else text


def _max_fds(attributes: RuleAttributes) -> int:
    return NO_MAXIMUM if attributes.max_fds >= MAX_MESSAGE_FDS else attributes.max_fds


def _requested(given: bool | None, allow: bool) -> bool:
    # An allow rule lets only requested replies pass, a deny rule stops only unrequested ones.
    return allow if given is None else given


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
