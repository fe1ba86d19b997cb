"""org.freedesktop.DBus.Monitoring: connections that see everything and say nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ...transport.relay import MatchRuleError
from ...transport.relay.message import NO_REPLY_EXPECTED
from .. import errors
from ..codec import STRINGS_AT_ONCE
from ..errors import DBusError
from .method import Call, Interface, Method

if TYPE_CHECKING:
    from ..bus import Bus


def become_monitor(bus: Bus, call: Call) -> None:
    """BecomeMonitor(as rules, u flags): the connection gives up its names and sees what the rules match.

    No rules at all match everything.
    """
    bus.in_bits(call, _read_rules(bus, call))


def _read_rules(bus: Bus, call: Call) -> Iterator[None]:
    rules: list[str] = []
    if call.last_uint32():
        raise DBusError(errors.INVALID_ARGS, "BecomeMonitor does not support any flags yet")
    for some in call.strings():
        rules += some
        if len(some) == STRINGS_AT_ONCE:
            yield
    _become_monitor(bus, call, rules)


def _become_monitor(bus: Bus, call: Call, rules: list[str]) -> None:
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
