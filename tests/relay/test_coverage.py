"""Coverage by the fuzz targets: the list of excluded lines, and the report."""

from __future__ import annotations

import re

import pytest

from relay import coverage


def body(path: str, function: str) -> list[str]:
    """Return the lines of a C function, without white space; none if there is no such function."""
    text = (coverage.ROOT / path).read_text()
    whole = rf"^[^\s#/*][^;\n]*\b{function}\([^;]*?\)\n\{{\n.*?^\}}"
    found = re.search(whole, text, re.MULTILINE | re.DOTALL)
    return [line.strip() for line in found[0].splitlines()] if found else []


class TestListOfFailedAllocations:
    """failed_allocations.txt names lines by function and text, so that moving lines does not affect it."""

    def test_its_rows_are_sorted_and_unique(self) -> None:
        rows = coverage.listed()
        assert rows == sorted(set(rows))

    @pytest.mark.parametrize("path", sorted({row[0] for row in coverage.listed()}))
    def test_its_lines_exist(self, path: str) -> None:
        rows = [row for row in coverage.listed() if row[0] == path]
        missing = [row for row in rows if row[2] not in body(path, row[1])]
        assert not missing

    def test_it_lists_only_measured_files(self) -> None:
        assert all(path.startswith(coverage.COUNTED) for path, _, _ in coverage.listed())


PATH = "transport/relay/base/table.c"
LCOV = f"""SF:{coverage.ROOT}/{PATH}
FN:12,table.c:bucket
FN:20,table_init
DA:13,{{}}
DA:21,1
end_of_record
SF:/usr/include/string.h
DA:1,1
end_of_record
"""


class TestReport:
    """A line reached only while allocations fail is excluded if it is listed."""

    def test_lines_belong_to_functions(self) -> None:
        found = dict(coverage.sources(LCOV.format(0)))
        assert list(found) == [PATH]
        assert found[PATH].counts == {13: 0, 21: 1}
        assert [found[PATH].function(line) for line in (13, 21)] == ["bucket", "table_init"]

    def test_lines_reached_only_by_failures_are_found(self) -> None:
        with_failures, without = (dict(coverage.sources(LCOV.format(n))) for n in (5, 0))
        (row,) = coverage.only_by_failures(with_failures, without)
        assert row[:2] == (PATH, "bucket")
        assert coverage.only_by_failures(with_failures, with_failures) == {}

    @pytest.mark.parametrize(("excluded", "enough"), [(True, True), (False, False)])
    def test_a_file_below_the_required_coverage_fails(
        self, excluded: bool, enough: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with_failures, without = (dict(coverage.sources(LCOV.format(n))) for n in (5, 0))
        rows = coverage.only_by_failures(with_failures, without)
        assert coverage.table(without, rows if excluded else {}) == enough
        assert f"| `{PATH}` | 2 | 1 | {int(excluded)} |" in capsys.readouterr().out
