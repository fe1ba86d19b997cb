"""systemd's sd-bus, through ctypes."""

from __future__ import annotations

import ctypes
import os
import select
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_uint64, c_void_p

from common import (
    ADDRESS,
    ERROR,
    INTERFACE,
    NUMBERS,
    PATH,
    TEXT,
    check,
    pipe_with,
    read_and_close,
    ready,
    run,
    write_and_close,
)

sd = ctypes.CDLL("libsystemd.so.0")
HANDLER = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p)
USEC_FOREVER = 2**64 - 1


class Error(ctypes.Structure):
    _fields_ = (("name", c_char_p), ("message", c_char_p), ("need_free", c_int))


for _name in ("member", "signature"):
    getattr(sd, f"sd_bus_message_get_{_name}").restype = c_char_p
sd.sd_bus_message_get_error.restype = POINTER(Error)


def ok(result: int) -> int:
    """Turn a negative errno into an exception."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def connect() -> c_void_p:
    bus = c_void_p()
    ok(sd.sd_bus_new(byref(bus)))
    ok(sd.sd_bus_set_address(bus, ADDRESS.encode()))
    ok(sd.sd_bus_set_bus_client(bus, 1))
    ok(sd.sd_bus_negotiate_fds(bus, 1))
    ok(sd.sd_bus_start(bus))
    return bus


def read_string(message: c_void_p) -> str:
    text = c_char_p()
    ok(sd.sd_bus_message_read_basic(message, c_char(b"s"), byref(text)))
    return (text.value or b"").decode()


def read_descriptor(message: c_void_p) -> int:
    """Read a descriptor and duplicate it."""
    descriptor = c_int()
    ok(sd.sd_bus_message_read_basic(message, c_char(b"h"), byref(descriptor)))
    return os.dup(descriptor.value)


def read_numbers(message: c_void_p) -> list[int]:
    ok(sd.sd_bus_message_enter_container(message, c_char(b"a"), b"i"))
    numbers, number = [], c_int32()
    while ok(sd.sd_bus_message_read_basic(message, c_char(b"i"), byref(number))):
        numbers.append(number.value)
    ok(sd.sd_bus_message_exit_container(message))
    return numbers


def append_string(message: c_void_p, text: str) -> None:
    ok(sd.sd_bus_message_append_basic(message, c_char(b"s"), c_char_p(text.encode())))


def append_descriptor(message: c_void_p, descriptor: int) -> None:
    """Append a descriptor, which is duplicated; the given one is closed."""
    ok(sd.sd_bus_message_append_basic(message, c_char(b"h"), byref(c_int(descriptor))))
    os.close(descriptor)


def append_numbers(message: c_void_p, numbers: list[int]) -> None:
    ok(sd.sd_bus_message_open_container(message, c_char(b"a"), b"i"))
    for number in numbers:
        ok(sd.sd_bus_message_append_basic(message, c_char(b"i"), byref(c_int32(number))))
    ok(sd.sd_bus_message_close_container(message))


def c_char(code: bytes) -> ctypes.c_char:
    return ctypes.c_char(code)


class Service:
    def __init__(self, bus: c_void_p) -> None:
        self.bus = bus

    def handle(self, pointer: int, _data: int, _error: int) -> int:
        """Answer one call."""
        message, reply = c_void_p(pointer), c_void_p()
        member = sd.sd_bus_message_get_member(message).decode()
        if member == "Fail":
            return int(
                ok(sd.sd_bus_reply_method_error(message, byref(Error(ERROR.encode(), TEXT.encode(), 0))))
            )
        ok(sd.sd_bus_message_new_method_return(message, byref(reply)))
        if member == "Echo":
            append_string(reply, read_string(message))
            append_numbers(reply, read_numbers(message))
        elif member == "Announce":
            self.announce(read_string(message))
        elif member == "Write":
            descriptor = read_descriptor(message)
            write_and_close(descriptor, read_string(message))
        elif member == "Open":
            append_descriptor(reply, pipe_with(read_string(message)))
        ok(sd.sd_bus_send(None, reply, None))
        sd.sd_bus_message_unref(reply)
        return 1

    def announce(self, text: str) -> None:
        signal = c_void_p()
        ok(
            sd.sd_bus_message_new_signal(
                self.bus, byref(signal), PATH.encode(), INTERFACE.encode(), b"Announced"
            )
        )
        append_string(signal, text)
        ok(sd.sd_bus_send(self.bus, signal, None))
        sd.sd_bus_message_unref(signal)


def service(name: str) -> None:
    bus = connect()
    handler = HANDLER(Service(bus).handle)
    ok(sd.sd_bus_add_object(bus, None, PATH.encode(), handler, None))
    ok(sd.sd_bus_request_name(bus, name.encode(), c_uint64(0)))
    ready()
    while True:
        while ok(sd.sd_bus_process(bus, None)):
            pass
        ready_to_read, _, _ = select.select([0, sd.sd_bus_get_fd(bus)], [], [])
        if 0 in ready_to_read:
            return


def call(name: str) -> None:
    bus = connect()

    def start(member: str) -> c_void_p:
        message = c_void_p()
        ok(
            sd.sd_bus_message_new_method_call(
                bus, byref(message), name.encode(), PATH.encode(), INTERFACE.encode(), member.encode()
            )
        )
        return message

    def ask(message: c_void_p) -> c_void_p:
        reply = c_void_p()
        ok(sd.sd_bus_call(bus, message, c_uint64(0), None, byref(reply)))
        return reply

    echo = start("Echo")
    append_string(echo, TEXT)
    append_numbers(echo, NUMBERS)
    reply = ask(echo)
    check("Echo", (read_string(reply), read_numbers(reply)), (TEXT, NUMBERS))

    error = Error()
    if sd.sd_bus_call(bus, start("Fail"), c_uint64(0), byref(error), None) >= 0:
        sys.exit("Fail: no error")
    check("Fail", ((error.name or b"").decode(), (error.message or b"").decode()), (ERROR, TEXT))

    announced: list[str] = []

    def heard(pointer: int, _data: int, _error: int) -> int:
        announced.append(read_string(c_void_p(pointer)))
        return 0

    handler = HANDLER(heard)
    ok(
        sd.sd_bus_match_signal(
            bus, None, name.encode(), PATH.encode(), INTERFACE.encode(), b"Announced", handler, None
        )
    )
    announce = start("Announce")
    append_string(announce, TEXT)
    ask(announce)
    while not announced:
        if not ok(sd.sd_bus_process(bus, None)):
            ok(sd.sd_bus_wait(bus, c_uint64(USEC_FOREVER)))
    check("Announced", announced, [TEXT])

    read, write = os.pipe()
    message = start("Write")
    append_descriptor(message, write)
    append_string(message, TEXT)
    ask(message)
    sd.sd_bus_message_unref(message)
    check("Write", read_and_close(read), TEXT)
    message = start("Open")
    append_string(message, TEXT)
    check("Open", read_and_close(read_descriptor(ask(message))), TEXT)


run(service, call)
