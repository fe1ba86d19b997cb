"""How long replies take, by member, from a monitor or a capture.

  omnibusctl latency com.example.Echo -t 10
  omnibusctl latency --read bus.pcapng

omnibusd says when it has routed a message, so the times are those between the bus and the service. Those of
other buses are coarse: a monitor reads messages when the machine lets it, milliseconds too late.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..exits import NO, YES
from ..filter import Filter, add_arguments
from ..message import Seen
from ..output import Output, escape, seconds
from ..watch import Watch
from .capture import Reading

if TYPE_CHECKING:
    from ..buses import Target

WIDTH = 40
NOTES = {
    "exact": "times of the bus",
    "coarse": "coarse: times of a monitor, milliseconds off on a busy machine",
    "recorded": "times of the capture",
}


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="only calls of or to one of these")
    parser.add_argument("-t", "--time", type=float, default=3.0, metavar="SECONDS", help="how long to listen")
    parser.add_argument("--read", metavar="FILE", help="a capture instead of the bus")
    add_arguments(parser)


def run(target: Target, options: Namespace) -> int:
    """Print a histogram for each member; return NO if no call was answered."""
    wanted = Filter.of(options, options.names)
    precision = "recorded"
    if options.read:
        members = by_member(Reading(options.read, wanted))
    else:
        watch = Watch(target, wanted)
        precision = "exact" if watch.traced else "coarse"
        members = by_member(watch.listen(options.time))
        watch.close()
    rows = sorted(members.items(), key=lambda item: -len(item[1]))
    if target.output.as_json:
        target.output.json({"precision": precision, "members": [plain(*row) for row in rows]})
        return YES if rows else NO
    for member, durations in rows:
        _print(target.output, member, durations)
    target.output.line(NOTES[precision] if rows else "no call was answered")
    return YES if rows else NO


def by_member(messages: Iterable[Seen]) -> dict[str, list[int]]:
    """Return the durations of answered calls in microseconds, sorted."""
    found: dict[str, list[int]] = {}
    for seen in messages:
        if seen.duration is not None:
            found.setdefault(seen.full_member, []).append(seen.duration)
    return {member: sorted(durations) for member, durations in found.items()}


def percentile(durations: Sequence[int], share: float) -> int:
    """Return the duration below which this share of the sorted ones is."""
    return durations[min(len(durations) - 1, int(len(durations) * share))]


def buckets(durations: Sequence[int]) -> list[tuple[int, int]]:
    """Return powers of two of microseconds, and how many durations are from there to the next."""
    counted: dict[int, int] = {}
    for one in durations:
        low = 1 << max(0, one.bit_length() - 1)
        counted[low] = counted.get(low, 0) + 1
    low, high = min(counted), max(counted)
    found = []
    while low <= high:
        found.append((low, counted.get(low, 0)))
        low *= 2
    return found


def plain(member: str, durations: list[int]) -> dict[str, Any]:
    """Return a member for JSON."""
    return {
        "member": member,
        "calls": len(durations),
        "p50_us": percentile(durations, 0.5),
        "p90_us": percentile(durations, 0.9),
        "p99_us": percentile(durations, 0.99),
        "max_us": durations[-1],
        "buckets": [{"from_us": low, "calls": n} for low, n in buckets(durations)],
    }


def _print(output: Output, member: str, durations: list[int]) -> None:
    shares = "  ".join(
        f"{name} {seconds(percentile(durations, share))}"
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
    )
    output.line(output.paint(f"{escape(member)}  {len(durations)} calls  {shares}", "bold"))
    counted = buckets(durations)
    most = max(n for _, n in counted)
    for low, n in counted:
        bar = "█" * max(1 if n else 0, round(WIDTH * n / most))
        output.line(f"  {seconds(low):>8} {n:6} {bar}".rstrip())
