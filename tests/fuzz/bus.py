# SPDX-License-Identifier: MIT
"""One episode: a bus, the fuzzer that talks to it, and their remains."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from config import Episode

START = 60.0  # seconds until the bus listens; a sanitised one on a busy machine
END = 60.0
# Log lines of the bus that indicate a state.
LOGGED = {
    "log: queue full, messages refused": r"does not read: \d+ bytes wait",
    "log: stuck, disconnected": r"was disconnected: it has read nothing",
    "log: descriptors waited too long": r"its file descriptors wait for the rest",
    "log: invalid message": r"sent an invalid message",
    "log: claims descriptors": r"claims \d+ file descriptors",
    "log: denied": r"Rejected (send|receive) message",
}


class Trouble(Exception):
    """The findings of a run, as text."""


class Run:
    """A bus and its fuzzer, until one of them ends or ``stop``."""

    def __init__(self, episode: Episode, daemon: str, program: Path, **settings: int) -> None:
        self.episode = episode
        self.directory = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self.directory.chmod(0o755)
        self.reached: dict[str, int] = {}
        self.daemon = daemon
        episode.write(self.directory, program)
        self.began = time.time()
        self.bus = self._start_bus()
        values = episode.settings | {key: str(value) for key, value in settings.items()}
        values |= {
            "path": f"{self.directory}/bus",
            "directory": str(self.directory),
            "bus": str(self.bus.pid),
        }
        self.command = [str(program), *(f"{key}={value}" for key, value in values.items())]
        self.errors = (self.directory / "fuzzer.log").open("w")
        self.fuzzer = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.errors, text=True)

    def _start_bus(self) -> subprocess.Popen[bytes]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DBUS_")}
        environment["XDG_RUNTIME_DIR"] = str(self.directory)
        with (self.directory / "bus.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    self.daemon,
                    f"--config-file={self.directory}/bus.conf",
                    f"--omnibus-config={self.directory}/omnibus.conf",
                    "--nofork",
                    "--print-address",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], START)[0] or not process.stdout.readline():
            process.kill()
            raise Trouble(f"the bus did not start: {self._log()}")
        return process

    def _log(self, most: int = 3000) -> str:
        return (self.directory / "bus.log").read_text(errors="replace")[-most:]

    def read(self) -> bool:
        """Read the next line of the fuzzer; False at its end."""
        assert self.fuzzer.stdout is not None
        line = self.fuzzer.stdout.readline()
        if line.startswith("{"):
            self.reached = json.loads(line)
        return bool(line)

    def reports(self) -> list[Path]:
        """Return the sanitizers' reports since the bus started."""
        directory = Path(self.daemon).parent.parent / "reports"
        recent = [one for one in directory.glob("report*") if one.stat().st_mtime >= self.began]
        return [
            one for one in recent if re.search("ERROR: |runtime error: ", one.read_text(errors="replace"))
        ]

    def finish(self) -> None:
        """Wait for the fuzzer, end the bus, and check for errors; raises Trouble."""
        status = self.fuzzer.wait()
        self.errors.close()
        said = (self.directory / "fuzzer.log").read_text()
        gone = self.bus.poll()
        if gone is None:
            self.bus.send_signal(signal.SIGTERM)
            try:
                end = self.bus.wait(END)
            except subprocess.TimeoutExpired:
                self.bus.kill()
                self.bus.wait()
                raise Trouble(f"the bus does not end after SIGTERM\n{said}") from None
        else:
            end = gone
        log = self._log(1 << 26)
        for name, pattern in LOGGED.items():
            self.reached[name] = len(re.findall(pattern, log))
        if reports := self.reports():
            raise Trouble(f"{said}\n{reports[0]}:\n{reports[0].read_text(errors='replace')[:6000]}")
        if gone is not None or end != 0:
            raise Trouble(f"{said}\nthe bus has ended with {end}\n{self._log()}")
        if "Traceback" in log:
            raise Trouble(f"{said}\nan exception in the bus:\n{log[log.index('Traceback') :][:3000]}")
        if status != 0:
            raise Trouble(f"{said}\nthe fuzzer ended with {status}; the bus's last words:\n{self._log(1500)}")

    def stop(self) -> None:
        """End both in whatever state they are."""
        for process in (self.fuzzer, self.bus):
            if process.poll() is None:
                process.kill()
                process.wait()

    def clean(self) -> None:
        """Remove the written files."""
        shutil.rmtree(self.directory, ignore_errors=True)
