"""The policy for messages whose recipient has yet to be started."""

from __future__ import annotations

from typing import Final

from ...policy.question import Header
from ...transport.relay import Evaluator
from .. import errors
from ..errors import DBusError
from ..logging import DENIED, Log
from ..peers import Peer

TYPES: Final = ("invalid", "method_call", "method_return", "error", "signal")


def objection(policy: Evaluator, peer: Peer, header: Header, log: Log) -> DBusError | None:
    """Return the error for a message that must not start a service; None if it may.

    The service is assumed to own only the destination. Once it is connected, the message is checked again
    with all its names and its own rules.
    """
    verdict = policy.can_send(peer.identity, header)
    if verdict.allowed and not verdict.log:
        return None
    text = (
        f"{'Would reject' if verdict.allowed else 'Rejected send'} message, {verdict.matched} matched rules;"
        f' type="{TYPES[header.type]}", sender="{peer.unique_name}" ({peer.credentials.loginfo})'
        f' interface="{_or_unset(header.interface)}" member="{_or_unset(header.member)}"'
        f' error name="{_or_unset(header.error_name)}" requested_reply="0"'
        f' destination="{header.destination}" (bus)'
    )
    log.security(
        text,
        MESSAGE_ID=DENIED,
        DBUS_SENDER=peer.unique_name,
        DBUS_DESTINATION=header.destination,
        CONFIG_FILE=verdict.file,
        CONFIG_LINE=verdict.line or None,
    )
    return None if verdict.allowed else DBusError(errors.ACCESS_DENIED, text)


def _or_unset(text: str | None) -> str:
    return "(unset)" if text is None else text
