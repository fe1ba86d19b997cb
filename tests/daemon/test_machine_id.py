"""GetMachineId: the files that may contain the ID, and the error without one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omnibus.daemon import errors
from omnibus.daemon.errors import DBusError
from omnibus.daemon.machine_id import ADVICE, read_machine_id

ID = "0123456789abcdef" * 2


@pytest.mark.parametrize("text", [ID, f"{ID}\n", f"{ID}\r\n", f" \t{ID}\v\n", f"{ID.upper()}\n", "0" * 32])
def test_id(tmp_path: Path, text: str) -> None:
    """Hexadecimal digits of any case, with white space around them; the reply is lower-case."""
    place = tmp_path / "id"
    place.write_bytes(text.encode())
    assert read_machine_id((str(place),)) == text.strip().lower()


def refusal(*places: Path) -> DBusError:
    with pytest.raises(DBusError) as caught:
        read_machine_id(tuple(map(str, places)))
    return caught.value


@pytest.mark.parametrize(
    ("text", "length"),
    [("", 0), ("uninitialized\n", 13), ("0123\n", 4), (f"{ID}00\n", 34), (f"{ID}\nx\n", 34)],
)
def test_length(tmp_path: Path, text: str, length: int) -> None:
    place = tmp_path / "id"
    place.write_text(text)
    error = refusal(place)
    assert error.name == errors.INVALID_FILE_CONTENT
    assert error.text == (
        f"{ADVICE} (UUID file '{place}' should contain a hex string of length 32, not length {length},"
        " with no other text)"
    )


@pytest.mark.parametrize("text", [f"{ID[:-1]}g", f"{ID[:15]} {ID[16:]}", "01 " * 10 + "01", "\xff" * 32])
def test_no_digits(tmp_path: Path, text: str) -> None:
    place = tmp_path / "id"
    place.write_bytes(text.encode("latin-1"))
    error = refusal(place)
    assert (error.name, error.text) == (
        errors.INVALID_FILE_CONTENT,
        f"{ADVICE} (UUID file '{place}' contains invalid hex data)",
    )


def test_first_valid_file(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.write_text("not an id\n")
    good.write_text(f"{ID}\n")
    assert read_machine_id((str(tmp_path / "none"), str(bad), str(good))) == ID


def test_none(tmp_path: Path) -> None:
    """The error is that of the last file, with the reasons for all."""
    absent, directory = tmp_path / "absent", tmp_path
    missing = f'Failed to open "{absent}": No such file or directory'
    error = refusal(directory, absent)
    assert error.name == errors.FILE_NOT_FOUND
    assert error.text == f'{ADVICE} ("{directory}" is not a regular file; {missing})'
    assert refusal(absent, directory).name == errors.FAILED


def test_fifo(tmp_path: Path) -> None:
    """Reading does not block."""
    os.mkfifo(tmp_path / "id")
    assert refusal(tmp_path / "id").text.endswith("is not a regular file)")


def test_not_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert refusal(tmp_path / "id").name == errors.ACCESS_DENIED
