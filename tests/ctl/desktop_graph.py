"""A picture of a desktop's log-in, for the README: `make desktop-graph`.

    .venv/bin/python tests/ctl/desktop_graph.py TRACE >docs/using/desktop.svg

A recorded log-in is replayed while omnibusctl captures it. The names are the desktop's; the processes would
all be the player's, and are left out.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from omnibus.bench.daemons import COMMANDS, OURS, Daemon
from omnibus.bench.replay import LogIn, Replay, settle
from omnibus.bench.trace import TRACES
from support.capture import wait_for_capture
from support.raw import BUS, Client

CTL = Path(__file__).parents[2] / ".venv/bin/omnibusctl"
LEAST = "3"


def capture(trace: str, directory: Path) -> Path:
    """Replay a log-in, and return the file of its messages."""
    login = LogIn.prepare(TRACES / f"{trace}.csv.xz", directory)
    file = directory / "bus.pcapng"
    daemon = Daemon(OURS, f"{COMMANDS[OURS]} --systemd-activation", login.setting, directory / "bus")
    try:
        settle(daemon)
        client = Client(daemon.address)
        client.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg2=''")
        with subprocess.Popen([CTL, "--address", daemon.address, "capture", "-w", file]) as capturing:
            client.take(member="NameOwnerChanged")  # a monitor loses its unique name
            Replay().play(login, daemon)
            client.signal("Last", destination=client.unique)
            wait_for_capture(file, "Last", lambda: time.sleep(0.1))
            client.close()
            capturing.send_signal(signal.SIGINT)
    finally:
        daemon.stop()
    return file


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="login-") as name:
        file = capture(sys.argv[1], Path(name))
        options = ("--no-processes", "--min", LEAST, "--svg")
        subprocess.run([CTL, "graph", "--read", file, *options], check=True)


if __name__ == "__main__":
    main()
