"""omnibusctl(1), made of the same parsers and texts as ``--help``."""

from __future__ import annotations

import re
from argparse import Action, ArgumentParser
from collections.abc import Callable
from typing import Final

DESCRIPTION: Final = (
    "Without a verb it shows the status. It works with omnibusd, and with dbus-daemon and dbus-broker as "
    "far as they tell: what they do not tell is shown as -."
)


TextOf = Callable[[str], str]
COMMON: Final = ("help", "bus", "address", "json", "color", "timeout", "no_legend")
"""Options of all verbs, which are in the synopsis."""


def page(
    verbs: dict[str, str], parser_of: Callable[[str], ArgumentParser], text_of: TextOf, codes: str
) -> str:
    """Return the page in the language of man(7)."""
    lines = [
        '.TH OMNIBUSCTL 1 "" "omnibus" "omnibus"',
        ".SH NAME",
        "omnibusctl \\- what a D\\-Bus message bus does, and why",
        ".SH SYNOPSIS",
        ".B omnibusctl",
        _text("[--system | --user | --address=ADDRESS] [--json] [--color=WHEN]"),
        _text("[--no-legend] [--timeout=SECONDS] VERB ..."),
        ".SH DESCRIPTION",
        _text(DESCRIPTION),
        ".SH VERBS",
    ]
    for verb, summary in verbs.items():
        lines += [f".SS {verb}", _text(f"{summary[0].upper()}{summary[1:]}."), ".PP"]
        lines += _description(text_of(verb))
        for action in parser_of(verb)._actions:
            if action.help is not None and action.dest not in COMMON:
                lines += _option(action)
    lines += [".SH EXIT STATUS", _text(codes.replace("\n", " "))]
    lines += [".SH SEE ALSO", _text("busctl(1), dbus-monitor(1), dbus-daemon(1)")]
    return "\n".join(lines) + "\n"


def _option(action: Action) -> list[str]:
    names = ", ".join(action.option_strings) or str(action.metavar or action.dest).upper()
    value = ""
    if action.option_strings and action.nargs != 0:
        value = f" {action.metavar or action.dest.upper()}"
    choices = f" ({', '.join(map(str, action.choices))})" if action.choices else ""
    return [".TP", f"\\fB{_text(names)}\\fR{_text(value)}", _text(f"{action.help}{choices}")]


def _description(text: str) -> list[str]:
    """Return a docstring: paragraphs, and examples as they are."""
    lines = []
    for block in text.strip().split("\n\n"):
        if block.lstrip().startswith("omnibusctl") or block.startswith("codes:"):
            lines += [".nf", *map(_text, block.splitlines()), ".fi", ".PP"]
        else:
            lines += [_text(" ".join(block.split())), ".PP"]
    return lines


def _text(text: str) -> str:
    """Escape what roff would obey."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", escaped)
