"""The rules of a bus.

omnibusctl policy show [--user=USER] [--name=NAME]   rules in the order in which they are evaluated
omnibusctl policy map NAME                           who may own a name, and who may call what of it
  omnibusctl policy diff                               what a reload would change (omnibusd only)
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...policy.evaluate import ClientPolicy, is_below
from ...policy.question import Header, Identity
from ...policy.rules import Kind, Rule
from ..exits import NO, USAGE, YES, Stop
from ..live import Live
from ..output import escape
from ..source import Source, config_file, for_bus, from_files, running
from ..subjects import find_user, identity_of, mentioned, principal
from .why import place, plain_rule

if TYPE_CHECKING:
    from ..buses import Target

METHOD_CALL = 1
ABOUT_USERS = True
ELSE = "everything else"


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("action", choices=("show", "map", "diff"))
    parser.add_argument("name", nargs="?", help="the name to map")
    parser.add_argument("--user", help="only rules that apply to this user, as they are evaluated")
    parser.add_argument("--name", dest="about", metavar="NAME", help="only rules that mention this name")
    parser.add_argument("--at-console", action="store_true", help="the user sits at the machine")
    parser.add_argument("--config", metavar="FILE", help="the configuration instead of that of the bus")


def run(target: Target, options: Namespace) -> int:
    """Show or map; return YES."""
    if options.action == "diff":
        return _diff(target, options)
    source = for_bus(target, options.config)
    if options.action == "show":
        return _show(target, source, options)
    if options.name is None:
        raise Stop(USAGE, "which name? omnibusctl policy map NAME")
    return _map(target, source, options.name)


def _show(target: Target, source: Source, options: Namespace) -> int:
    rules = source.rules
    if options.user is not None:
        identity = identity_of(find_user(options.user), at_console=options.at_console)
        client = source.policy.for_identity(identity)
        rules = (*client.own, *client.send, *client.receive)
    if options.about is not None:
        rules = tuple(rule for rule in rules if _mentions(rule, options.about))
    output = target.output
    if output.as_json:
        output.json({"policy": source.plain, "rules": [plain_rule(rule) for rule in rules]})
        return YES
    output.table(("PLACE", "POLICY", "RULE"), ((place(rule), principal(rule), str(rule)) for rule in rules))
    if output.legend:
        output.line(f"\n{len(rules)} rules; later ones overrule earlier ones. {source.text}")
    return YES


def _diff(target: Target, options: Namespace) -> int:
    """Print the rules that only the running bus has, and those that only the files have; return NO if any."""
    live = Live(target)
    live.inspect("GetPolicy")  # ends here if this bus can't tell
    assert live.status is not None
    now, files = running(live), from_files(config_file(target, options.config or live.status["Files"][0]))
    gone, added = difference(now.rules, files.rules)
    output = target.output
    if output.as_json:
        output.json({"running": list(map(plain_rule, gone)), "files": list(map(plain_rule, added))})
    else:
        for sign, colour, found in (("-", "red", gone), ("+", "green", added)):
            for rule in found:
                text = f"{sign} {place(rule)}: <policy {principal(rule)}> {rule}"
                output.line(output.paint(escape(text), colour))
        if output.legend and not (gone or added):
            output.line("the running bus has the rules of the files")
    return NO if gone or added else YES


def difference(now: Iterable[Rule], later: Iterable[Rule]) -> tuple[list[Rule], list[Rule]]:
    """Return the rules that go, and those that come."""
    old, new = _keys(now), _keys(later)
    gone = [rule for key, rule in old.items() if key not in new]
    return gone, [rule for key, rule in new.items() if key not in old]


def _keys(rules: Iterable[Rule]) -> dict[tuple[Rule, int], Rule]:
    """Return the rules by what they say, in which file, and how often that was said before them."""
    found: dict[tuple[Rule, int], Rule] = {}
    for rule in rules:
        same, n = rule.replace(line=0), 0
        while (same, n) in found:
            n += 1
        found[same, n] = rule
    return found


def _mentions(rule: Rule, name: str) -> bool:
    """Return True if a rule is about this name, alone or with others below a prefix."""
    if rule.destination is None or not rule.is_per_client:
        return False
    return is_below(name, rule.destination) if rule.prefix else rule.destination == name


class Access:
    """What one kind of connection may do with a name.

    calls: by interface, with ELSE for all that the rules do not name, whether its members may be called;
    ``exceptions`` are the members that differ.
    """

    def __init__(self, who: str, client: ClientPolicy, name: str, interfaces: dict[str, set[str]]) -> None:
        self.who = who
        self.owns = bool(client.can_own(name))
        self.calls: dict[str, bool] = {}
        self.exceptions: dict[str, list[str]] = {}
        for interface, members in interfaces.items():
            whole = self._may(client, name, interface, "AnyOtherMember")
            self.calls[interface or ELSE] = whole
            self.exceptions[interface or ELSE] = [
                one for one in sorted(members) if self._may(client, name, interface, one) != whole
            ]

    @staticmethod
    def _may(client: ClientPolicy, name: str, interface: str, member: str) -> bool:
        # An interface that no rule names stands for all others.
        header = Header(METHOD_CALL, name, None, "/any", interface or "org.omnibus.AnyOtherInterface", member)
        return bool(client.can_send(header, (name,)))

    def text(self) -> str:
        """Return the calls in short: what is as with everything else goes without saying."""
        usual = self.calls[ELSE]
        words = []
        for interface, may in self.calls.items():
            members = self.exceptions[interface]
            if may != usual:
                words.append(interface + (f" (not {', '.join(members)})" if members else ""))
            elif interface == ELSE:
                words += members
            else:
                words += [f"{interface}.{member}" for member in members]
        return ("everything" if usual else "nothing") + (f" but {', '.join(words)}" if words else "")

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"who": self.who, "own": self.owns, "call": self.calls, "exceptions": self.exceptions}


def _map(target: Target, source: Source, name: str) -> int:
    about = [
        rule
        for rule in source.rules
        if rule.kind == Kind.SEND and (rule.destination is None or _mentions(rule, name))
    ]
    interfaces: dict[str, set[str]] = {"": set()}
    for rule in about:
        if rule.interface is not None:
            interfaces.setdefault(rule.interface, set())
        if rule.member is not None:
            interfaces.setdefault(rule.interface or "", set()).add(rule.member)
    policy = source.policy
    rows = [
        Access(who, policy.for_identity(identity), name, interfaces)
        for who, identity in _told_apart(source, name)
    ]
    output = target.output
    if output.as_json:
        output.json({"name": name, "policy": source.plain, "access": [row.plain() for row in rows]})
        return YES
    output.table(("WHO", "OWN", "CALL"), ((row.who, "yes" if row.owns else "no", row.text()) for row in rows))
    if output.legend:
        output.line(f"\nby the rules of: {escape(source.text)}")
    return YES


def _told_apart(source: Source, name: str) -> list[tuple[str, Identity]]:
    """Return the kinds of connections that rules about the name tell apart; root is always one."""
    about = [
        rule
        for rule in source.rules
        if rule.kind in (Kind.OWN, Kind.SEND) and (rule.destination is None or _mentions(rule, name))
    ]
    return mentioned(about)
