"""Relations between two rules of one kind: whether one matches all that another matches, or nothing of it.

Of replies only those count that libraries send: none of them has an interface.
"""

from __future__ import annotations

from ...policy.evaluate import is_below
from ...policy.rules import Kind, Rule

METHOD_CALL, SIGNAL = 1, 4
WITH_MEMBER = (METHOD_CALL, SIGNAL)


def covers(wide: Rule, narrow: Rule) -> bool:
    """Return True if every message or name that ``narrow`` matches is matched by ``wide``, too.

    Both are send, receive or own rules. False also if that is not certain.
    """
    if wide.kind != narrow.kind or not _covers_name(wide, narrow):
        return False
    if wide.kind == Kind.OWN:
        return True
    return (
        wide.message_type in (0, narrow.message_type)
        and all(
            ours is None or ours == theirs
            for ours, theirs in (
                (wide.path, narrow.path),
                (wide.member, narrow.member),
                (wide.error, narrow.error),
            )
        )
        and _covers_interface(wide, narrow)
        and wide.min_fds <= narrow.min_fds
        and wide.max_fds >= narrow.max_fds
        and wide.broadcast in (None, narrow.broadcast)
        and _replies(wide) >= _replies(narrow)
        and _listeners(wide) >= _listeners(narrow)
    )


def _covers_name(wide: Rule, narrow: Rule) -> bool:
    if wide.destination is None:
        return True
    if narrow.destination is None:
        return False
    if wide.prefix:
        return is_below(narrow.destination, wide.destination)
    return not narrow.prefix and narrow.destination == wide.destination


def _covers_interface(wide: Rule, narrow: Rule) -> bool:
    """Without an interface in the message a rule about one matches if it denies."""
    if wide.interface is None:
        return True
    return wide.interface == narrow.interface and not (wide.allow and not narrow.allow)


def _replies(rule: Rule) -> set[str]:
    """Return the replies that it can match: "requested", "unrequested"."""
    if rule.allow and rule.interface is not None:
        return set()
    if rule.allow:
        return {"requested"} | ({"unrequested"} if not rule.requested_reply or rule.eavesdrop else set())
    return {"unrequested"} | ({"requested"} if rule.requested_reply else set())


def _listeners(rule: Rule) -> set[str]:
    """Return the receivers that it can match: those addressed, and eavesdroppers."""
    if rule.kind != Kind.RECEIVE:
        return set()
    if rule.allow:
        return {"addressed"} | ({"eavesdropper"} if rule.eavesdrop else set())
    return {"eavesdropper"} | (set() if rule.eavesdrop else {"addressed"})


def overlaps(one: Rule, other: Rule) -> bool:
    """Return True unless it is certain that nothing is matched by both.

    A connection can own several names, so names alone never keep two rules about messages apart.
    """
    if one.kind != other.kind:
        return False
    if one.kind == Kind.OWN:
        return _names_meet(one, other)
    if one.message_type and other.message_type and one.message_type != other.message_type:
        return False
    if _differ(one.interface, other.interface) and (one.allow or other.allow):
        return False
    # Messages of these types have a path and a member; a field that is not there matches any.
    if one.message_type in WITH_MEMBER or other.message_type in WITH_MEMBER:
        return not (_differ(one.path, other.path) or _differ(one.member, other.member))
    return True


def contradicts(one: Rule, other: Rule) -> bool:
    """Return True if both are about the same names, say the opposite, and meet."""
    return (
        one.allow != other.allow
        and one.destination is not None
        and other.destination is not None
        and _names_meet(one, other)
        and overlaps(one, other)
    )


def _names_meet(one: Rule, other: Rule) -> bool:
    if one.destination is None or other.destination is None:
        return True
    return _covers_name(one, other) or _covers_name(other, one)


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other
