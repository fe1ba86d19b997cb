#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Fuzz conversations: one bus after the other, each with its own configuration.

run.py --seconds 3600 --seed 1 --daemon .venv/sanitize/bin/omnibusd
run.py --seed 1 --episode 7 --round 12 --rounds 1 --actions 300    repeats a part of that
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bus import Run, Trouble
from config import PROFILES, episode
from states import missing, table

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CONTAINERS = Path("/run/dbus/containers")  # where a bus of root has the sockets of containers
EVERY = 10.0  # seconds between two lines


class Fuzz:
    """All episodes of one seed, some in parallel."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.program = build()
        self.began = time.monotonic()
        self.end = self.began + options.seconds
        self.totals: Counter[str] = Counter()
        self.running: dict[int, Run] = {}
        self.troubles: list[str] = []
        self.next = 0
        self.lock = threading.Lock()

    def play(self) -> int:
        """Run until the time is over or something is found; return the exit status."""
        lanes = [threading.Thread(target=self._lane) for _ in range(self.options.lanes)]
        for lane in lanes:
            lane.start()
        said = time.monotonic()
        while any(lane.is_alive() for lane in lanes):
            time.sleep(0.2)
            if time.monotonic() - said > EVERY:
                said = time.monotonic()
                self._line()
        self._line()
        print(table(self.totals))
        for trouble in self.troubles:
            print(trouble)
        seconds = time.monotonic() - self.began
        if not self.troubles and (unseen := missing(self.totals, seconds)) and self.options.must_reach:
            self.troubles.append("")
            print("Never reached, though it should have been: " + ", ".join(unseen))
        return 1 if self.troubles else 0

    def _line(self) -> None:
        now = self._now()
        seconds = time.monotonic() - self.began
        print(
            f"{seconds:6.0f} s: {now['messages received']:11,} received, {now['messages sent']:11,} sent,"
            f" {now['rounds']:6,} rounds, {now['connected']:8,} connections, {now['seen paused']} paused,"
            f" {now['seen stalled']} stalled, {now['refused: full queue']:,} refused",
            flush=True,
        )

    def _now(self) -> Counter[str]:
        with self.lock:
            now = self.totals.copy()
            for run in self.running.values():
                now.update(run.reached)
        return now

    def _lane(self) -> None:
        options = self.options
        while not self.troubles and (self.end - time.monotonic() > 1 or self.next == 0):
            with self.lock:
                number = options.episode if options.episode is not None else self.next
                self.next += 1
            left = max(1, min(options.episode_seconds, int(self.end - time.monotonic())))
            self._episode(number, left)
            if options.episode is not None:
                break

    def _episode(self, number: int, seconds: int) -> None:
        options = self.options
        made = episode(options.seed, number, os.geteuid() == 0, options.profile)
        chosen = {
            "patience": options.patience,
            "round": options.round,
            "rounds": options.rounds,
            "actions": options.actions,
        }
        settings = {key: value for key, value in chosen.items() if value is not None}
        try:
            run = Run(
                made,
                options.daemon,
                self.program,
                seconds=seconds,
                trace=int(options.trace),
                digests=int(options.digests),
                **settings,
            )
        except Trouble as trouble:
            self.troubles.append(str(trouble))
            return
        self.running[number] = run
        try:
            while run.read():
                if self.troubles:
                    run.fuzzer.kill()
            if not self.troubles:
                run.finish()
            if options.digests:
                print((run.directory / "fuzzer.log").read_text(), end="")
        except Trouble as trouble:
            self.troubles.append(self._describe(run, trouble))
        finally:
            run.stop()
            with self.lock:
                del self.running[number]
                self.totals.update({key: n for key, n in run.reached.items() if key != "memory"})
            if not self.troubles and not options.keep:
                run.clean()

    def _describe(self, run: Run, trouble: Trouble) -> str:
        made, options = run.episode, self.options
        profile = f" --profile {options.profile}" if options.profile else ""
        return (
            f"\nEpisode {made.number} of seed {options.seed} ({made.profile}), in {run.directory}:\n"
            f"{trouble}\nAgain: tests/fuzz/run.py --daemon {options.daemon} --seed {options.seed}"
            f" --episode {made.number}{profile} --seconds {options.seconds}\n"
            "With --round N --rounds 1 that round alone, and with --actions N no more of it than that.\n"
            f"The fuzzer alone, with a bus that runs already: {' '.join(run.command)}\n"
        )


def build() -> Path:
    """Build the program and return its path."""
    directory = Path(os.environ.get("FUZZ_BUILD", ROOT / "build/fuzz"))
    subprocess.run(["make", "-s", "-C", str(HERE), f"BUILD={directory}"], check=True)
    return directory / "converse"


@contextlib.contextmanager
def sockets_of_containers() -> Iterator[None]:
    """Make the directory that the administrator makes, if there is none; it goes with the last run."""
    made = os.geteuid() == 0 and not CONTAINERS.exists()
    if made:
        CONTAINERS.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if made:
            with contextlib.suppress(OSError):  # not empty: there is another run
                CONTAINERS.rmdir()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--daemon", default=str(ROOT / ".venv/sanitize/bin/omnibusd"))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--lanes", type=int, default=2, help="buses at a time")
    parser.add_argument("--episode-seconds", type=int, default=60, help="before another bus is started")
    parser.add_argument("--episode", type=int, help="this one only")
    parser.add_argument("--profile", choices=PROFILES, help="this kind of configuration only")
    parser.add_argument("--round", type=int, help="the first one of the episode")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--actions", type=int, help="of a round, at most")
    parser.add_argument("--patience", type=int, help="milliseconds until the bus is taken to hang")
    parser.add_argument("--digests", action="store_true", help="print a digest of each round's actions")
    parser.add_argument("--trace", action="store_true", help="print what each client got")
    parser.add_argument("--must-reach", action="store_true", help="fail if a state was never reached")
    parser.add_argument("--keep", action="store_true", help="keep the directories")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = secrets.randbelow(2**31)
    if options.episode is not None:
        options.lanes = 1
        options.episode_seconds = options.seconds
    print(f"seed {options.seed}", flush=True)
    with sockets_of_containers():
        return Fuzz(options).play()


if __name__ == "__main__":
    sys.exit(main())
