"""Well-known names: their owners and who waits for them, in order.

omnibusctl names                 all names
omnibusctl names NAME            one; the exit status is 1 if it has no owner
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from ..exits import NO, YES
from ..live import Live

if TYPE_CHECKING:
    from ..buses import Target


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", help="the name")


def run(target: Target, options: Namespace) -> int:
    """Print owners and queues; return NO if the name that was asked for has no owner."""
    live = Live(target)
    queues = live.queues()
    if options.name is not None:
        queues = {name: queue for name, queue in queues.items() if name == options.name}
    processes = {one.name: one.process for one in live.connections()}
    output = target.output
    if output.as_json:
        output.json(
            [
                {"name": name, "owner": queue[0], "waiting": queue[1:], "process": processes.get(queue[0])}
                for name, queue in sorted(queues.items())
            ]
        )
    else:
        output.table(
            ("NAME", "OWNER", "PROCESS", "WAITING"),
            (
                (name, queue[0], processes.get(queue[0]), " ".join(queue[1:]) or "")
                for name, queue in sorted(queues.items())
            ),
        )
    return YES if queues or options.name is None else NO
