"""The command line of dbus-daemon(1), parsed as the reference does."""

import os
import re
from collections.abc import Sequence
from typing import Final

STOCK_FILES: Final = "/usr/share/dbus-1"
OWN_FILES: Final = "/etc/omnibus"
MAX_SECONDS: Final = 3600
MAX_FD: Final = 0x7FFF_FFFF
# The syntax of strtol(), except for signs.
NUMBER: Final = r"[ \t\n\v\f\r]*\+?(0[xX][0-9A-Fa-f]+|0[0-7]*|[1-9][0-9]*)"

USAGE: Final = (
    "usage: omnibusd [--session] [--system] [--config-file=FILE] [--address=ADDRESS]\n"
    "  [--print-address[=DESCRIPTOR]] [--print-pid[=DESCRIPTOR]] [--nopidfile] [--fork] [--nofork]\n"
    "  [--syslog] [--nosyslog] [--syslog-only] [--systemd-activation]\n"
    "  [--multicast=auto|off|require] [--standby=auto|on|off] [--omnibus-config=FILE]\n"
    "  [--rehearsal-seconds=SECONDS]\n"
    "  [--check] [--can-resume] [--introspect] [--version] [--help]\n"
)


class Exit(Exception):
    """The end of the program: exit code, and text for standard output and standard error."""

    def __init__(self, code: int, out: str = "", err: str = "") -> None:
        super().__init__(code, out, err)
        self.code = code
        self.out = out
        self.err = err


class Options:
    """The options. None: the configuration file decides, or the option is not given.

    ``print_address`` and ``print_pid`` are descriptors. ``syslog_only``: no standard error.
    ``omnibus_config``, omnibus's own file, need not exist; ``multicast`` is one of MULTICAST, ``standby`` one
    of STANDBY. ``check``: only find out whether the bus would start. ``rehearsal_seconds``: what an upgrade
    waits for its rehearsal.
    """

    def __init__(self, config_file: str = "") -> None:
        self.config_file = config_file
        self.omnibus_config: str | None = None
        self.multicast: str | None = None
        self.standby: str | None = None
        self.address: str | None = None
        self.print_address: int | None = None
        self.print_pid: int | None = None
        self.fork: bool | None = None
        self.syslog: bool | None = None
        self.syslog_only = False
        self.write_pidfile = True
        self.systemd_activation = False
        self.check = False
        self.rehearsal_seconds = 30.0


FLAGS: Final[dict[str, tuple[tuple[str, bool], ...]]] = {
    "--nosyslog": (("syslog", False),),
    "--syslog": (("syslog", True),),
    "--syslog-only": (("syslog", True), ("syslog_only", True)),
    "--nofork": (("fork", False),),
    "--fork": (("fork", True),),
    "--systemd-activation": (("systemd_activation", True),),
    "--nopidfile": (("write_pidfile", False),),
    "--check": (("check", True),),
}

# In the order of the reference: the argument after one of them is its value, unless it is a flag or an option
# that precedes it here. omnibus's own options come first, so they are never taken for a value.
WITH_VALUE: Final = (
    "--multicast",
    "--standby",
    "--omnibus-config",
    "--rehearsal-seconds",
    "--config-file",
    "--address",
    "--print-address",
    "--print-pid",
)

MULTICAST: Final = ("auto", "off", "require")
STANDBY: Final = ("auto", "on", "off")

ALREADY: Final = {
    "config-file": "configuration file {} already requested",
    "address": "address {} already requested",
    "print-address": "printing address to {} already requested",
    "print-pid": "printing pid to {} already requested",
    "multicast": "multicast {} already requested",
    "standby": "standby {} already requested",
    "rehearsal-seconds": "rehearsal of {} seconds already requested",
    "omnibus-config": "omnibus configuration file {} already requested",
}


def parse(arguments: Sequence[str], version: str, stock_files: str = STOCK_FILES) -> Options:
    """Parse the arguments, without the program's name; raises Exit to end the program.

    ``--introspect`` raises Exit with code 0 and no text, which the caller adds.
    """
    options = Options()
    values: dict[str, str] = {}
    wanted: set[str] = set()
    previous = ""
    for argument in arguments:
        if argument in ("--help", "-h", "-?"):
            from .usage import explain

            raise Exit(1, err=explain())  # as the reference ends
        if argument == "--version":
            raise Exit(0, out=version)
        if argument == "--introspect":
            raise Exit(0)
        if argument in FLAGS:
            for name, value in FLAGS[argument]:
                setattr(options, name, value)
        elif argument in ("--session", "--system"):
            name = argument[2:]
            _set(values, "config-file", stock_file(name, stock_files), name)
            options.omnibus_config = f"{OWN_FILES}/{name}.conf"
        else:
            _read_value(argument, previous, values, wanted)
        previous = argument
    return _conclude(options, values, wanted)


def _read_value(argument: str, previous: str, values: dict[str, str], wanted: set[str]) -> None:
    for option in WITH_VALUE:
        name = option[2:]
        if argument.startswith(option + "="):
            wanted.add(name)
            return _set(values, name, argument.partition("=")[2])
        if previous == option:
            return _set(values, name, argument)
        if argument == option:
            wanted.add(name)
            return None
    raise Exit(1, err=f'omnibusd: unknown option "{argument}"\n{USAGE}')


def _set(values: dict[str, str], name: str, value: str, flag: str = "") -> None:
    """Set a value; an empty one counts as not given, a second one is an error."""
    if values.get(name):
        raise Exit(1, err=f"--{flag or name} specified but {ALREADY[name].format(values[name])}\n")
    values[name] = value


def _conclude(options: Options, values: dict[str, str], wanted: set[str]) -> Options:
    options.config_file = values.get("config-file", "")
    if not options.config_file:
        raise Exit(1, err="No configuration file specified.\n" + USAGE)
    options.address = values.get("address") or None
    options.omnibus_config = values.get("omnibus-config") or options.omnibus_config
    if "multicast" in wanted:
        options.multicast = values.get("multicast", "")
        if options.multicast not in MULTICAST:
            raise Exit(1, err=f'--multicast must be auto, off or require, not "{options.multicast}"\n')
    if "standby" in wanted:
        options.standby = values.get("standby", "")
        if options.standby not in STANDBY:
            raise Exit(1, err=f'--standby must be auto, on or off, not "{options.standby}"\n')
    if "rehearsal-seconds" in wanted:
        options.rehearsal_seconds = _seconds(values.get("rehearsal-seconds", ""))
    if "print-address" in wanted:
        options.print_address = _descriptor(values.get("print-address", ""))
    if "print-pid" in wanted:
        options.print_pid = _descriptor(values.get("print-pid", ""))
    return options


def _seconds(text: str) -> float:
    if not text.isdecimal() or not 0 < int(text) <= MAX_SECONDS:
        raise Exit(1, err=f'--rehearsal-seconds must be 1 to {MAX_SECONDS}, not "{text}"\n')
    return float(text)


def _descriptor(text: str) -> int:
    if not text:
        return 1
    number = re.fullmatch(NUMBER, text)
    if number is None:
        raise Exit(1, err=f'Invalid file descriptor: "{text}"\n')
    octal = number[1].startswith("0") and number[1].isdigit()
    descriptor = int(number[1], 8 if octal else 0)
    if descriptor > MAX_FD:
        raise Exit(1, err=f'Invalid file descriptor: "{text}"\n')
    return descriptor


def stock_file(name: str, directory: str = STOCK_FILES) -> str:
    """Return the distribution's file for ``--session`` or ``--system``, or omnibus's own."""
    path = f"{directory}/{name}.conf"
    if os.path.exists(path):
        return path
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "conf", f"{name}.conf")
