"""The numbers of the D-Bus protocol, from wire/message.h."""

from typing import Final

from ._relay import lib

METHOD_CALL: Final[int] = lib.MESSAGE_METHOD_CALL
METHOD_RETURN: Final[int] = lib.MESSAGE_METHOD_RETURN
ERROR: Final[int] = lib.MESSAGE_ERROR
SIGNAL: Final[int] = lib.MESSAGE_SIGNAL

NO_REPLY_EXPECTED: Final[int] = lib.MESSAGE_NO_REPLY_EXPECTED
NO_AUTO_START: Final[int] = lib.MESSAGE_NO_AUTO_START

PATH: Final[int] = lib.FIELD_PATH
INTERFACE: Final[int] = lib.FIELD_INTERFACE
MEMBER: Final[int] = lib.FIELD_MEMBER
ERROR_NAME: Final[int] = lib.FIELD_ERROR_NAME
REPLY_SERIAL: Final[int] = lib.FIELD_REPLY_SERIAL
DESTINATION: Final[int] = lib.FIELD_DESTINATION
SIGNATURE: Final[int] = lib.FIELD_SIGNATURE
UNIX_FDS: Final[int] = lib.FIELD_UNIX_FDS
