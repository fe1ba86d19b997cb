"""Cost of the policy for each message: instructions of a verdict, with few rules and with 400.

Valgrind counts them.

    python bench/verdicts.py [--program FILE]

A verdict is on one message and one receiver, and looks at the rules of both ends. The message is a call, the
reply to it, or a signal to 32 clients, and has been seen before.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
RELAY_TESTS = CHECKOUT / "tests/relay"
TIMES = 1000
RECEIVERS = {"call": 1, "reply": 1, "signal": 32}


def blocks(directory: Path) -> dict[str, Path]:
    """Compile the compared policies."""
    sys.path.append(str(CHECKOUT / "tests"))
    from omnibus.policy.load import load
    from support import desktop  # type: ignore[import-not-found]  # found by the path above

    texts = {
        "everything allowed": desktop.EVERYTHING,
        "session bus": desktop.SESSION,
        "system bus": desktop.system(),
    }
    found = {}
    for name, text in texts.items():
        configuration = directory / "bus.conf"
        configuration.write_text(f"<busconfig><listen>unix:path=/bus</listen>{text}</busconfig>")
        found[name] = directory / name
        found[name].write_bytes(load(str(configuration)).policy)
    return found


def build() -> Path:
    """Build the measured program."""
    program = RELAY_TESTS / "build/bench_policy"
    target = program.relative_to(RELAY_TESTS)
    subprocess.run(["make", "-s", "-C", RELAY_TESTS, target], check=True)
    return program


def instructions(program: Path, block: Path, case: str, directory: Path) -> float:
    """Count the instructions of one verdict."""
    command = [
        "valgrind",
        "--tool=callgrind",
        "--toggle-collect=measured",
        f"--callgrind-out-file={directory}/callgrind",
        str(program),
        str(block),
        case,
        str(TIMES),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", ran.stderr)
    assert found is not None, ran.stderr
    return int(found[1]) / TIMES / RECEIVERS[case]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, help="instead of the one built here")
    program = parser.parse_args().program or build()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        print(f"{'':20}" + "".join(f"{case:>10}" for case in RECEIVERS))
        for policy, block in blocks(directory).items():
            counts = [instructions(program, block, case, directory) for case in RECEIVERS]
            print(f"{policy:20}" + "".join(f"{count:10.0f}" for count in counts))


if __name__ == "__main__":
    main()
