"""What is chosen at the start, and the one line that says so."""

from __future__ import annotations

import pytest

from omnibus.daemon.direct import choose_group
from omnibus.transport.multicast.group import Group, Unavailable

GROUP = Group(fd=99, version=1, max_members=1024)


class Lines(list[str]):
    """A log."""

    def info(self, text: str) -> None:
        self.append(text)


def there(max_pending: int) -> Group:
    assert max_pending == 128
    return GROUP


def not_there(max_pending: int) -> Group:
    raise Unavailable("/dev/unix_multicast is not there")


@pytest.mark.parametrize("mode", ["auto", "require"])
def test_there(mode: str) -> None:
    lines = Lines()
    assert choose_group(mode, 128, lines, there) is GROUP
    assert lines == ["Messages go directly between clients: unix_multicast version 1, up to 1024 members"]


def test_not_there() -> None:
    lines = Lines()
    assert choose_group("auto", 128, lines, not_there) is None
    assert lines == ["Messages go through the relay: /dev/unix_multicast is not there"]


def test_off() -> None:
    """Nothing is even tried."""
    lines = Lines()
    assert choose_group("off", 0, lines, there) is None
    assert lines == ["Messages go through the relay: multicast is off"]


def test_required() -> None:
    lines = Lines()
    with pytest.raises(Unavailable, match=r"^multicast is required: /dev/unix_multicast is not there$"):
        choose_group("require", 128, lines, not_there)
    assert lines == []
