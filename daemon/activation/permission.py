"""What the policy says about a message before there is anybody to send it to."""

from __future__ import annotations

from typing import Final

from ...policy.evaluate import ClientPolicy, Header
from .. import errors
from ..errors import DBusError
from ..logging import DENIED, Log
from ..peers import Peer

TYPES: Final = ("invalid", "method_call", "method_return", "error", "signal")


def objection(policy: ClientPolicy, peer: Peer, header: Header, log: Log) -> DBusError | None:
    """Return the error for a message that no service must be started for.

    The service is taken to have no name but the message's destination. When it is there, it is asked again
    whether it may have the message, by all its names and by its own rules too.
    """
    verdict = policy.can_send(header, None)
    if verdict and not verdict.log:
        return None
    text = (
        f"{'Would reject' if verdict else 'Rejected send'} message, {verdict.matched} matched rules;"
        f' type="{TYPES[header.type]}", sender="{peer.unique_name}" ({peer.credentials.loginfo})'
        f' interface="{_or_unset(header.interface)}" member="{_or_unset(header.member)}"'
        f' error name="{_or_unset(header.error_name)}" requested_reply="0"'
        f' destination="{header.destination}" (bus)'
    )
    rule = verdict.rule
    log.security(
        text,
        MESSAGE_ID=DENIED,
        DBUS_SENDER=peer.unique_name,
        DBUS_DESTINATION=header.destination,
        CONFIG_FILE=None if rule is None else rule.file,
        CONFIG_LINE=None if rule is None else rule.line,
    )
    return None if verdict else DBusError(errors.ACCESS_DENIED, text)


def _or_unset(text: str | None) -> str:
    return "(unset)" if text is None else text
