"""Metrics of a bus for Prometheus and others: OpenMetrics on standard output, or a file.

  omnibusctl metrics
  omnibusctl metrics --textfile /var/lib/prometheus/node-exporter/omnibus.prom

omnibus-metrics.socket serves them at /run/omnibus/metrics: connect, and read to the end. A bus that does not
answer has dbus_up 0, and the exit status is 1. omnibusd answers root and its own user even when it takes no
more connections; any other bus, and other users, have dbus_up 0 then.
"""

from __future__ import annotations

import os
import tempfile
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from ..exits import NO, NO_BUS, NOT_PERMITTED, TIMED_OUT, YES, Stop
from ..live import Live
from ..metrics import CONTENT_OF, families, of_absent_bus, text_of

if TYPE_CHECKING:
    from ..buses import Target


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--format", choices=CONTENT_OF, default="openmetrics", help="of the text")
    parser.add_argument("--units", action="store_true", help="also by systemd's unit, of 50 at most")
    parser.add_argument("--textfile", metavar="FILE", help="replace a file, in Prometheus's format")


def run(target: Target, options: Namespace) -> int:
    """Print or write them; return NO if the bus does not answer."""
    code = YES
    try:
        found = families(Live(target), with_units=options.units)
    except Stop as stop:
        if stop.code not in (NO_BUS, NOT_PERMITTED, TIMED_OUT):
            raise
        found, code = of_absent_bus(), NO
    if target.output.as_json:
        target.output.json(
            [
                {
                    "name": one.name,
                    "type": one.type,
                    "samples": [{"labels": labels, "value": value} for labels, value in one.samples],
                }
                for one in found
            ]
        )
        return code
    form = "prometheus" if options.textfile else options.format
    text = text_of(found, target.kind if target.kind != "address" else target.address, form)
    if options.textfile:
        _replace(options.textfile, text)
    else:
        target.output.text(text)
    return code


def _replace(path: str, text: str) -> None:
    """Write a file as a whole, readable for all; raises Stop."""
    directory = os.path.dirname(path) or "."
    try:
        fd, part = tempfile.mkstemp(prefix=".omnibus-", dir=directory)
        try:
            with open(fd, "w", encoding="utf-8") as stream:
                stream.write(text)
            os.chmod(part, 0o644)
            os.rename(part, path)
        except OSError:
            os.unlink(part)
            raise
    except OSError as error:
        raise Stop(NO, f"{path}: {error.strerror}") from error
