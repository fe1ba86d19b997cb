"""The command line: the options of all verbs, and the one verb whose module is imported."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Final

from .. import __version__
from .buses import Target
from .exits import NO_BUS, TIMED_OUT, USAGE, Stop
from .output import Output

VERBS: Final = {
    "status": "what the bus is, how it fares, and what is wrong",
    "list": "connections, by name, unit, user or program; or those that have ended",
    "top": "which connections keep the bus busy",
    "show": "all that is known of one connection",
    "pending": "calls without a reply",
    "activation": "services being started, and failed starts",
    "names": "owners of names, and queues",
    "matches": "match rules",
    "monitor": "messages as they pass, with processes and durations",
    "capture": "write messages into a file, or read one",
    "graph": "which connections talk to which",
    "latency": "how long replies take",
    "upgrade": "let a bus go on as the installed omnibus",
    "takeover": "turn a running dbus-daemon into omnibusd",
    "metrics": "counters for Prometheus and others",
    "log": "what the bus has logged: denials, starts, cut-offs, reloads",
    "log-level": "show or set how much the bus logs",
    "group": "direct delivery through the kernel",
    "why": "whether a message may be sent, and which rule decides",
    "policy": "the rules: show those of a user, map those of a name",
    "check": "faults in configuration and service files",
    "reload": "check the configuration, then put it in force",
}
DEFAULT: Final = "status"
WITH_VALUE: Final = ("--address", "--timeout", "--color")
ELSEWHERE: Final = (
    "Calls, introspection, properties and signals of services: busctl(1), gdbus(1) and dbus-send(1)."
)
CODES: Final = (
    "Exit status: 0 yes or done, 1 no or something was found, 2 usage, 3 no bus, 4 not permitted,\n"
    "5 this bus can't answer, 6 timed out."
)


def overview() -> str:
    """Return the text of ``omnibusctl help``."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:{width}}  {summary}" for name, summary in VERBS.items())
    return (
        "usage: omnibusctl [--system | --user | --address=ADDRESS] [--json] [--color=auto|always|never]\n"
        "                  [--no-legend] [--timeout=SECONDS] VERB ...\n\n"
        f"{verbs}\n\nomnibusctl VERB --help describes a verb. {ELSEWHERE}\n\n{CODES}\n"
    )


def run(arguments: Sequence[str]) -> int:
    """Run the verb that the arguments name; return the exit code."""
    before, verb, after = split(arguments)
    if verb == "help" or (verb is None and {"--help", "-h"} & set(before)):
        sys.stdout.write(overview())
        return 0
    if verb is None and "--version" in before:
        sys.stdout.write(f"omnibusctl {__version__}\n")
        return 0
    verb = verb or DEFAULT
    if verb in HIDDEN:
        return HIDDEN[verb](after)
    if verb not in VERBS:
        sys.stderr.write(f"omnibusctl: there is no verb {verb!r}\n\n{overview()}")
        return USAGE
    module = module_of(verb)
    try:
        options = parse(verb, module, before, after)
    except SystemExit as end:  # of argparse, which has printed why
        return USAGE if end.code else 0
    return act(module, options)


def module_of(verb: str) -> ModuleType:
    """Import the module of a verb."""
    return import_module(f".verbs.{verb.replace('-', '_')}", __package__)


def complete(arguments: Sequence[str]) -> int:
    """Print the names on the system bus, one a line, for a shell that completes; nothing without a bus."""
    from ..daemon.client import BUS_NAME

    target = Target("system", None, 1.0, Output())
    try:
        (names,) = target.call(BUS_NAME, "ListNames")
    except Stop:
        return NO_BUS
    sys.stdout.write("".join(f"{name}\n" for name in sorted(names)))
    return 0


def print_completion(arguments: Sequence[str]) -> int:
    """Print the completions for a shell."""
    from .completion import SHELLS, words

    if len(arguments) != 1 or arguments[0] not in SHELLS:
        return USAGE
    found = list(words(VERBS, lambda verb: parser_of(verb, module_of(verb))))
    sys.stdout.write(SHELLS[arguments[0]](found))
    return 0


def print_manual(arguments: Sequence[str]) -> int:
    """Print omnibusctl(1)."""
    from .manual import page

    def text_of(verb: str) -> str:
        return module_of(verb).__doc__ or ""

    sys.stdout.write(page(VERBS, lambda verb: parser_of(verb, module_of(verb)), text_of, CODES))
    return 0


HIDDEN: Final = {"_complete": complete, "_completion": print_completion, "_manual": print_manual}
"""For the build and for shells, not for users."""


def split(arguments: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """Return the verb, the first argument that is neither an option nor its value, between the others."""
    previous = ""
    for at, argument in enumerate(arguments):
        if not argument.startswith("-") and previous not in WITH_VALUE:
            return list(arguments[:at]), argument, list(arguments[at + 1 :])
        previous = argument
    return list(arguments), None, []


def parse(verb: str, module: ModuleType, before: Sequence[str], after: Sequence[str]) -> Namespace:
    """Return the options of all verbs, on either side of the verb, and its own; raises SystemExit."""
    first = ArgumentParser(prog="omnibusctl", add_help=False, allow_abbrev=False)
    add_common(first, has_user=True)
    return parser_of(verb, module).parse_args(after, first.parse_args(before))


def parser_of(verb: str, module: ModuleType) -> ArgumentParser:
    """Return the parser of what comes behind a verb."""
    parser = ArgumentParser(
        prog=f"omnibusctl {verb}",
        description=module.__doc__,
        epilog=CODES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    # Behind a verb that asks about users, --user is the one to ask about.
    add_common(parser, has_user=not getattr(module, "ABOUT_USERS", False))
    module.arguments(parser)
    return parser


def add_common(parser: ArgumentParser, *, has_user: bool) -> None:
    """Declare the options of all verbs."""
    common = parser.add_argument_group("options of all verbs")
    which = common.add_mutually_exclusive_group()
    which.add_argument(
        "--system",
        dest="bus",
        action="store_const",
        const="system",
        default="system",
        help="the system bus (default)",
    )
    if has_user:
        which.add_argument(
            "--user", dest="bus", action="store_const", const="user", help="the bus of the session"
        )
    which.add_argument("--address", help="the bus at this address")
    common.add_argument("--json", action="store_true", help="print JSON")
    common.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="use colours")
    common.add_argument("--no-legend", action="store_true", help="no headings")
    common.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="the longest wait")


def act(module: ModuleType, options: Namespace) -> int:
    """Run a verb; return its exit code, and print why it has ended early."""
    output = Output(as_json=options.json, color=options.color, legend=not options.no_legend)
    target = Target(options.bus, options.address, options.timeout, output)
    try:
        code: int = module.run(target, options)
        output.flush()
    except Stop as stop:
        sys.stderr.write(f"omnibusctl: {stop}\n")
        return stop.code
    except TimeoutError:
        sys.stderr.write("omnibusctl: the bus has not answered in time\n")
        return TIMED_OUT
    except BrokenPipeError:
        # The reader has seen enough. Nothing may be written at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_BUS
    except KeyboardInterrupt:
        return 130
    finally:
        target.close()
    return code
