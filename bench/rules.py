"""Match rules, as the specification has them: what a recorded signal reached.

This is a second, slow implementation on purpose: plans must not come from the code that is measured.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

ARGUMENT: Final = re.compile(r"arg(\d{1,2})(path|namespace)?")
WORDS: Final = ("type", "sender", "interface", "member", "path", "path_namespace", "destination", "eavesdrop")


@dataclass(frozen=True)
class Subject:
    """What rules see of a broadcast; ``names`` are all names of its sender."""

    names: frozenset[str]
    interface: str
    member: str
    path: str
    arguments: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """A rule of a connection: fixed keys, and tests of arguments as (index, kind, value)."""

    keys: Mapping[str, str]
    arguments: tuple[tuple[int, str, str], ...]

    def matches_but_arguments(self, subject: Subject) -> bool:
        """Return whether it matches the broadcast, whatever its arguments are."""
        keys = self.keys
        if keys.get("member", subject.member) != subject.member:
            return False
        if keys.get("interface", subject.interface) != subject.interface:
            return False
        if keys.get("path", subject.path) != subject.path or "destination" in keys:
            return False
        if "sender" in keys and keys["sender"] not in subject.names:
            return False
        above = keys.get("path_namespace")
        if above is not None and above != "/" and not (subject.path + "/").startswith(above + "/"):
            return False
        return keys.get("type", "signal") == "signal"

    def matches_arguments(self, arguments: Mapping[int, str]) -> bool:
        """Return whether all tests of arguments pass; all arguments are strings."""
        return all(
            index in arguments and one_matches(kind, value, arguments[index])
            for index, kind, value in self.arguments
        )

    def matches(self, subject: Subject) -> bool:
        """Return whether it matches the broadcast."""
        return self.matches_but_arguments(subject) and self.matches_arguments(subject.arguments)


def one_matches(kind: str, value: str, argument: str) -> bool:
    """Test one argument."""
    if kind == "namespace":
        return (argument + ".").startswith(value + ".")
    if kind == "path":
        prefix = value.endswith("/") and argument.startswith(value)
        return argument == value or prefix or (argument.endswith("/") and value.startswith(argument))
    return argument == value


def parse(text: str) -> Rule:
    """Parse a rule without escapes, as traces have them; a ValueError says what is wrong with it."""
    keys: dict[str, str] = {}
    arguments = []
    for part in re.findall(r"[^,']*(?:'[^']*'[^,']*)*", text):
        word, is_key, quoted = part.strip().partition("=")
        if not word:
            continue
        value = quoted.replace("'", "")
        found = ARGUMENT.fullmatch(word)
        if not is_key or not (found or word in WORDS):
            raise ValueError(f"match rule with {part!r}")
        if found:
            arguments.append((int(found[1]), found[2] or "", value))
        else:
            keys[word] = value
    return Rule(keys, tuple(arguments))
