"""org.freedesktop.DBus.Monitoring: connections that receive copies of messages and send none."""

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
    """BecomeMonitor(as rules, u flags): the connection becomes a monitor of messages that match a rule.

    Its names are released. An empty list of rules matches everything.
    """
    if call.last_uint32():
        raise DBusError(errors.INVALID_ARGS, "BecomeMonitor does not support any flags yet")
    watch(bus, call)


def watch(bus: Bus, call: Call, *, stamped: bool = False) -> None:
    """Make the caller a monitor by the rules in the first argument; ``stamped``: it is told times, too."""
    bus.in_steps(call, _read_rules(bus, call, stamped))


def _read_rules(bus: Bus, call: Call, stamped: bool) -> Iterator[None]:
    rules: list[str] = []
    for some in call.strings():
        rules += some
        if len(some) == STRINGS_AT_ONCE:
            yield
    _become_monitor(bus, call, rules, stamped)


def _become_monitor(bus: Bus, call: Call, rules: list[str], stamped: bool) -> None:
    peer = call.peer
    serial = 0 if call.flags & NO_REPLY_EXPECTED else call.serial
    try:
        bus.relay.become_monitor(peer.id, serial, rules, stamped=stamped)
    except MatchRuleError as error:
        name = errors.LIMITS_EXCEEDED if error.too_long else errors.MATCH_RULE_INVALID
        raise DBusError(name, str(error)) from error
    call.answered()
    peer.monitor = True
    # In the order of the requests, unlike at the end of a connection.
    bus.leave_queues(peer.id, oldest_first=True)
    call.resume()
    bus.log.info(f"Connection {peer.unique_name} ({peer.credentials.loginfo}) became a monitor.")


MONITORING: Final = Interface(
    "org.freedesktop.DBus.Monitoring",
    (Method("BecomeMonitor", "asu", "", become_monitor, any_path=False, privileged=True),),
    any_path=False,
    listed=True,
)
