"""The dialplan applications that are simulated, except Dial."""

import asyncio
import re

from tests.harness.agi_client import NotSimulated, run_agi
from tests.harness.channels import Channel, ChannelEnded, Digit, Gone, Target
from tests.harness.dial import dial
from tests.harness.dialplan import DialplanError
from tests.harness.functions import ChannelNames, is_true
from tests.harness.interpreter import Application, Interpreter
from tests.harness.substitution import split_arguments

KEYS = "0123456789*#ABCD"
BETWEEN_DIGITS_S = 5.0
"""``TIMEOUT(digit)`` unless a dialplan sets it."""

AMD_PERSON_S, AMD_MACHINE_S = 1.2, 2.5
"""How long AMD listens."""


async def _noop(_: Interpreter, __: Channel, ___: str) -> None:
    return None


async def _set(interpreter: Interpreter, channel: Channel, data: str) -> None:
    name, equals, value = data.partition("=")
    if not equals:
        raise DialplanError(f"Set({data}) has no equals sign")
    ChannelNames(interpreter.pbx, channel).assign(name.strip(), value)


async def _gosub(interpreter: Interpreter, channel: Channel, data: str) -> None:
    target, arguments = _subroutine(interpreter, channel, data)
    interpreter.gosub(channel, target, arguments)


def _subroutine(interpreter: Interpreter, channel: Channel, data: str) -> tuple[Target, list[str]]:
    """``[[context,]exten,]priority[(arguments)]``."""
    parts = split_arguments(data, unquote=False)
    place, opened, arguments = parts[-1].partition("(")
    target = interpreter.target(channel, ",".join([*parts[:-1], place]))
    if not opened:
        return target, []
    return target, split_arguments(arguments.rstrip()[:-1])


async def _return(interpreter: Interpreter, channel: Channel, data: str) -> None:
    interpreter.leave(channel, data)


async def _goto(interpreter: Interpreter, channel: Channel, data: str) -> None:
    interpreter.jump(channel, interpreter.target(channel, data))


async def _gotoif(interpreter: Interpreter, channel: Channel, data: str) -> None:
    condition, _, branches = data.partition("?")
    yes, _, no = branches.partition(":")
    target = yes if is_true(condition.strip()) else no
    if target.strip():
        await _goto(interpreter, channel, target)


async def _gosubif(interpreter: Interpreter, channel: Channel, data: str) -> None:
    condition, _, branches = data.partition("?")
    yes, no, *_rest = [*split_arguments(branches, ":", unquote=False), ""]
    target = yes if is_true(condition.strip()) else no
    if target.strip():
        await _gosub(interpreter, channel, target)


async def _execif(interpreter: Interpreter, channel: Channel, data: str) -> None:
    condition, _, branches = data.partition("?")
    yes, no, *_rest = [*split_arguments(branches, ":", unquote=False), ""]
    call = (yes if is_true(condition.strip()) else no).strip()
    if not call:
        return
    match = re.fullmatch(r"(\w+)\((.*)\)", call, re.DOTALL)
    if match is None or not interpreter.has_application(match[1]):
        raise DialplanError(f"ExecIf cannot run {call!r}")
    await interpreter.execute(channel, match[1], match[2])


async def _agi(interpreter: Interpreter, channel: Channel, data: str) -> None:
    await run_agi(interpreter.pbx, channel, split_arguments(data)[0])


async def _playback(interpreter: Interpreter, channel: Channel, data: str) -> None:
    files, *options = split_arguments(data)
    unknown = set("&".join(options).split("&")) - {"", "noanswer", "skip"}
    if unknown:
        raise DialplanError(f"Playback options {unknown} are not simulated")
    if "noanswer" not in "&".join(options):
        interpreter.needs_answer(channel)
    status = "SUCCESS"
    for file in files.split("&"):
        heard = await interpreter.pbx.media.play(channel, file, "")
        if heard.result < 0:
            raise ChannelEnded
        if heard.of is None:
            status = "FAILED"
    channel.variables.set("PLAYBACKSTATUS", status)


async def _progress(interpreter: Interpreter, channel: Channel, _: str) -> None:
    interpreter.pbx.note("progress", channel)


async def _answer(interpreter: Interpreter, channel: Channel, _: str) -> None:
    interpreter.pbx.answer(channel)


async def _hangup(_: Interpreter, channel: Channel, data: str) -> None:
    cause = data.strip()
    if cause and not cause.isdigit():
        raise DialplanError(f"Hangup({data}): causes are given as numbers")
    channel.hang_up(int(cause) if cause else 16)
    raise ChannelEnded


async def _log(interpreter: Interpreter, _: Channel, data: str) -> None:
    level, comma, text = data.partition(",")
    if not comma:
        raise DialplanError(f"Log({data}) needs a level and a text")
    interpreter.pbx.log(level, text)


async def _verbose(interpreter: Interpreter, _: Channel, data: str) -> None:
    interpreter.pbx.log("VERBOSE", data.partition(",")[2] or data)


async def _mixmonitor(interpreter: Interpreter, channel: Channel, data: str) -> None:
    file, options, *command = [*split_arguments(data), ""]
    if any(command):
        raise DialplanError(f"MixMonitor runs a shell command: {command}")
    variable, beep = re.search(r"i\((\w+)\)", options), re.search(r"B\((\d*)\)", options)
    for found in (variable, beep):
        options = options.replace(found[0], "") if found else options
    if set(options) - {"b", "D"}:
        raise NotSimulated(f"MixMonitor options {options!r}")
    identity = interpreter.pbx.media.start_recording(
        channel,
        file,
        bridged_only="b" in options,
        beep_s=int(beep[1] or 15) if beep else 0,
        stereo="D" in options,
    )
    if variable:
        channel.variables.set(variable[1], identity)


async def _stopmixmonitor(interpreter: Interpreter, channel: Channel, data: str) -> None:
    interpreter.pbx.media.stop_recording(channel, data.strip())


async def _wait(_: Interpreter, channel: Channel, data: str) -> None:
    end = asyncio.get_running_loop().time() + float(data or 0)
    while (left := end - asyncio.get_running_loop().time()) > 0:
        if isinstance(await channel.wait(left), Gone):
            raise ChannelEnded


async def _read(interpreter: Interpreter, channel: Channel, data: str) -> None:
    """``Read(variable,file&file,digits,,1,seconds)``: any key ends the prompts, ``#`` the typing.
    The seconds are those before the first digit; between digits it is the channel's own time-out,
    which is 5 s. Files that are not there are passed over, all of them missing is an error."""
    variable, files, most, options, attempts, seconds, *rest = [
        *split_arguments(data), "", "", "", "", ""
    ]  # fmt: skip
    if options or attempts != "1" or any(rest) or not most or not seconds:
        raise NotSimulated(f"Read({data})")
    interpreter.needs_answer(channel)
    keys, status, pressed = "", "ERROR", ""
    for file in files.split("&"):
        heard = await interpreter.pbx.media.play(channel, file, KEYS)
        status = status if heard.of is None else "TIMEOUT"
        if heard.result:
            pressed = "" if heard.result < 0 else chr(heard.result)
            status = "HANGUP" if heard.result < 0 else status
            break
    while status == "TIMEOUT":
        if not pressed:
            happened = await channel.wait(BETWEEN_DIGITS_S if keys else float(seconds))
            if isinstance(happened, Digit):
                pressed = happened.key
            else:
                status = "HANGUP" if isinstance(happened, Gone) else status
                break
        if pressed == "#":
            status = "OK"
        else:
            keys, pressed = keys + pressed, ""
            if len(keys) == int(most):
                status = "OK"
    channel.variables.set(variable, keys)
    channel.variables.set("READSTATUS", status)


async def _confbridge(interpreter: Interpreter, channel: Channel, data: str) -> None:
    name, *rest = split_arguments(data)
    if any(rest):
        raise NotSimulated(f"ConfBridge({data}): profiles and menus")
    await interpreter.pbx.conferences.visit(channel, name)


async def _parkedcall(interpreter: Interpreter, channel: Channel, data: str) -> None:
    await interpreter.pbx.parking.retrieve(channel, int(split_arguments(data)[-1]))


async def _amd(_: Interpreter, channel: Channel, __: str) -> None:
    """Listens for a while; a machine is who was made one with ``machine``."""
    if isinstance(await channel.wait(AMD_MACHINE_S if channel.machine else AMD_PERSON_S), Gone):
        raise ChannelEnded
    channel.variables.set("AMDSTATUS", "MACHINE" if channel.machine else "HUMAN")
    cause = "LONGGREETING-1500-1500" if channel.machine else "HUMAN-800-800"
    channel.variables.set("AMDCAUSE", cause)


async def _dial(interpreter: Interpreter, channel: Channel, data: str) -> None:
    await dial(interpreter, channel, data)


APPLICATIONS: dict[str, Application] = {
    "NoOp": _noop,
    "Set": _set,
    "Gosub": _gosub,
    "GosubIf": _gosubif,
    "Return": _return,
    "Goto": _goto,
    "GotoIf": _gotoif,
    "ExecIf": _execif,
    "AGI": _agi,
    "Playback": _playback,
    "Progress": _progress,
    "Answer": _answer,
    "Hangup": _hangup,
    "Log": _log,
    "Verbose": _verbose,
    "MixMonitor": _mixmonitor,
    "StopMixMonitor": _stopmixmonitor,
    "StopPlaytones": _noop,
    "Wait": _wait,
    "Read": _read,
    "Dial": _dial,
    "ConfBridge": _confbridge,
    "ParkedCall": _parkedcall,
    "AMD": _amd,
}
