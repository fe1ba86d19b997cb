"""What the policy says about a message whose recipient has yet to be started."""

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
    """Return the error for a message that no service must be started for.

    The service is taken to have no name but the message's destination. When it is there, it is asked again
    whether it may have the message, by all its names and by its own rules too.
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
