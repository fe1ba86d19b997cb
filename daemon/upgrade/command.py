"""The command lines about upgrades: those with which a bus executes its successor, and ``--can-resume``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .. import daemonize
from ..options import Options, parse
from .program import CAN_RESUME, DRAFT, REHEARSE, ProgramError


def run(arguments: Sequence[str]) -> int:
    """Run what the arguments ask for; return the exit code."""
    if CAN_RESUME in arguments:
        from .sections import FORMATS

        print(*FORMATS, flush=True)
        return 0
    if arguments[0] == REHEARSE:
        return _rehearse(arguments[1:])
    if arguments[0].startswith(DRAFT):
        return _draft(arguments)
    return _resume(arguments)


def _options(arguments: Sequence[str]) -> Options:
    from ..cli import VERSION

    return parse(arguments, VERSION)


def _rehearse(arguments: Sequence[str]) -> int:
    from .rehearsal import answer
    from .resumption import take
    from .trial import rehearse

    def act() -> None:
        resumption, rest = take(arguments)
        daemonize.prepare_descriptors()
        _options(rest)
        rehearse(resumption.state)

    return answer(act)


def _draft(arguments: Sequence[str]) -> int:
    from ...policy.load import describe
    from .draft import draft

    try:
        draft([one.partition("=")[2] for one in arguments[:3]], _options(arguments[3:]))
    except Exception as error:
        _print(describe(error))
        return 1
    return 0


def _resume(arguments: Sequence[str]) -> int:
    from .resumption import take

    try:
        resumption, rest = take(arguments)
    except ProgramError as error:
        _print(str(error))
        return 1
    try:
        resumption.begin()
        daemonize.prepare_descriptors()
        daemonize.reset_signals()
        options = _options(rest)
        from .resume import ResumedStart

        start = ResumedStart(options, resumption)
    except Exception as error:
        resumption.abandon(str(error) or repr(error), _print)
        return 1
    return start.run()


def _print(text: str) -> None:
    print(f"omnibusd[{os.getpid()}]: {text}", file=sys.stderr, flush=True)
