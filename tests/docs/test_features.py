"""The tests named in docs/contributing/features.md."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = [
    line
    for line in (ROOT / "docs/contributing/features.md").read_text().splitlines()
    if line.startswith("| ")
]
TEST = re.compile(r"`(tests/[^`]+)`")


@cache
def known(path: str) -> set[str]:
    """Return the names that may follow a file's path: its tests, its test classes, and the empty name."""
    file = ROOT / path
    if not file.is_file():
        return set()
    if file.suffix == ".c":
        return {"", *re.findall(r"\bTEST\((\w+)\)", file.read_text())}
    body = ast.parse(file.read_text()).body
    found = {""} | functions(body)
    for node in body:
        if isinstance(node, ast.ClassDef):
            inside = functions(node.body)
            found |= {f"{node.name}::{name}" for name in inside}
            found |= {node.name} if inside else set()
    return found


def functions(body: list[ast.stmt]) -> set[str]:
    named = [node for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return {node.name for node in named if node.name.startswith("test_")}


def test_every_test_exists() -> None:
    ids = TEST.findall("\n".join(ROWS))
    assert len(ids) > 150
    assert [one for one in ids if one.partition("::")[2] not in known(one.partition("::")[0])] == []


def test_every_row_has_a_test() -> None:
    heads = ("tests |", "the section below |")
    assert [row for row in ROWS if not TEST.search(row) and not row.endswith(heads)] == []
