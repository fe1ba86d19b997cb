"""dbus-fast."""

from __future__ import annotations

import asyncio
import os
from typing import Any

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
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus


async def connect() -> MessageBus:
    return await MessageBus(bus_address=ADDRESS, negotiate_unix_fd=True).connect()


def answer(bus: MessageBus, message: Message) -> Message | None:
    """Answer one call of the service."""
    if message.message_type != MessageType.METHOD_CALL or message.interface != INTERFACE:
        return None
    body = message.body
    if message.member == "Echo":
        return Message.new_method_return(message, "sai", body)
    if message.member == "Fail":
        return Message.new_error(message, ERROR, TEXT)
    if message.member == "Announce":
        bus.send(Message.new_signal(PATH, INTERFACE, "Announced", "s", body))
    elif message.member == "Write":
        write_and_close(message.unix_fds[body[0]], body[1])
    elif message.member == "Open":
        return Message.new_method_return(message, "h", [0], unix_fds=[pipe_with(body[0])])
    return Message.new_method_return(message)


async def serve(name: str) -> None:
    bus = await connect()
    bus.add_message_handler(lambda message: answer(bus, message))
    await bus.request_name(name)
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, over.set)
    ready()
    await over.wait()
    bus.disconnect()


async def use(name: str) -> None:
    bus = await connect()

    async def ask(
        member: str, signature: str = "", body: list[Any] | None = None, fds: list[int] | None = None
    ) -> Any:
        reply = await bus.call(
            Message(name, PATH, INTERFACE, member, signature=signature, body=body or [], unix_fds=fds or [])
        )
        assert reply is not None
        return reply

    check("Echo", (await ask("Echo", "sai", [TEXT, NUMBERS])).body, [TEXT, NUMBERS])
    failed = await ask("Fail")
    check("Fail", (failed.message_type, failed.error_name, failed.body), (MessageType.ERROR, ERROR, [TEXT]))
    announced: asyncio.Queue[list[Any]] = asyncio.Queue()
    bus.add_message_handler(
        lambda message: announced.put_nowait(message.body) if message.member == "Announced" else None
    )
    rule = f"type='signal',sender='{name}',interface='{INTERFACE}',member='Announced',path='{PATH}'"
    await bus.call(
        Message(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "AddMatch",
            signature="s",
            body=[rule],
        )
    )
    await ask("Announce", "s", [TEXT])
    check("Announced", await announced.get(), [TEXT])
    read, write = os.pipe()
    written = await ask("Write", "hs", [0, TEXT], [write])
    os.close(write)
    check("Write", (written.message_type, read_and_close(read)), (MessageType.METHOD_RETURN, TEXT))
    opened = await ask("Open", "s", [TEXT])
    check("Open", read_and_close(opened.unix_fds[opened.body[0]]), TEXT)
    bus.disconnect()


run(lambda name: asyncio.run(serve(name)), lambda name: asyncio.run(use(name)))
