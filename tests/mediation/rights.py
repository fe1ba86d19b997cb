"""In a guest: a bus that becomes another user still mediates and writes audit records, over an upgrade too.

    rights.py MODULE POLICIES

Raises an exception if not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from support.daemon import Daemon, config, private_directory, start
from support.raw import BUS, BUS_PATH, BusError, Client

from . import apparmor, selinux
from .clients import Module, connect
from .compare import OMNIBUSD
from .records import Records
from .values import ALL, LABELS, NAMES, NO_NAMES

USER = "nobody"
OMNIBUSCTL = str(Path(OMNIBUSD).with_name("omnibusctl"))
CAP_AUDIT_WRITE = 1 << 29
PATIENCE = 600.0
ATTEMPTS = 5
TOO_SLOW = "Not upgraded: The rehearsal of the new program took too long"


def capabilities(pid: int) -> dict[str, int]:
    """Return the capabilities of a process, by the names of /proc/PID/status."""
    lines = [line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return {words[0].rstrip(":"): int(words[1], 16) for words in lines if words[0].startswith("Cap")}


def check(daemon: Daemon, module: Module, records: Records) -> None:
    """Let a client be denied a name, and look for the record."""
    (client,) = connect([daemon.address], LABELS[0], module)
    rights = capabilities(daemon.pid)
    held = [rights[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")]
    assert held == [0, CAP_AUDIT_WRITE, CAP_AUDIT_WRITE, 0], held
    records.take(0.5)
    module.load(NO_NAMES)
    try:
        client.driver("RequestName", "su", NAMES[0], 0)
        raise AssertionError("the name was given away")
    except BusError as error:
        assert module.name in error.text, error
    check_why(daemon, client, module)
    found = records.take(3.0).get(daemon.pid, {})
    denials = [n for text, n in found.items() if text.startswith("USER_AVC") and NAMES[0] in text]
    assert denials == [1], found
    module.load(ALL)
    client.driver("NameHasOwner", "s", NAMES[0], interface=BUS, path=BUS_PATH)


def check_why(daemon: Daemon, client: Client, module: Module) -> None:
    """Let omnibusctl say which module denies the name; of that there is no record."""
    command = [OMNIBUSCTL, f"--address={daemon.address}", "why", f"--from={client.unique}"]
    done = subprocess.run(
        [*command, f"--own={NAMES[0]}"], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 1, done
    permission = "dbus acquire_svc" if module.name == "SELinux" else "bind"
    assert f"{module.name}: {permission} denied for label " in done.stdout, done
    done = subprocess.run(
        [*command, BUS, f"{BUS}.GetId"], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done
    assert f"{module.name}: " in done.stdout, done


def upgrade(daemon: Daemon) -> None:
    """Let the bus execute itself, and wait until it has: not during a reload that SELinux has caused."""
    with contextlib.closing(daemon.connect()) as client:
        client.driver("ReloadConfig")
    environment = Path(f"/proc/{daemon.pid}/cmdline")
    before = environment.read_bytes()
    end = time.monotonic() + PATIENCE
    attempts = 0
    while environment.read_bytes() == before:
        # the guest of a busy machine needs longer for a rehearsal than the bus waits
        if daemon.stderr.count(TOO_SLOW) == attempts < ATTEMPTS:
            attempts += 1
            os.kill(daemon.pid, signal.SIGUSR2)
        assert time.monotonic() < end, daemon.stderr
        time.sleep(0.1)
    daemon.connect().close()


def main() -> int:
    """Check before and after an upgrade; return an exit status."""
    name, directory = sys.argv[1], Path(sys.argv[2])
    module: Module = apparmor.AppArmor(directory) if name == "apparmor" else selinux.SELinux(directory)
    module.prove()
    module.load(ALL)
    records = Records()
    place = private_directory()
    place.chmod(0o777)
    extra = f"<user>{USER}</user>" + module.configuration
    daemon = start(OMNIBUSD, config("unix:path={dir}/bus", extra=extra), directory=place)
    check(daemon, module, records)
    upgrade(daemon)
    check(daemon, module, records)
    print(f"{module.name}: the bus of {USER} keeps its right, over an upgrade too", flush=True)
    daemon.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
