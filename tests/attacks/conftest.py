"""The limits take minutes and need root: `make attack-test` runs them, `make test` the smoke test only."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("ATTACK_TEST") else ["test_limits.py"]
