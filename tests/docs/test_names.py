"""Names in the documents: functions, constants, limits, options and keys exist in the source."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from omnibus.daemon.options import USAGE
from omnibus.policy.omnibus_conf import read_own

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SOURCES = (
    "auth",
    "bench",
    "ctl",
    "daemon",
    "kernel",
    "link",
    "policy",
    "systemd",
    "takeover",
    "tests",
    "transport",
)
ENDINGS = {".py", ".c", ".h", ".mk", ".sh", ".conf", ".service", ".txt", ".pyi"}
FENCED = re.compile(r"^ *```(\w*).*?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}.*$", re.MULTILINE)
QUOTED = re.compile(r"`([^`\n]+)`")
SYMBOL = re.compile(r"(?<![\w/.-])[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+(?![\w/.-])")
OPTION = re.compile(r"`(--[a-z][a-z-]+)")
ELSEWHERE = {  # of the kernel
    "BPF_F_BROADCAST",
    "BPF_TOKEN_CREATE",
    "IORING_OP_MSG_RING",
    "SK_PASS",
    "bpf_msg_push_data",
    "sched_submit_work",
    "sk_msg",
    "sk_psock_verdict_data_ready",
    "unix_bpf",
    "unix_may_send",
    "unix_stream_read_skb",
    "unix_stream_sendmsg",
}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def words() -> frozenset[str]:
    """Return all identifiers of the source, and the names of its files."""
    files = [
        path
        for room in SOURCES
        for path in (ROOT / room).rglob("*")
        if (path.suffix in ENDINGS or path.name == "Makefile") and "build" not in path.parts
    ]
    files += [ROOT / "Makefile", ROOT / "setup.py", ROOT / "record.py"]
    found = {word for path in files for word in re.findall(r"\w+", path.read_text(errors="replace"))}
    return frozenset(found | {path.stem for path in files})


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_symbols(page: Path) -> None:
    """Each name with an underscore, in backquotes or in a diagram, is one of the source."""
    text = FENCED.sub("", page.read_text())
    quoted = "\n".join(QUOTED.findall(text) + INDENTED.findall(text))
    # A counter ends in _total where it is written.
    known = words() | {f"{word}_total" for word in words()}
    assert {one for one in SYMBOL.findall(quoted) if one not in known} - ELSEWHERE == set()


def test_options() -> None:
    """configuration.md has each option that dbus-daemon lacks, and no other than those of the usage."""
    usage = set(re.findall(r"--[a-z][a-z-]+", USAGE))
    page = (ROOT / "docs/using/configuration.md").read_text()
    named = set(OPTION.findall(page))
    assert {"--check", "--multicast", "--omnibus-config"} <= named <= usage


def test_own_file(tmp_path: Path) -> None:
    """The example of omnibus's own file in configuration.md is accepted, and has the defaults."""
    (example,) = [
        text
        for kind, text in FENCED.findall((ROOT / "docs/using/configuration.md").read_text())
        if kind == "xml"
    ]
    file = tmp_path / "example.conf"
    file.write_text(example)
    assert read_own(str(file)) == read_own(str(tmp_path / "absent.conf"))


def test_statistics() -> None:
    """statistics.md has the keys of the three methods, and no others."""
    page = (ROOT / "docs/using/statistics.md").read_text()
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    named = {key for row in rows for key in re.findall(r"`((?:omnibus\.)?[A-Z]\w+)`", row)}
    source = (ROOT / "daemon/driver/stats.py").read_text()
    keys = set(re.findall(r'"((?:omnibus\.)?[A-Z]\w+)"(?::|\])', source))
    assert named | {"ListMemPoolCachedBytes", "ListMemPoolAllocatedBytes"} == keys
