"""Modules that are imported and not used: a third of the import of asyncio, and what only upgrades need."""

import sys
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, Final


class Deferred(ModuleType):
    """Stands for a module, which is imported when a name of it is used for the first time.

    ``functions``: those that are fetched by others at their import, and perhaps called later.
    importlib.util.LazyLoader is not for this: it imports the module as soon as a second one imports it, used
    or not.
    """

    def __init__(self, name: str, functions: tuple[str, ...]) -> None:
        super().__init__(name)
        vars(self).update({function: partial(self._call, function) for function in functions})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._import(), name)

    def _call(self, function: str, *args: Any, **more: Any) -> Any:
        return getattr(self._import(), function)(*args, **more)

    def _import(self) -> ModuleType:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = import_module(self.__name__)
        vars(self).update(vars(module))
        return module


# asyncio has them for TLS, coroutines, add_signal_handler(), subprocesses in text mode, and exceptions;
# Python 3.14 uses inspect at once, which has tokenize for source code. The function is fetched by asyncio's
# native module, which calls it when debugging. An upgrade and a standby write JSON.
DEFERRED: Final[dict[str, tuple[str, ...]]] = {
    "asyncio.sslproto": (),
    "inspect": (),
    "json": (),
    "linecache": (),
    "locale": (),
    "tokenize": (),
    "traceback": ("extract_stack",),
}


def spare() -> None:
    """Let asyncio and our own modules be imported without these."""
    # As where Python is built without OpenSSL, which asyncio expects.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    for name, functions in DEFERRED.items():
        sys.modules[name] = Deferred(name, functions)
