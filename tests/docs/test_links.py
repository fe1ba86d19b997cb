"""Links, paths and make targets in the documents, and the way from README.md to every page."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = (
    "auth",
    "bench",
    "ctl",
    "daemon",
    "kernel",
    "link",
    "packaging",
    "policy",
    "switch",
    "systemd",
    "takeover",
    "transport",
)
ROOMS = (*CODE, "docs", "tests")
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "*/*.md", "*/*/README.md")
    for page in ROOT.glob(pattern)
    if page.parts[len(ROOT.parts)] in (*ROOMS, page.name)
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(rf"`((?:{'|'.join((*ROOMS, 'relay', 'multicast'))})/[\w./*-]+)")
MAKE = re.compile(r"`make ([a-z][\w-]*)")
MAKE_LINE = re.compile(r"^ *make (?:-s )?([a-z][\w-]*)(?= |$)", re.MULTILINE)
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4,}.*$", re.MULTILINE)
TARGET = re.compile(r"^([a-z][\w-]*(?: [a-z][\w-]*)*):", re.MULTILINE)
MADE = {"bench/build/instructions.program", "bench/build"}
"""Paths that exist only after a build."""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def prose(page: Path) -> str:
    """Return a page without its blocks of commands."""
    return FENCED.sub("", page.read_text())


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings: in lower case, without punctuation, hyphens for spaces."""
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def links(page: Path) -> list[tuple[Path, str]]:
    """Return the files that a page links to, with the anchor or an empty text."""
    found = [link.partition("#") for link in LINK.findall(prose(page)) if "://" not in link]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in found]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links(page: Path) -> None:
    """Each relative link leads to a file, and each anchor to a heading of that file."""
    assert [str(target) for target, _ in links(page) if not target.exists()] == []
    assert [
        f"{target}#{anchor}" for target, anchor in links(page) if anchor and anchor not in anchors(target)
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths(page: Path) -> None:
    """Each path in backquotes exists; a star stands for any text.

    A path begins at the root, in the page's folder or in transport/.
    """
    paths = {path.rstrip("./") for path in PATH.findall(prose(page))} - MADE
    folders = (ROOT, page.parent, ROOT / "transport")
    missing = [path for path in sorted(paths) if not any(any(folder.glob(path)) for folder in folders)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_make_targets(page: Path) -> None:
    """Each make target named on a page exists."""
    makefiles = [ROOT / "Makefile", *ROOT.glob("*/targets.mk"), *ROOT.glob("tests/*/Makefile")]
    known = {
        target for file in makefiles for row in TARGET.findall(file.read_text()) for target in row.split()
    }
    text = page.read_text()
    commands = "\n".join(FENCED.findall(text) + INDENTED.findall(text))
    assert {*MAKE.findall(text), *MAKE_LINE.findall(commands)} - known == set()


def test_every_page_is_reachable() -> None:
    """Every page of docs/ can be reached by links from README.md."""
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += [target for target, _ in links(page)]
    assert [name(page) for page in PAGES if page not in reached and name(page).startswith("docs/")] == []
