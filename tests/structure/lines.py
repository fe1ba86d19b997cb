"""Lines of product code: those that are not blank, not a comment, not a docstring, and not a test's."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from pathlib import Path

FOREIGN = {"tests", "bench", "docs", ".ci"}
"""Folders of what is not the product, at any depth."""
LANGUAGES = {".c": "C", ".h": "C", ".py": "Python", ".pyi": "Python", ".sh": "sh"}
INTERPRETERS = {"python": "Python", "sh": "sh", "bash": "sh"}
C_TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def tracked(root: Path) -> list[str]:
    """Return the paths of all files that Git knows and that are there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    return [path for path in listed.stdout.split("\0") if path and (root / path).is_file()]


def language(path: str, text: str) -> str | None:
    """Tell the language of a file by its name or its first line; None: none of those that count."""
    if suffix := Path(path).suffix:
        return LANGUAGES.get(suffix)
    found = re.match(r"#!.*\b(python|sh|bash)", text)
    return INTERPRETERS[found[1]] if found else None


def product_lines(root: Path) -> dict[str, int]:
    """Count the lines of each language."""
    counted: dict[str, int] = {}
    for path in tracked(root):
        if FOREIGN.isdisjoint(Path(path).parts):
            text = (root / path).read_text(errors="replace")
            if kind := language(path, text):
                counted[kind] = counted.get(kind, 0) + COUNT[kind](text)
    return dict(sorted(counted.items()))


def c_lines(text: str) -> int:
    """Count the lines of C that hold more than comments."""
    code = C_TOKEN.sub(lambda one: " " if one[0].startswith("/") else one[0], text)
    return len([line for line in code.splitlines() if line.strip()])


def sh_lines(text: str) -> int:
    """Count the lines of a shell script that hold more than comments."""
    lines = [line.strip() for line in text.splitlines()]
    return len([line for line in lines if line and not line.startswith("#")])


def python_lines(text: str) -> int:
    """Count the lines of Python that hold more than comments and docstrings."""
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            found |= set(range(token.start[0], token.end[0] + 1))
    return len(found - docstring_lines(ast.parse(text)))


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the numbers of the lines of all docstrings, and of the texts below attributes."""
    found: set[int] = set()
    for node in ast.walk(tree):
        for one in () if isinstance(node, (ast.Lambda, ast.IfExp)) else getattr(node, "body", ()):
            if (
                isinstance(one, ast.Expr)
                and isinstance(one.value, ast.Constant)
                and isinstance(one.value.value, str)
            ):
                found |= set(range(one.lineno, (one.end_lineno or one.lineno) + 1))
    return found


COUNT = {"C": c_lines, "Python": python_lines, "sh": sh_lines}
