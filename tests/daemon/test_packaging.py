"""What a wheel is made of is listed by hand in pyproject.toml."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("auth", "daemon", "policy", "systemd", "transport")


def test_every_package_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {"omnibus"}
    for room in ROOMS:
        for init in (ROOT / room).rglob("__init__.py"):
            found.add(".".join(("omnibus", *init.parent.relative_to(ROOT).parts)))
    assert set(settings["packages"]) == found
