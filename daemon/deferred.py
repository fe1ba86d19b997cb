"""Modules that asyncio imports and the bus does not use, a third of the import of asyncio."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class Deferred(ModuleType):
    """Stands for a module, which is imported when a name of it is used for the first time.

    importlib.util.LazyLoader is not for this: it imports the module as soon as a second one imports it, used
    or not.
    """

    def __getattr__(self, name: str) -> Any:
        sys.modules.pop(self.__name__, None)
        module = import_module(self.__name__)
        vars(self).update(vars(module))
        return getattr(module, name)


def spare_asyncio() -> None:
    """Let asyncio be imported without these modules."""
    # As where Python is built without OpenSSL, which asyncio expects.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    # Used by coroutines, add_signal_handler(), and subprocesses in text mode. Python 3.14 uses
    # inspect at once.
    for name in ("inspect", "locale"):
        sys.modules[name] = Deferred(name)
