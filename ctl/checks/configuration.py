"""All findings about a configuration: what the reader warns of, what the rules say, what services need."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import cache

from ...policy.block import decode
from ...policy.error import ConfigError
from ...policy.load import load
from ...policy.reader import Reader
from ...policy.rules import Rule
from ...policy.settings import ConfigWarning, Settings
from . import rules, services
from .finding import Finding

IGNORE = re.compile(r"<!--\s*omnibus-check:\s*ignore=([A-Z0-9, ]+?)\s*-->")
UNKNOWN = re.compile(r'^Unknown (username|group) "')


def check(main: str) -> list[Finding]:
    """Return the findings about a main file and all that it includes, in the order of the files."""
    try:
        settings = load(main)
    except ConfigError as error:
        return [_refused(error, "no bus starts with this file")]
    found = [
        *_warnings(settings.warnings),
        *_rules(settings, decode(settings.policy), main),
        *services.find(settings, decode(settings.policy)),
    ]
    order = {file: number for number, file in enumerate(settings.files)}
    return sorted(_heeding(found), key=lambda one: (order.get(one.file, len(order)), one.file, one.line))


def check_file(file: str, main: str) -> list[Finding]:
    """Return the findings about one file that a bus with this main file includes, or would include."""
    try:
        part = Reader().read(file, part=True)
    except ConfigError as error:
        return [_refused(error, "the whole file is passed over")]
    try:
        settings = load(main)
    except ConfigError as error:
        return [_refused(error, "no bus starts with this file")]
    real = os.path.realpath(file)
    others = [rule for rule in decode(settings.policy) if os.path.realpath(rule.file) != real]
    found = [*_warnings(part.warnings), *_rules(settings, [*others, *decode(part.policy)], main)]
    return [one for one in _heeding(found) if os.path.realpath(one.file) == real]


def _refused(error: ConfigError, consequence: str) -> Finding:
    return Finding(error.file, error.line, "E001", error.reason, consequence)


def _warnings(warnings: Iterable[ConfigWarning]) -> Iterator[Finding]:
    for one in warnings:
        if UNKNOWN.match(one.reason):
            reason = one.reason.removesuffix(" in message bus configuration file")
            yield Finding(one.file, one.line, "W002", reason, "its rules apply to no connection")
        else:
            yield Finding(one.file, one.line, "E001", one.reason, "the whole file is passed over")


def _rules(settings: Settings, found: Iterable[Rule], main: str) -> Iterator[Finding]:
    return rules.find(list(found), main=main, session=settings.bus_type == "session")


def _heeding(found: Iterable[Finding]) -> list[Finding]:
    """Leave out what a comment on the line, or alone on the line before, asks to ignore; and repetitions."""
    return [one for one in dict.fromkeys(found) if one.code not in _ignored(one.file, one.line)]


def _ignored(file: str, line: int) -> set[str]:
    lines = _lines(file)
    codes: set[str] = set()
    for number in (line, line - 1):
        text = lines[number - 1] if 0 < number <= len(lines) else ""
        comment = IGNORE.search(text)
        if comment and (number == line or text.strip() == comment[0]):
            codes |= set(re.split(r"[, ]+", comment[1]))
    return codes


@cache
def _lines(file: str) -> tuple[str, ...]:
    try:
        with open(file, encoding="utf-8", errors="replace") as stream:
            return tuple(stream.read().splitlines())
    except OSError:
        return ()
