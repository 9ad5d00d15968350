"""The application Dial: invite, wait for an answer, U() on the called channel, bridge."""

import asyncio
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.harness.channels import Channel, ChannelEnded, State, Target
from tests.harness.dialplan import DialplanError
from tests.harness.substitution import split_arguments

if TYPE_CHECKING:
    from tests.harness.interpreter import Interpreter

_FAILURES = {
    "busy": ("BUSY", 17),
    "congestion": ("CONGESTION", 34),
    "unavailable": ("CHANUNAVAIL", 20),
}
_DESTINATION = re.compile(r"PJSIP/[^&/,]+|Local/[^&/,@]+@[\w-]+(/n)?")
_OPTION = re.compile(r"([a-zA-Z])(?:\(([^)]*)\))?")


async def dial(interpreter: "Interpreter", channel: Channel, data: str) -> None:
    """DialEnd is sent after U(), as Asterisk 22 does.

    Raises ChannelEnded when the calling channel is to hang up, else sets DIALSTATUS.
    """
    destination, timeout, options, *rest = [*split_arguments(data), "", "", ""]
    if any(rest) or not _DESTINATION.fullmatch(destination):
        raise DialplanError(f"Dial({data}): one PJSIP or Local destination, no URL")
    subroutine = _options(options)
    pbx = interpreter.pbx
    technology, _, address = destination.partition("/")
    called = channel.dials = pbx.invite(channel, address, local=technology == "Local")
    try:
        status, cause = await _answered(channel, called, float(timeout) if timeout else None)
    finally:
        channel.dials = None
    channel.variables.set("DIALSTATUS", status)
    if status != "ANSWER":
        pbx.dial_ended(channel, called, status)
        pbx.end_channel(called, cause)
        if channel.interrupted:
            raise ChannelEnded
        return
    called.state = State.UP
    pbx.new_state(called)
    if await _prepared(interpreter, channel, called, subroutine):
        bridge = pbx.bridging.new()
        pbx.bridging.impart(bridge, called)
        pbx.bridging.enter(bridge, channel)
        await pbx.bridging.stay(channel)
        await asyncio.sleep(0)  # whoever was left alone in the bridge ends first
    else:
        pbx.bridging.let_go(called)
    if not channel.interrupted:
        channel.hang_up(called.cause or 16)
    raise ChannelEnded


def _options(options: str) -> tuple[str, list[str]] | None:
    rest, subroutine = options, None
    while rest:
        match = _OPTION.match(rest)
        if match is None or match[1] not in "UrtTgk":
            raise DialplanError(f"Dial options {rest!r} are not simulated")
        if match[1] == "g":
            raise DialplanError("Dial option g is not simulated")
        if match[1] == "U":
            context, *arguments = (match[2] or "").split("^")
            subroutine = (context, arguments)
        rest = rest[match.end() :]
    return subroutine


async def _answered(channel: Channel, called: Channel, timeout: float | None) -> tuple[str, int]:
    """DIALSTATUS, and the cause with which the called channel ends if it was not answered."""
    waiting = asyncio.create_task(called.dialled.get())
    caller = asyncio.create_task(channel.idle())
    end = None if timeout is None else asyncio.get_running_loop().time() + timeout
    try:
        while True:
            left = None if end is None else max(0.0, end - asyncio.get_running_loop().time())
            done, _ = await asyncio.wait(
                {waiting, caller}, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            if caller in done:
                return "CANCEL", 16
            if not done:
                return "NOANSWER", 19
            reply = waiting.result()
            if reply == "answer":
                return "ANSWER", 0
            if reply in _FAILURES:
                return _FAILURES[reply]
            if reply == "gone":
                return "CHANUNAVAIL" if called.cause != 17 else "BUSY", called.cause
            waiting = asyncio.create_task(called.dialled.get())
    finally:
        for task in (waiting, caller):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _prepared(
    interpreter: "Interpreter",
    channel: Channel,
    called: Channel,
    subroutine: tuple[str, list[str]] | None,
) -> bool:
    """Runs U() on the called channel; whether the two are to be bridged."""
    pbx = interpreter.pbx
    if subroutine is not None:
        # The caller is kept busy meanwhile: that it hung up is noticed when the routine returns.
        called.variables.set("GOSUB_RESULT", "")
        called.exten, called.priority = "", 1
        with suppress(ChannelEnded):
            await interpreter.subroutine(called, Target(subroutine[0], "s"), subroutine[1])
        # What the variable says counts even if the called person left in the middle.
        result = called.variables.get("GOSUB_RESULT") or ""
        if result == "ABORT":
            pbx.dial_ended(channel, called, "ANSWER")
            return False
        if result:
            raise DialplanError(f"GOSUB_RESULT={result} is not simulated")
    pbx.dial_ended(channel, called, "ANSWER")
    if channel.interrupted:
        return False
    # As in Asterisk the calling side is answered now, even if nobody is left to talk to.
    pbx.answer(channel)
    return not called.interrupted
