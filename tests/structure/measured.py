"""Counts the lines of Python that each process of an environment passes, for ``make coverage``.

The Makefile copies it to the environment's site directory, which imports it at the start: an isolated
interpreter (-I) heeds no variable, but it reads site directories.
"""

import sys
import sysconfig
from pathlib import Path

from coverage import Coverage

HERE = Path(sys.prefix)

started = Coverage(
    config_file=str(HERE / "coverage.ini"),
    data_file=str(HERE / "data" / "python"),  # every user may write there
    source=[sysconfig.get_path("purelib") + "/omnibus"],
    auto_data=True,
)
started.start()
