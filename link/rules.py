"""Match rules of clients, as far as they are about signals of an imported name.

A rule is parsed into keys and values and written again before it goes to another bus, so that no text of one
host becomes a part of a rule on another; that bus then parses it as it does any rule.
"""

from __future__ import annotations

import re
from typing import Final

Rule = frozenset[tuple[str, str]]
"""Keys and values of a rule, without type and sender."""

Parsed = frozenset[tuple[str, str]]
"""All keys and values of a rule."""

ARGUMENT: Final = re.compile(r"arg([0-9]|[1-5][0-9]|6[0-3])(path)?")
KEYS: Final = frozenset({"interface", "member", "path", "path_namespace", "arg0namespace"})
IGNORED: Final = frozenset({"type", "sender", "eavesdrop"})
MAX_TEXT: Final = 1024
OF_THE_BUS: Final = frozenset({"org.freedesktop.DBus", "org.freedesktop.DBus.Local"})


def parse(text: str) -> Parsed:
    """Return keys and values (specification: "Match Rules"); raises ValueError."""
    if len(text) > MAX_TEXT:
        raise ValueError("a rule is too long")
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        equals = text.find("=", at)
        if equals < 0:
            if text[at:].strip(" \t,"):
                raise ValueError(f"a rule has a key without a value: {text!r}")
            break
        key = text[at:equals].strip(" \t\n\r,")
        value, at = _value(text, equals + 1)
        if not key or key in found:
            raise ValueError(f"a rule has no key, or one twice: {text!r}")
        found[key] = value
    return frozenset(found.items())


def _value(text: str, at: int) -> tuple[str, int]:
    """Read a value; return it and the index behind its comma."""
    parts: list[str] = []
    quoted = False
    while at < len(text):
        character = text[at]
        if quoted:
            quoted = character != "'"
            parts.append(character if quoted else "")
        elif character == "'":
            quoted = True
        elif character == ",":
            return "".join(parts), at + 1
        elif character == "\\" and text[at + 1 : at + 2] == "'":
            parts.append("'")
            at += 1
        else:
            parts.append(character)
        at += 1
    if quoted:
        raise ValueError(f"a quotation does not end: {text!r}")
    return "".join(parts), at


def about(parsed: Parsed, names: frozenset[str]) -> Rule | None:
    """Return what a rule demands of signals of the owner of names, besides their sender.

    None: it is not about them. A rule with a destination is about unicast messages, which need no rule.
    """
    rule = dict(parsed)
    if rule.get("type", "signal") != "signal" or "destination" in rule:
        return None
    sender = rule.get("sender")
    if (sender is not None and sender not in names) or rule.get("interface") in OF_THE_BUS:
        return None
    return frozenset((key, value) for key, value in parsed if key not in IGNORED)


def is_valid(rule: Rule) -> bool:
    """Tell whether all keys are ones that signals are compared with."""
    return all(key in KEYS or ARGUMENT.fullmatch(key) for key, _ in rule)


def text_of(name: str, rule: Rule) -> str:
    """Return the text of a rule for signals of a name."""
    pairs = [("type", "signal"), ("sender", name), *sorted(rule)]
    return ",".join(f"{key}={_quoted(value)}" for key, value in pairs)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


ALL_ENDS: Final = "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''"
"""The rule for the ends of all connections and names."""


def owner_of(name: str) -> str:
    """Return the rule for changes of a name's owner."""
    return f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{name}'"
