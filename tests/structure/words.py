"""Words that are for persons, in texts about programs: a client, a peer or a process is *it*.

python3 -m structure.words [--list]     in tests/: fails if there are more than LIMITS; says where
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from structure.lines import tracked

ROOT = Path(__file__).resolve().parents[2]
LIMITS = {"product": 0, "tests": 14}
"""How many there may be. What is not below tests/ is the product, its documents included."""

WORDS = (
    "he|him|his|himself|she|her|hers|herself|whom|whoever|whomever"
    "|somebody|nobody|everybody|anybody|someone|everyone|anyone"
)
# Names are read word by word: `nobody_is_told` is a sentence, too.
WORD = re.compile(rf"(?<![a-zA-Z])(?:{WORDS})(?![a-zA-Z])", re.IGNORECASE)

# The user `nobody`, and `everybody`, whom the configuration may trust: quoted, or between tags or signs.
NAMES = re.compile(
    r"""(["'`>=])(?:nobody|everybody)(?:-at-all)?(?:["'`<])|trust_everybody|b?["']nobody["']|<user>nobody[\w-]*"""
)
FOREIGN = re.compile(
    r"(^|/)(LICENSE|COPYING|copyright)$|/corpus/|\.(svg|json|patch)$|^tests/structure/words\.py$"
)


def found(text: str) -> list[tuple[int, str]]:
    """Return the line number and the line of each word, a line with two of them twice."""
    return [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        for _ in WORD.finditer(NAMES.sub("", line))
    ]


def places(root: Path = ROOT) -> dict[str, list[str]]:
    """Return all places in the product and in its tests, as `path:line: text`."""
    places: dict[str, list[str]] = {part: [] for part in LIMITS}
    for path in tracked(root):
        if FOREIGN.search(path):
            continue
        try:
            text = (root / path).read_text()
        except UnicodeDecodeError:
            continue
        part = "tests" if "tests" in Path(path).parts else "product"
        places[part] += [f"{path}:{number}: {line}" for number, line in found(text)]
    return places


def main() -> None:
    """Fail if there are too many."""
    failed = False
    for part, where in places().items():
        if "--list" in sys.argv:
            print(*where, sep="\n")
        if len(where) > LIMITS[part]:
            print(f"{len(where)} personal words in {part}, at most {LIMITS[part]}: see `make personal-words`")
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
