"""dbus's own two tests of AppArmor, as Debian builds them for use and for debugging, in a guest.

    reference.py POLICIES

They run below the profile of the package, with dbus-daemon and with omnibusd, which has to pass what that
passes. Both are confined by the profile, and the tests' clients by its hats.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from support.tap import Results, results, worse

from .apparmor import BUILDS, AppArmor
from .compare import OMNIBUSD, REFERENCE

PROGRAM: Final = "test-apparmor-activation"
DENIALS: Final = "ByAppArmor"
DEADLINE: Final = 3600.0
"""Seconds for all tests of one program."""
ENVIRONMENT: Final = {"DBUS_TEST_TIMEOUT_MULTIPLIER": "20"}
"""A minute for each test is too short in the guest of a busy machine."""


def test(build: Path, daemon: str, module: AppArmor) -> Results:
    """Run the tests of a build with a daemon."""
    program = build / PROGRAM
    done = subprocess.run(
        [program, "--tap"],
        env={**os.environ, **ENVIRONMENT, "DBUS_TEST_DAEMON": daemon, "DBUS_TEST_DATA": str(build / "data")},
        # The guest's files have other paths for the kernel, so that the profile is not found by that.
        preexec_fn=lambda: module.execute_as(str(program)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=DEADLINE,
        check=False,
    )
    found = results(done.stdout)
    if done.returncode or "failed" in found.values():
        print(done.stdout, flush=True)
    return found


def main() -> int:
    """Run everything; return 0 if omnibusd passes what the reference passes, denials by AppArmor among it."""
    module = AppArmor(Path(sys.argv[1]))
    module.prove()
    wrong = 0
    for number, build in BUILDS.items():
        module.load(number)
        reference, ours = (test(build, daemon, module) for daemon in (REFERENCE, OMNIBUSD))
        denied = [name for name, outcome in reference.items() if DENIALS in name and outcome == "passed"]
        less = worse(reference, ours)
        counts = f"dbus-daemon {_passed(reference)}, omnibusd {_passed(ours)}"
        print(f"{build}: {counts}; worse: {less}", flush=True)
        wrong += bool(less) or not denied
    return int(wrong > 0)


def _passed(found: Results) -> str:
    return f"{list(found.values()).count('passed')} of {len(found)} passed"


if __name__ == "__main__":
    sys.exit(main())
