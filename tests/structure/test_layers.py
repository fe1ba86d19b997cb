"""The files of the data plane: what they may include, and how short they may be.

References between objects are counted by `measure`, and so are names that more than one file defines.
"""

from __future__ import annotations

import re
from pathlib import Path

from support.objects import CHECKOUT, RANKS

TRANSPORT = CHECKOUT / "transport"
FILES = sorted(path for part in ("relay", "multicast") for path in (TRANSPORT / part).glob("*/*.[ch]"))
INCLUDE = re.compile(r'^#include "((\w+)/[\w.]+)"', re.MULTILINE)
INTERFACE = "api/relay.h"
"""What the control plane sees; its limits, events and credentials are values that all layers pass on."""

SHORTEST = 50
SHORT = {
    "relay/accept/logind.c": "the only reader of logind's files",
    "relay/base/clock.h": "header only",
    "relay/base/crc32.c": "a sum that others compute alike",
    "relay/base/sealed.c": "omnibusd has it, too",
    "relay/base/span.h": "header only",
    "relay/state/crash.h": "what a bus and its successors tell each other of crashes",
    "relay/base/wake.c": "an eventfd, or a pipe where there is none",
    "relay/state/held.c": "messages that parked.c and a peer's call keep alike",
    "relay/state/source.h": "how each object begins that epoll knows",
    "relay/state/users.c": "a table of its own",
    "multicast/bpf/chain.h": "between filter.c and what each kind of filter writes",
}
"""Files with fewer lines than SHORTEST, and why each is a file of its own."""


def belongs_to_c_file(header: Path) -> bool:
    """Tell whether a C file has the header's name: such a header may be short."""
    stem = header.stem.removesuffix("_internal")
    return header.suffix == ".h" and header.with_name(f"{stem}.c").exists()


class TestLayers:
    """Each folder uses itself and those before it."""

    def test_no_header_of_a_later_layer_is_included(self) -> None:
        late = {
            f"{path.relative_to(TRANSPORT)} includes {name}"
            for path in FILES
            for name, folder in INCLUDE.findall(path.read_text())
            if folder != path.parent.name and RANKS[folder] >= RANKS[path.parent.name] and name != INTERFACE
        }
        assert late == set()

    def test_the_relay_needs_nothing_of_the_group(self) -> None:
        files = [path for path in FILES if path.is_relative_to(TRANSPORT / "relay")]
        users = [path.name for path in files if '#include "group/' in path.read_text()]
        assert users == ["relay.c"]  # relay_set_group


class TestFiles:
    """A reader opens a file for more than one function."""

    def test_short_files_have_a_reason(self) -> None:
        short = [path for path in FILES if len(path.read_text().splitlines()) < SHORTEST]
        alone = {str(path.relative_to(TRANSPORT)) for path in short if not belongs_to_c_file(path)}
        assert alone == SHORT.keys()
