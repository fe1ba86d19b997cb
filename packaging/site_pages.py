"""The site of the documentation: build/site, of the pages in Markdown, the manual pages and the plots.

    site_pages.py stage   writes the generator's input to build/site-source
    site_pages.py check   checks every link inside build/site; the exit status is 1 if one leads nowhere

The pages keep their places in the repository, so that links between them hold; the menu is made of the
tables of docs/README.md. What the generator understands differently from GitHub is rewritten: continued list
items are indented by four spaces, and a fence has a language only.

Rejected: a list of pages in the generator's own file, which would be a second index; Sphinx, which needs all
pages in one folder and has a dialect of its own.
"""

from __future__ import annotations

import argparse
import html.parser
import json
import re
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
SOURCE = CHECKOUT / "build/site-source"
SITE = CHECKOUT / "build/site"
PAGES = ("*.md", "docs/**/*.md", "bench/*.md", "kernel/README.md", "transport/README.md", "tests/*/README.md")
MANUAL = ("docs/man/*.[1-9]", "ctl/share/*.1", "kernel/*.7")
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
ITEM = re.compile(r"(?:[-*] |\d+\. )")
FENCE = re.compile(r"^( *```\w*).*$")
PROGRAMS = r"omnibus[\w.-]*|unix_multicast"
# Anchors as GitHub makes them.
SLUGIFY = "!!python/object/apply:pymdownx.slugs.slugify {kwds: {case: lower}}"

Menu = list[str | dict[str, object]]


def rewrite(lines: list[str]) -> Iterator[str]:
    """Rewrite a page, or the inside of a list item, for the generator."""
    at = 0
    fenced = False
    while at < len(lines):
        line = lines[at]
        at += 1
        item = None if fenced else ITEM.match(line)
        if line.lstrip().startswith("```"):
            fenced = not fenced
            line = FENCE.sub(r"\1", line)
        if not item:
            yield line
            continue
        before = lines[at - 2] if at > 1 else ""
        if before.strip() and not before.startswith(" ") and not ITEM.match(before):
            yield ""
        inside = [line[item.end() :]]
        while at < len(lines) and (not lines[at].strip() or lines[at].startswith(" " * item.end())):
            inside.append(lines[at][item.end() :])
            at += 1
        first, *rest = rewrite(inside)
        yield item[0] + first
        yield from (f"    {one}" if one else "" for one in rest)


def stage_page(page: Path) -> None:
    """Copy a page, and the files that it links to."""
    target = SOURCE / page.relative_to(CHECKOUT)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = page.read_text()
    target.write_text("\n".join(rewrite(text.split("\n"))))
    for name in LINK.findall(text):
        linked = (page.parent / name).resolve()
        if "://" not in name and linked.suffix != ".md" and linked.is_file():
            copy = SOURCE / linked.relative_to(CHECKOUT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(linked, copy)


def stage_manual(page: Path) -> str:
    """Write a manual page as a page of the site, and return its path."""
    command = ["mandoc", "-Thtml", "-Ofragment", page]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    text = re.sub(
        rf"<b>({PROGRAMS})</b>\((\d)\)", r'<a href="../\1.\2/"><b>\1</b>(\2)</a>', done.stdout, flags=re.ASCII
    )
    name = f"{page.stem}({page.suffix[1:]})"
    target = SOURCE / f"man/{page.name}.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"# {name}\n\n<div class='manual'>\n{text}</div>\n")
    return str(target.relative_to(SOURCE))


def menu(manual: list[str]) -> Menu:
    """Return the menu: a part for each table of docs/README.md, the manual pages, the measurements."""
    parts: Menu = ["README.md"]
    for section in (CHECKOUT / "docs/README.md").read_text().split("\n## ")[1:]:
        rows = re.findall(r"^\| \[[^\]]*\]\(([^)]+\.md)\)", section, re.MULTILINE)
        title = section.split("\n")[0].removesuffix(" omnibus").removesuffix(" to")
        pages = [(CHECKOUT / "docs" / row).resolve().relative_to(CHECKOUT) for row in rows]
        parts.append({title: [str(page) for page in pages]})
    parts.append({"Manual pages": manual})
    parts.append({"Measurements": ["bench/report.md", "bench/guest.md", "bench/README.md"]})
    return [*parts, {"Changelog": "CHANGELOG.md"}]


def stage() -> int:
    """Write the generator's input."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for pattern in PAGES:
        for page in CHECKOUT.glob(pattern):
            stage_page(page)
    shown = [page for pattern in MANUAL for page in sorted(CHECKOUT.glob(pattern))]
    manual = [stage_manual(page) for page in shown if not page.read_text().startswith(".so ")]
    style = SOURCE / "style.css"
    style.write_text((CHECKOUT / "packaging/site.css").read_text())
    settings = json.loads((CHECKOUT / "packaging/site.json").read_text())
    settings |= {"docs_dir": str(SOURCE), "site_dir": str(SITE), "nav": menu(manual)}
    (SOURCE.parent / "site.yml").write_text(json.dumps(settings, indent=1).replace('"SLUGIFY"', SLUGIFY))
    return 0


class Links(html.parser.HTMLParser):
    """The identifiers of a page, and what it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.identifiers: set[str] = set()
        self.references: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element's attributes."""
        for name, value in attrs:
            if value and name in ("id", "name"):
                self.identifiers.add(value)
            if value and (name, tag) in (("href", "a"), ("href", "link"), ("src", "img"), ("src", "script")):
                self.references.add(value)


def broken(site: Path) -> list[str]:
    """Return each reference inside a site that leads to no file, or to no element of its page."""
    pages = {path: Links(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}
    found = []
    for path, links in pages.items():
        for reference in sorted(links.references):
            parts = urllib.parse.urlsplit(reference)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = urllib.parse.unquote(parts.fragment)
            known = pages[target].identifiers if target in pages else set()
            if not target.exists() or (anchor and anchor not in known):
                found.append(f"{path.relative_to(site)}: {reference}")
    return found


def check() -> int:
    """Print the links that lead nowhere."""
    found = broken(SITE)
    pages = len(list(SITE.rglob("*.html")))
    print("\n".join(found) or f"{SITE.relative_to(CHECKOUT)}: {pages} pages, every link leads somewhere")
    return int(bool(found))


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("command", choices=("stage", "check"))
    return {"stage": stage, "check": check}[parser.parse_args().command]()


if __name__ == "__main__":
    sys.exit(main())
