"""The command line of omnibusd: runs the daemon, or the action that the arguments request."""

import os
from collections.abc import Sequence

from .. import __version__
from . import daemonize
from .options import Exit, parse
from .upgrade.program import is_about_upgrades

VERSION = (
    f"omnibus {__version__}, a D-Bus message bus\n"
    "This is free software under the MIT licence; there is no warranty.\n"
)


def run(arguments: Sequence[str]) -> int:
    """Run the daemon; return its exit code."""
    daemonize.set_name("omnibusd")
    if is_about_upgrades(arguments):
        from .upgrade.command import run as run_upgrade

        return run_upgrade(arguments)
    try:
        daemonize.prepare_descriptors()
        daemonize.reset_signals()
        options = parse(arguments, VERSION)
        for fd in (options.print_address, options.print_pid):
            if fd is not None:
                daemonize.check_open(fd)
    except Exit as end:
        return end_program(end)
    except daemonize.ProcessError as error:
        return end_program(Exit(1, err=f"omnibusd[{os.getpid()}]: Failed to start message bus: {error}\n"))
    if options.check:
        from .check import check

        return check(options)
    from .startup import Startup

    return Startup(options).run()


def end_program(end: Exit) -> int:
    """Write the texts of ``end``; return its code."""
    out = end.out
    if not end.code and not out:
        from .driver import Driver

        out = Driver().introspection() + "\n"
    for fd, text in ((1, out), (2, end.err)):
        if text:
            os.write(fd, text.encode("utf-8", "surrogateescape"))
    return end.code
