"""Match rules: which signals a connection has asked for.

  omnibusctl matches               the number of rules of each connection
  omnibusctl matches NAME          the rules of one
  omnibusctl matches --costly      rules that the bus has to compare with the signals of every sender

dbus-broker does not tell them.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Final

from ..exits import NO, YES, Stop
from ..live import Live

if TYPE_CHECKING:
    from ..buses import Target

NARROW: Final = ("sender=", "interface=", "member=", "path=", "path_namespace=", "arg0", "destination=")


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", help="a name of the connection")
    parser.add_argument(
        "--costly", action="store_true", help="only rules that name no sender, or nothing at all"
    )


def cost(rule: str) -> str | None:
    """Return why a rule is costly, None if it is not."""
    if "eavesdrop='true'" in rule:
        return "sees messages for others"
    if not any(key in rule for key in NARROW):
        return "asks for everything"
    if "sender=" not in rule and "type='signal'" in rule and "interface=" not in rule:
        return "asks for signals of every sender and interface"
    if "sender=" not in rule:
        return "no sender: asks for those of all"
    return None


def run(target: Target, options: Namespace) -> int:
    """Print rules or their numbers; return NO if the name has no owner."""
    live = Live(target)
    known = {one.name: one for one in live.connections()}
    rules = live.rules()
    if options.name is not None:
        owners = [one.name for one in known.values() if options.name in (one.name, *one.names)]
        if not owners:
            raise Stop(NO, f"no connection has the name {options.name}")
        rules = {name: found for name, found in rules.items() if name in owners}
    output = target.output
    if options.name is None and not options.costly:
        counts = sorted(((len(found), name) for name, found in rules.items()), reverse=True)
        if output.as_json:
            output.json([{"name": name, "rules": count} for count, name in counts])
        else:
            output.table(
                (">RULES", "NAME", "PROCESS"),
                (
                    (count, known[name].best_name if name in known else name, known[name].process)
                    for count, name in counts
                    if name in known
                ),
            )
        return YES
    rows = [
        {"name": name, "rule": rule, "cost": cost(rule)}
        for name, found in rules.items()
        for rule in sorted(found)
        if not options.costly or cost(rule)
    ]
    if output.as_json:
        output.json(rows)
        return YES
    output.table(
        ("NAME", "PROCESS", "RULE", "COST"),
        (
            (
                row["name"],
                known[name].process if (name := row["name"] or "") in known else None,
                row["rule"] or "(everything)",
                row["cost"] or "",
            )
            for row in rows
        ),
    )
    return YES
