"""The input and the links of the documentation's site."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "packaging"))

from site_pages import broken, menu, rewrite  # noqa: E402


def rewritten(text: str) -> str:
    return "\n".join(rewrite(text.split("\n")))


class TestRewrite:
    """What GitHub understands, for a generator that wants four spaces."""

    def test_fence(self) -> None:
        assert rewritten("```sh install\ntrue\n```") == "```sh\ntrue\n```"

    def test_item(self) -> None:
        assert rewritten("- one\n  more\n\n  ```sh name\n  true\n  ```\n\nend") == (
            "- one\n    more\n\n    ```sh\n    true\n    ```\n\nend"
        )

    def test_numbers(self) -> None:
        assert rewritten("10. one\n    - two\n      three") == "10. one\n\n    - two\n        three"

    def test_list_after_text(self) -> None:
        assert rewritten("text:\n- one\n- two") == "text:\n\n- one\n- two"

    @pytest.mark.parametrize("text", ["```sh\n- no item\n```", "    - code", "a - b\nc"])
    def test_rest(self, text: str) -> None:
        """Everything else stays."""
        assert rewritten(text) == text


class TestMenu:
    def test_every_page_of_the_index(self) -> None:
        """The menu has each page that docs/README.md lists, and no path that is not there."""
        parts = menu(["man/omnibusd.1.md"])
        pages = [
            page for part in parts if isinstance(part, dict) for pages in part.values() for page in pages
        ]
        pages = [page for page in pages if len(page) > 1 and not page.startswith("man/")]
        assert [page for page in pages if not (ROOT / page).exists()] == []
        assert {"docs/using/installing.md", "docs/understanding/message.md", "CONTRIBUTING.md"} <= set(pages)


class TestLinks:
    def site(self, directory: Path, **pages: str) -> list[str]:
        for name, text in pages.items():
            (directory / f"{name}.html").write_text(text)
        return broken(directory)

    def test_found(self, tmp_path: Path) -> None:
        """Pages, elements of pages, files, and other sites."""
        (tmp_path / "plot.svg").touch()
        assert not self.site(
            tmp_path,
            index='<a href="other.html#part">x</a><img src="plot.svg"><a href="#top" id="top">y</a>',
            other='<h2 id="part">z</h2><a href="https://example.org/none">w</a><a href=".">v</a>',
        )

    @pytest.mark.parametrize("reference", ["none.html", "other.html#none", "#none", "none/"])
    def test_broken(self, tmp_path: Path, reference: str) -> None:
        found = self.site(tmp_path, index=f'<a href="{reference}">x</a>', other="")
        assert found == [f"index.html: {reference}"]
