"""All that is known of one connection: process, names, what it says of itself, queues, calls, match rules.

omnibusctl show org.example.Service
omnibusctl show :1.5
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from ...daemon.client import BUS_NAME
from ..connection import Connection
from ..exits import NO, YES, Stop
from ..live import Live
from ..message import for_json
from ..output import escape, seconds, size
from ..subjects import user_name
from .pending import calls_of

if TYPE_CHECKING:
    from ..buses import Target


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", help="a name of the connection")


def run(target: Target, options: Namespace) -> int:
    """Print it; return YES."""
    live = Live(target)
    output = target.output
    if not output.as_json:
        for line in lines(live, options.name):
            output.line(line)
        return YES
    found = find(live, options.name)
    rules = _rules(live, found)
    metadata = for_json(live.metadata(found.name))
    pending = _pending(live, found)
    output.json({**found.plain(), "metadata": metadata, "match_rules": rules, "pending": pending})
    return YES


def find(live: Live, name: str) -> Connection:
    """Return the connection of a name; raises Stop."""
    if name == BUS_NAME:
        raise Stop(NO, "that is the bus itself: omnibusctl status")
    for one in live.connections():
        if name == one.name or name in one.names:
            return one
    raise Stop(NO, f"no connection has the name {name}")


def lines(live: Live, name: str) -> list[str]:
    """Return the text about a connection, with all that comes from clients escaped."""
    one = find(live, name)
    limits = (live.status or {}).get("Limits", {})

    def of(value: Any, limit: str) -> str:
        return f"{'-' if value is None else value}" + (f" of {limits[limit]}" if limit in limits else "")

    user = "-" if one.uid is None else f"{user_name(one.uid)} (uid {one.uid})"
    found = [
        f"{one.name}  {', '.join(one.names) or 'no names'}",
        f"  process   {one.process}  unit {one.unit or '-'}  user {user}",
        f"  connected {'-' if one.age is None else seconds(one.age) + ' ago'}  state {one.state or '-'}",
        f"  sent      {_count(one.messages_in, one.bytes_in)}",
        f"  received  {_count(one.messages_out, one.bytes_out)}; {_known(one.refused)} refused (full queue)",
        f"  queued    {size(one.queued_bytes)} for it; {size(one.incoming_bytes)} of it not read by others",
        f"  names     {of(len(one.names), 'max_names_per_connection')}",
        f"  calls     {of(one.calls, 'max_replies_per_connection')} without a reply;"
        f" {_known(one.parked)} messages wait for a start",
    ]
    found += [f"    {text}" for text in _calls(live, one)]
    metadata = for_json(live.metadata(one.name) or {})
    found[2:2] = [f"  says      {key}: {value}" for key, value in metadata.items()]
    rules = _rules(live, one)
    found.append(f"  rules     {of(one.rules, 'max_match_rules_per_connection')}")
    found += [f"    {rule or '(everything)'}" for rule in rules or ()]
    return [escape(line) for line in found]


def _known(value: int | None) -> str:
    return "-" if value is None else str(value)


def _count(messages: int | None, n_bytes: int | None) -> str:
    return f"{_known(messages)} messages, {size(n_bytes)}"


def _rules(live: Live, one: Connection) -> list[str] | None:
    """Return the match rules; None if the bus does not tell them."""
    try:
        return sorted(live.rules().get(one.name, []))
    except Stop:
        return None


def _pending(live: Live, one: Connection) -> list[dict[str, Any]] | None:
    """Return the calls without a reply that it has made or owes; None if the bus does not tell them."""
    if live.status is None:
        return None
    return [call for call in calls_of(live, 0) if one.name in (call["caller"], call["callee"])]


def _calls(live: Live, one: Connection) -> list[str]:
    found = []
    for call in _pending(live, one) or ():
        age = seconds(call["age_us"])
        if call["caller"] == one.name:
            found.append(f"waits for {call['callee']} since {age} (serial {call['serial']})")
        else:
            found.append(f"owes {call['caller']} a reply since {age} (serial {call['serial']})")
    return found
