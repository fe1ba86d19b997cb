"""The machine's id (specification: "GetMachineId")."""

import re
from collections.abc import Sequence
from typing import Final

PLACES: Final = ("/var/lib/dbus/machine-id", "/etc/machine-id")


def read_machine_id(places: Sequence[str] = PLACES) -> str:
    """Return the 32 hexadecimal digits; raises OSError if no place has them."""
    for place in places:
        try:
            with open(place, encoding="ascii") as file:
                text = file.read().strip()
        except (OSError, UnicodeDecodeError):
            continue
        if re.fullmatch("[0-9a-f]{32}", text):
            return text
    raise OSError(f"No machine id in {' or '.join(places)}")
