"""The command line of `omnibus-link`."""

from __future__ import annotations

import asyncio
import socket
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from .. import __version__

UNITS = Path("/run/omnibus-link")
"""Where each instance of omnibus-link@.service has its runtime directory."""
EPILOG = "Exit status: 0 done, 1 something was found or went wrong, 2 usage or an invalid file."


def parser() -> ArgumentParser:
    """Return the parser of the command line."""
    found = ArgumentParser(
        prog="omnibus-link",
        description="Names of one bus on another, as a file says: omnibus-link(8).",
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    found.add_argument("file", type=Path, metavar="FILE", help="the configuration of the link")
    what = found.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="say what is missing, and end")
    what.add_argument("--print-policy", metavar="BUS", help="print the policy file of one of the buses")
    what.add_argument("--print-users", metavar="BUS", help="print its line of sysusers.d(5)")
    what.add_argument("--metrics", action="store_true", help="print the metrics of the running link")
    found.add_argument("--version", action="version", version=f"omnibus-link {__version__}")
    return found


def run(arguments: Sequence[str]) -> int:
    """Run the program; return its exit status."""
    try:
        options = parser().parse_args(arguments)
    except SystemExit as end:  # of argparse, which has printed why
        return int(end.code or 0)
    try:
        from . import config
    except ImportError as error:
        sys.stderr.write(f"omnibus-link: {error}: install omnibus-dbus[link]\n")
        return 1
    try:
        return _act(options)
    except config.ConfigError as error:
        sys.stderr.write(f"omnibus-link: {error}\n")
        return 2


def _act(options: Namespace) -> int:
    from . import check, config, policy, serve

    if options.print_policy:
        sys.stdout.write(policy.policy_of(config.read(options.file), options.print_policy))
        return 0
    if options.print_users:
        sys.stdout.write(policy.users_of(config.read(options.file), options.print_users))
        return 0
    if options.check:
        lines = asyncio.run(check.findings(config.read(options.file)))
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return 1 if lines else 0
    if options.metrics:
        return _print_metrics(config.read(options.file).metrics or UNITS / options.file.stem / "metrics")
    return serve.run(options.file)


def _print_metrics(path: Path) -> int:
    """Copy what the running link says."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            while data := sock.recv(65536):
                sys.stdout.write(data.decode())
    except OSError as error:
        sys.stderr.write(f"omnibus-link: {path}: {error.strerror}\n")
        return 1
    return 0
