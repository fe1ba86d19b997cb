"""Options and markers of the whole test suite. The bus suite's fixtures are in ``bus/conftest.py``."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.append(str(Path(__file__).parent))  # for `support`

from support.deviations import DEVIATIONS, differs
from support.group import MULTICAST, with_group
from support.guest import left_out

CHECKOUT = Path(__file__).parent.parent
REFERENCE = "/usr/bin/dbus-daemon"


# What an example takes says nothing on a loaded machine.
settings.register_profile("omnibus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("omnibus")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--daemon",
        default=str(CHECKOUT / ".venv/bin/omnibusd"),
        metavar="PATH",
        help=f"the daemon to test; 'reference' is {REFERENCE}",
    )
    parser.addoption(
        "--stress", choices=["short", "long"], default="short", help="how long the stress tests last"
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell's background job ignores SIGINT, and all that it starts would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "deviation(name): what omnibus does and the reference does not")
    config.addinivalue_line("markers", "stress: load with a bound; --stress=long for more of it")
    if config.option.daemon == "reference":
        config.option.daemon = REFERENCE
    elif MULTICAST:
        config.option.daemon = with_group(config.option.daemon)
        config.add_cleanup(lambda: shutil.rmtree(Path(config.option.daemon).parent))


def reference_release() -> tuple[int, int]:
    """Return major and minor release of the reference, (0, 0) if there is none."""
    try:
        text = subprocess.run([REFERENCE, "--version"], capture_output=True, text=True, check=True).stdout
    except OSError:
        return 0, 0
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    on_reference = config.option.daemon == REFERENCE
    release = reference_release() if on_reference else (0, 0)
    for item in items:
        for mark in item.iter_markers("deviation"):
            deviation = DEVIATIONS[mark.args[0]]
            if on_reference and differs(mark.args[0], release):
                item.add_marker(pytest.mark.xfail(reason=deviation.reason, strict=True))
        if reason := left_out(item.nodeid):
            item.add_marker(pytest.mark.skip(reason=reason))
