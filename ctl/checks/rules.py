"""Faults of single rules, and rules that never matter."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from ...policy.rules import NO_MAXIMUM, Context, Kind, Rule
from .finding import Finding
from .relation import contradicts, covers, overlaps

ROOT = 0
METHOD_CALL, SIGNAL = 1, 4
REPLIES = (2, 3)
FOR_ALL = (Context.DEFAULT, Context.MANDATORY)


def find(rules: Sequence[Rule], *, main: str, session: bool) -> Iterator[Finding]:
    """Yield the findings about rules, which are all those of a bus in the order of the files.

    main: the file of the bus itself, whose rules are about everything by design. session: one user's bus,
    where everything may be allowed.
    """
    clients = [rule for rule in rules if rule.is_per_client]
    for rule in clients:
        if not session and rule.file != main:
            yield from _alone(rule)
        yield from _elsewhere(rule, main)
    for same in _lists(clients):
        yield from _void(same)
        yield from _contradictions(same)
    yield from _receiving(clients)


def _finding(rule: Rule, code: str, text: str, advice: str = "") -> Finding:
    return Finding(rule.file, rule.line, code, text, advice)


def _alone(rule: Rule) -> Iterator[Finding]:
    """Yield what is wrong with one rule of a file for the system bus."""
    is_for_all = rule.context in FOR_ALL
    if rule.kind == Kind.SEND and rule.destination is None:
        if rule.allow and is_for_all and rule.is_catch_all and not _is_restricted(rule):
            advice = "name the destination; all rules about sending in files before this one are void"
            yield _finding(rule, "E003", str(rule), advice)
        elif rule.message_type in (0, METHOD_CALL) and not _is_root(rule) and rule.broadcast is not True:
            yield _finding(
                rule,
                "W004",
                str(rule),
                f'is about every service on the bus; name the receiver if it has a name: "{_guess(rule)}"?',
            )
    if rule.kind == Kind.OWN and rule.allow and is_for_all:
        yield _finding(rule, "W005", str(rule), "allow it in the <policy> of the user that runs the service")
    if rule.context in (Context.AT_CONSOLE, Context.NO_CONSOLE):
        yield _finding(rule, "W007", str(rule), "let polkit decide, or a group")


def _is_restricted(rule: Rule) -> bool:
    return rule.broadcast is not None or rule.min_fds > 0 or rule.max_fds != NO_MAXIMUM


def _is_root(rule: Rule) -> bool:
    return rule.context == Context.USER and rule.principal == ROOT


def _guess(rule: Rule) -> str:
    """Return the name of the service that a file is probably about: that of the file."""
    stem = os.path.basename(rule.file).removesuffix(".conf")
    return stem if "." in stem else rule.interface or "NAME"


def _elsewhere(rule: Rule, main: str) -> Iterator[Finding]:
    """Yield what dbus-daemon or dbus-broker reads otherwise."""
    if rule.file == main:
        return
    if rule.kind == Kind.SEND and rule.prefix:
        text = "dbus-daemon before 1.16 passes over a file with send_destination_prefix"
        yield _finding(rule, "P012", text)
    if rule.log:
        yield _finding(rule, "P012", "dbus-broker ignores log")
    if rule.error is not None:
        yield _finding(rule, "P012", "dbus-broker ignores rules about errors")
    elif rule.message_type in REPLIES:
        yield _finding(rule, "P012", "dbus-broker ignores rules about replies, and never lets others pass")


def _lists(rules: Iterable[Rule]) -> list[list[Rule]]:
    """Return the rules of each kind that are evaluated one after the other for the same connections."""
    lists: dict[tuple[Kind, Context, int], list[Rule]] = {}
    for rule in rules:
        lists.setdefault((rule.kind, rule.context, rule.principal), []).append(rule)
    return list(lists.values())


def _void(rules: Sequence[Rule]) -> Iterator[Finding]:
    """Yield the rules of a list whose removal would change no verdict, because of others of their file."""
    gone: set[int] = set()
    for at, rule in enumerate(rules):
        later = next((one for one in rules[at + 1 :] if one.file == rule.file and covers(one, rule)), None)
        if later is not None:
            code = "I010" if later.allow == rule.allow else "W009"
            verb = "says the same" if code == "I010" else "takes it back"
            gone.add(at)
            yield _finding(rule, code, str(rule), f"line {later.line} {verb}: {later}")
            continue
        earlier = _earlier(rules, at, gone)
        if earlier is not None:
            gone.add(at)
            yield _finding(rule, "I011", str(rule), f"line {earlier.line} says the same: {earlier}")


def _earlier(rules: Sequence[Rule], at: int, gone: set[int]) -> Rule | None:
    """Return a rule before ``at`` that makes it superfluous: nothing in between is of another opinion."""
    rule = rules[at]
    if rule.log or rule.is_catch_all:
        return None  # it does more than to decide
    for before in range(at - 1, -1, -1):
        one = rules[before]
        if one.file == rule.file and one.allow == rule.allow and before not in gone and covers(one, rule):
            return one
        if one.allow != rule.allow and overlaps(one, rule):
            return None
        if one.is_catch_all:
            return None  # what is before it is void
    return None


def _contradictions(rules: Sequence[Rule]) -> Iterator[Finding]:
    """Yield pairs of rules in two files of one directory, whose order dbus-daemon leaves undefined."""
    for at, rule in enumerate(rules):
        directory = os.path.dirname(rule.file)
        for number, other in enumerate(rules[:at]):
            if (
                other.file != rule.file
                and os.path.dirname(other.file) == directory
                and contradicts(rule, other)
                and not _agrees_later(rules, at, other)
                and not _agrees_later(rules, number, rule)
            ):
                yield _finding(
                    rule, "W008", str(rule), f"{other.file}:{other.line} says the opposite: {other}"
                )
                break


def _agrees_later(rules: Sequence[Rule], at: int, other: Rule) -> bool:
    """Return True if the file of a rule itself says later what ``other`` says: then the order is the same."""
    return any(
        one.file == rules[at].file and one.allow == other.allow and covers(one, other)
        for one in rules[at + 1 :]
    )


def _receiving(rules: Sequence[Rule]) -> Iterator[Finding]:
    """Yield rules that allow to receive what is allowed by default, and denied nowhere in between."""
    receiving = [rule for rule in rules if rule.kind == Kind.RECEIVE]
    default = [rule for rule in receiving if rule.context == Context.DEFAULT]
    for rule in receiving:
        if not rule.allow or rule.is_catch_all:
            continue
        before = default[: _index(default, rule)] if rule.context == Context.DEFAULT else default
        if all(_allowed(before, receiving, rule.replace(message_type=kind)) for kind in _types(rule)):
            yield _finding(rule, "I006", str(rule), "what may be sent may be received; remove it")


def _index(rules: Sequence[Rule], rule: Rule) -> int:
    return next(at for at, one in enumerate(rules) if one is rule)


def _types(rule: Rule) -> tuple[int, ...]:
    return (rule.message_type,) if rule.message_type else (1, 2, 3, 4)


def _allowed(before: Sequence[Rule], receiving: Sequence[Rule], rule: Rule) -> bool:
    """Return True if a rule before allows this, and no rule that may come after that one denies any of it."""
    for at in range(len(before) - 1, -1, -1):
        one = before[at]
        if one.allow and covers(one, rule):
            return not any(_may_spoil(other, rule) for other in receiving if other.context != Context.DEFAULT)
        if _may_spoil(one, rule):
            return False
    return False


def _may_spoil(other: Rule, rule: Rule) -> bool:
    return other.is_catch_all or (not other.allow and overlaps(other, rule))
