"""Read and Originate as the real Asterisk does them: when typing ends, what a hang-up leaves."""

import asyncio
from pathlib import Path

import pytest

from tests.harness.channels import Target
from tests.harness.playbook import Call, Pbx
from tests.harness.virtual import virtual_time
from tests.harness_checks.gate import gate

HERE = """
[from-agents]
exten => h,1,NoOp()
exten => _.,1,Answer()
 same => n,Read(KEYS,{files},{most},,1,2)
 same => n,Set(DONE=${{EPOCH}})
 same => n,Wait(1)
"""
PROMPTS = {"one": 8000, "two": 8000}


def pbx_with(folder: Path, files: str, most: int) -> Pbx:
    operator = folder / "operator.conf"
    operator.write_text(HERE.format(files=files, most=most))
    return Pbx(gate().serve, folder=folder, prompts=PROMPTS, operator=operator)


async def read(call: Call) -> tuple[str | None, str | None]:
    outcome = await call.ended()
    return outcome.variables.get("READSTATUS"), outcome.variables.get("KEYS")


@pytest.mark.parametrize(
    ("files", "most", "keys", "status", "kept"),
    [
        ("one&two", 1, "", "TIMEOUT", ""),
        ("one&two", 1, "5", "OK", "5"),
        ("one&two", 1, "#", "OK", ""),
        ("one&two", 18, "123#", "OK", "123"),
        ("one&two", 18, "123", "TIMEOUT", "123"),
        ("gone&two", 18, "1#", "OK", "1"),
        ("gone", 18, "", "ERROR", ""),
    ],
)
@virtual_time
async def test_what_is_typed_is_kept_and_how_it_ended(
    tmp_path: Path, files: str, most: int, keys: str, status: str, kept: str
) -> None:
    async with pbx_with(tmp_path, files, most) as pbx:
        call = pbx.outbound("1")
        await asyncio.sleep(0.2)
        if keys:
            await call.presses(keys, by="agent")
        assert await read(call) == (status, kept)


@pytest.mark.parametrize(("keys", "kept"), [("", ""), ("12", "12")])
@virtual_time
async def test_a_hang_up_is_told_apart_from_silence(tmp_path: Path, keys: str, kept: str) -> None:
    async with pbx_with(tmp_path, "one&two", 18) as pbx:
        call = pbx.outbound("1")
        await asyncio.sleep(0.2)
        if keys:
            await call.presses(keys, by="agent")
        await call.hangs_up("agent")
        assert await read(call) == ("HANGUP", kept)


@virtual_time
async def test_the_wait_is_longer_between_digits_than_before_them(tmp_path: Path) -> None:
    async with pbx_with(tmp_path, "one", 18) as pbx:
        began = asyncio.get_running_loop().time()
        silent = pbx.outbound("1")
        await pbx.asterisk.until(lambda: silent.channel.variables.get("DONE") is not None, "end")
        assert asyncio.get_running_loop().time() - began == pytest.approx(3.0, abs=0.2)
        typing = pbx.outbound("2")
        await asyncio.sleep(0.5)
        began = asyncio.get_running_loop().time()
        await typing.presses("1", by="agent")
        await pbx.asterisk.until(lambda: typing.channel.variables.get("DONE") is not None, "end")
        assert asyncio.get_running_loop().time() - began == pytest.approx(5.0, abs=0.2)


def originates(pbx: Pbx) -> None:
    pbx.asterisk.originate(
        "PJSIP/4930@carrier",
        Target("from-agents", "1"),
        caller="4940",
        timeout=5.0,
        uniqueid="mine.1",
        variables=["COLOUR=green", "CDR(userfield)=tagged"],
    )


@virtual_time
async def test_an_originated_call_runs_its_dialplan_once_it_is_answered(tmp_path: Path) -> None:
    async with pbx_with(tmp_path, "one", 1) as pbx:
        coming = asyncio.create_task(pbx.calls_back("4930"))
        await asyncio.sleep(0)
        originates(pbx)
        call = await coming
        assert call.channel.uniqueid == "mine.1"
        await asyncio.sleep(1)
        assert call.heard == ()
        await call.carrier_answers()
        await call.hears_all("one")
        outcome = await call.ended()
    assert outcome.variables.get("COLOUR") == "green"
    assert (outcome.cdr["userfield"], outcome.cdr["disposition"]) == ("tagged", "ANSWERED")


@virtual_time
async def test_an_originated_call_that_nobody_takes_ends_by_itself(tmp_path: Path) -> None:
    async with pbx_with(tmp_path, "one", 1) as pbx:
        coming = asyncio.create_task(pbx.calls_back("4930"))
        await asyncio.sleep(0)
        originates(pbx)
        outcome = await (await coming).ended()
    assert outcome.heard == ()
    assert (outcome.hangup_cause, outcome.cdr["userfield"]) == (19, "tagged")
