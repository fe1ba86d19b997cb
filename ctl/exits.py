"""The exit codes, and the exception that ends a verb with one."""

from typing import Final

YES: Final = 0
"""Done; the answer is yes."""
NO: Final = 1
"""The answer is no: denied, something was found, the bus is not healthy."""
USAGE: Final = 2
NO_BUS: Final = 3
NOT_PERMITTED: Final = 4
CANNOT: Final = 5
"""This bus can't answer; the text says which can."""
TIMED_OUT: Final = 6


class Stop(Exception):
    """The end of a verb: an exit code, and a text for standard error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
