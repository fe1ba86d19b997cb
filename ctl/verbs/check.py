"""Faults in the configuration of a bus and in its service files, one line each: FILE:LINE: CODE text.

  omnibusctl check                      the configuration of the system bus and its services
  omnibusctl check FILE                 one file, beside what the bus has already
  omnibusctl check --select=W004,S013   these codes only

The comment <!-- omnibus-check: ignore=W004 --> on the line of a rule, or alone on the line before, silences
one rule. The exit status is 1 if there is a fault; with --strict everything that is found is one.

codes:
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from typing import TYPE_CHECKING

from ..checks.configuration import check, check_file
from ..checks.finding import CODES, Finding
from ..exits import NO, USAGE, YES, Stop
from ..output import escape
from ..source import config_file

if TYPE_CHECKING:
    from ..buses import Target

__doc__ = (__doc__ or "") + "\n".join(f"  {code}  {text}" for code, text in CODES.items())


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", nargs="?", help="a file that the bus includes, or would include")
    parser.add_argument("--strict", action="store_true", help="what is no fault is shown, and counts")
    parser.add_argument("--select", metavar="CODES", help="only these codes, separated by commas")
    parser.add_argument("--config", metavar="FILE", help="the main file instead of that of the bus")


def run(target: Target, options: Namespace) -> int:
    """Print what is found; return NO if there is a fault."""
    main = config_file(target, options.config)
    found = check_file(options.file, main) if options.file else check(main)
    shown = select(found, options.select, options.strict)
    output = target.output
    if output.as_json:
        output.json({"file": options.file or main, "findings": [one.plain() for one in shown]})
    else:
        for one in shown:
            colour = "red" if one.code[0] == "E" else "yellow" if one.is_fault else "dim"
            output.line(escape(str(one)).replace(one.code, output.paint(one.code, colour), 1))
            if one.advice:
                output.line(f"    {escape(one.advice)}")
        if output.legend:
            output.line(summary(shown, len(found) - len(shown)))
    return NO if shown else YES


def select(found: list[Finding], codes: str | None, strict: bool) -> list[Finding]:
    """Return what the options ask for; raises Stop for an unknown code."""
    if codes is None:
        return [one for one in found if strict or one.is_fault]
    wanted = set(codes.split(","))
    if wanted - CODES.keys():
        raise Stop(USAGE, f"there is no code {', '.join(sorted(wanted - CODES.keys()))}")
    return [one for one in found if one.code in wanted]


def summary(shown: list[Finding], left_out: int) -> str:
    """Return a line about all findings."""
    counted = Counter(one.code for one in shown)
    text = ", ".join(f"{count} {code}" for code, count in sorted(counted.items())) or "nothing found"
    return f"{text}; {left_out} not shown (--strict)" if left_out else text
