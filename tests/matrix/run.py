"""The suite on other distributions and Python versions, each in its own root.

    run.py [--cache=DIRECTORY] [--jobs=N] [PLACE...] [-- PYTEST-ARGUMENT...]

A place is a suite of Debian, in a root made once by debootstrap and updated by apt at each run, or a
python3.N of this machine that no suite has. Root only. The exit status is 0 if all tests pass.
"""

from __future__ import annotations

import argparse
import glob
import re
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.append(str(CHECKOUT / "tests"))

from support.debian import CACHE, Root, copy_checkout  # noqa: E402

SUITES = ("bookworm", "trixie", "sid")
PLACES = (*SUITES, "python3.12")
# Packages beyond those in the project's lists: typical of a development machine.
BASE = ("ca-certificates", "git", "make", "procps")


class Suite(Root):
    """A root with a Debian suite, kept from run to run; the checkout is at /checkout there."""

    def __init__(self, name: str, cache: Path) -> None:
        super().__init__(name, cache / name)

    def prepare(self) -> None:
        """Make or update the root, and copy the checkout into it."""
        self.make(*BASE)
        self.share()
        self.enter(
            "export DEBIAN_FRONTEND=noninteractive; dpkg --configure -a;"  # an earlier run was interrupted
            " apt-get -q update; apt-get -qy dist-upgrade;"
            f" apt-get -qy install --no-install-recommends {' '.join(BASE)}; apt-get clean"
        )
        copy_checkout(self.path / "checkout")
        # Tests of packages ask which files are tracked.
        self.enter("cd /checkout; git init -q; git add --all")

    def test(self, jobs: int, arguments: list[str]) -> None:
        """Build, and run the tests."""
        self.enter("cd /checkout && " + command(jobs, arguments))

    def describe(self) -> str:
        """Describe the system the tests ran on."""
        (release,) = (self.path / "var/lib/apt/lists").glob(f"*_dists_{self.suite}_InRelease")
        date = re.search(r"^Date: (.*)$", release.read_text(), re.MULTILINE)
        return f"{self.suite}, archive of {date[1] if date else 'no date'}"


class Interpreter(Suite):
    """A Python of this machine that no Debian suite has, copied into a root where every user may execute it.

    A home directory is closed to the users as which many tests run.
    """

    def __init__(self, name: str, cache: Path) -> None:
        Root.__init__(self, SUITES[0], cache / f"{name}-root")
        self.name = name
        tried = (shutil.which(name), *sorted(glob.glob(f"{Path.home()}/.pyenv/versions/*/bin/{name}")))
        self.original = next(filter(None, reversed(tried)), None)

    def prepare(self) -> None:
        """Make or update the root, and copy the checkout and the interpreter into it."""
        super().prepare()
        assert self.original is not None
        prefix = Path(self.original).resolve().parents[1]
        copy = self.path / "opt" / self.name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(
            prefix, copy, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "site-packages")
        )
        (self.path / "etc/ld.so.conf.d/python.conf").write_text(f"/opt/{self.name}/lib\n")
        self.enter("ldconfig")

    def test(self, jobs: int, arguments: list[str]) -> None:
        """Build, and run the tests."""
        self.enter("cd /checkout && " + command(jobs, arguments, f"PYTHON=/opt/{self.name}/bin/{self.name}"))

    def describe(self) -> str:
        """Describe the system the tests ran on."""
        return f"{self.name} in a root with {super().describe()}"


def command(jobs: int, arguments: list[str], *settings: str) -> str:
    """Return what builds and tests.

    Left out: `make lint`, because formatters differ between releases, and the guests, because their kernels
    are not those of every suite.
    """
    quoted = " ".join(f"'{one}'" for one in ("--ignore=tests/kernel", *arguments))
    return (
        f"make -s {' '.join(settings)} all test-packages >/build.log 2>&1 || {{ tail /build.log; exit 1; }}; "
        f".venv/bin/python --version; .venv/bin/pytest -q -n {jobs} {quoted}"
    )


def main() -> int:
    """Test each place; return 1 if one fails."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE / "matrix")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("rest", nargs="*", metavar="PLACE... [-- PYTEST-ARGUMENT...]")
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options = parser.parse_args(sys.argv[1:split])
    results = []
    for name in options.rest or PLACES:
        place = Suite(name, options.cache) if name in SUITES else Interpreter(name, options.cache)
        if isinstance(place, Interpreter) and place.original is None:
            results.append(f"{name}: not on this machine, in none of {', '.join(SUITES)}; left out")
            continue
        print(f"==== {name}", flush=True)
        try:
            place.prepare()
            place.test(options.jobs, sys.argv[split + 1 :])
        except subprocess.CalledProcessError as error:
            results.append(f"{place.describe()}: FAILED, {error.returncode}")
        else:
            results.append(f"{place.describe()}: passed")
    print("\n".join(["====", *results]))
    return int(any(": FAILED" in one for one in results))


if __name__ == "__main__":
    sys.exit(main())
