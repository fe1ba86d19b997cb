"""org.freedesktop.DBus.Monitoring: connections that see everything and say nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...transport.relay import MatchRuleError
from .. import errors
from ..errors import DBusError
from .method import NO_REPLY_EXPECTED, Call, Interface, Method

if TYPE_CHECKING:
    from ..bus import Bus


def become_monitor(bus: Bus, call: Call) -> None:
    """BecomeMonitor(as rules, u flags): the connection gives up its names and sees what the rules match.

    No rules at all match everything.
    """
    rules, flags = call.args
    if flags:
        raise DBusError(errors.INVALID_ARGS, "BecomeMonitor does not support any flags yet")
    peer = call.peer
    serial = 0 if call.flags & NO_REPLY_EXPECTED else call.serial
    try:
        bus.relay.become_monitor(peer.id, serial, rules)
    except MatchRuleError as error:
        name = errors.LIMITS_EXCEEDED if error.too_long else errors.MATCH_RULE_INVALID
        raise DBusError(name, str(error)) from error
    call.answered()
    peer.monitor = True
    # The name asked for first goes first, unlike when a connection ends.
    bus.leave_queues(peer.id, first_first=True)
    call.resume()
    bus.log.info(f"Connection {peer.unique_name} ({peer.credentials.loginfo}) became a monitor.")


MONITORING: Final = Interface(
    "org.freedesktop.DBus.Monitoring",
    (Method("BecomeMonitor", "asu", "", become_monitor, any_path=False, privileged=True),),
    any_path=False,
    listed=True,
)
