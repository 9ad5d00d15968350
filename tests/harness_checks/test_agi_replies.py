"""Each AGI reply, as the facts and the transcripts of Asterisk have it."""

from pathlib import Path

import pytest

from tests.harness.agi_client import NotSimulated
from tests.harness.playbook import Pbx
from tests.harness.virtual import virtual_time
from tests.harness_checks.gate import Conversation, gate

PROMPTS = {"notice": 24000}


async def replies(folder: Path, *commands: str, answered: bool = False) -> list[str]:
    """What a channel answers to these commands."""
    found: list[str] = []

    async def ask(agi: Conversation) -> None:
        found.extend([await agi.ask(command) for command in commands])

    server = gate(answered=ask) if answered else gate(outbound=ask)
    async with Pbx(server.serve, folder=folder, prompts=PROMPTS, keeps_lease=True) as pbx:
        call = pbx.outbound("112233")
        if answered:
            await call.carrier_answers()
            await call.is_connected()
            await call.hangs_up("agent")
        await call.ended()
    return found


@virtual_time
async def test_variables_and_functions_are_set_and_read(tmp_path: Path) -> None:
    assert await replies(
        tmp_path,
        'SET VARIABLE NOTE "a \\"b\\" (c) d"',
        "GET VARIABLE NOTE",
        "GET VARIABLE NOBODY_SET_IT",
        "SET VARIABLE CDR(userfield) x-1",
        "GET VARIABLE CDR(userfield)",
        'SET VARIABLE EMPTY ""',
        "GET VARIABLE EMPTY",
        "GET FULL VARIABLE ${CHANNEL(language)}-${EXTEN}",
    ) == [
        "200 result=1",
        '200 result=1 (a "b" (c) d)',
        "200 result=0",
        "200 result=1",
        "200 result=1 (x-1)",
        "200 result=1",
        "200 result=1 ()",
        "200 result=1 (en-112233)",
    ]


@virtual_time
async def test_a_prompt_tells_how_much_of_it_was_played(tmp_path: Path) -> None:
    assert await replies(
        tmp_path,
        'STREAM FILE notice ""',
        'STREAM FILE notice "" 16000',
        'STREAM FILE nowhere ""',
        "WAIT FOR DIGIT 100",
        answered=True,
    ) == [
        "200 result=0 endpos=24000",
        "200 result=0 endpos=24000",
        "200 result=-1 endpos=0",
        "200 result=0",
    ]


@virtual_time
async def test_wrong_arguments_and_unknown_commands(tmp_path: Path) -> None:
    found = await replies(
        tmp_path,
        "STREAM FILE notice",
        "SET VARIABLE ALONE",
        "EXEC",
        "NO SUCH COMMAND",
        "EXEC NoSuchApplication x",
        "NOOP",
        "VERBOSE hello 1",
        "CHANNEL STATUS",
        "HANGUP PJSIP/nobody",
    )
    for usage in found[:3]:
        assert usage.startswith("520-Invalid command syntax.  Proper usage follows:\n")
        assert usage.endswith("\n520 End of proper usage.")
    assert found[3:] == [
        "510 Invalid or unknown command",
        "200 result=-2",
        "200 result=0",
        "200 result=1",
        "200 result=4",
        "200 result=-1",
    ]


@pytest.mark.parametrize("hangup_first", [False, True])
def test_after_a_hangup_the_dead_channel_answers_what_asterisk_lets_it(
    tmp_path: Path, hangup_first: bool
) -> None:
    found: list[str] = []
    hangups: list[int] = []

    async def ask(agi: Conversation) -> None:
        for command in (
            'STREAM FILE notice "9"',
            "GET VARIABLE CALLGUARD_CALL",
            'STREAM FILE notice "9"',
            "SET VARIABLE CALLGUARD_AFTER end",
            "HANGUP",
        ):
            found.append(await agi.ask(command))
            hangups.append(agi.hangups)

    @virtual_time
    async def run() -> None:
        server = gate(answered=ask)
        async with Pbx(server.serve, folder=tmp_path, prompts=PROMPTS, keeps_lease=True) as pbx:
            pbx.asterisk.hangup_line_first = hangup_first
            call = pbx.outbound("112233")
            await call.carrier_answers()
            await call.hears("notice", seconds=0.25)
            await call.hangs_up("party")
            await call.ended()

    run()
    assert found == [
        "200 result=-1 endpos=2000",
        "200 result=1 (0190-call)",
        "511 Command Not Permitted on a dead channel or intercept routine",
        "200 result=1",
        "511 Command Not Permitted on a dead channel or intercept routine",
    ]
    assert hangups == [int(hangup_first), 1, 1, 1, 1]


@virtual_time
async def test_torn_bytes_make_no_difference(tmp_path: Path) -> None:
    async with Pbx(gate().serve, folder=tmp_path, prompts=PROMPTS, keeps_lease=True) as pbx:
        pbx.network.agi_sizes = (1, 7, 3)
        call = pbx.outbound("112233")
        await call.expect_verdict("allow")
        await call.carrier_answers()
        await call.talk(seconds=1)
        await call.hangs_up("agent")
        assert (await call.ended()).recorded_samples == 8000


@virtual_time
async def test_digits_that_nobody_waits_for_are_lost(tmp_path: Path) -> None:
    async def listen_late(agi: Conversation) -> None:
        await agi.ask("STREAM FILE notice 9")
        assert await agi.ask("WAIT FOR DIGIT 2000") == "200 result=0"

    async with Pbx(
        gate(answered=listen_late).serve, folder=tmp_path, prompts=PROMPTS, keeps_lease=True
    ) as pbx:
        call = pbx.outbound("112233")
        await call.carrier_answers()
        await call.hears("notice", seconds=1)
        await call.presses("5")
        await call.is_connected()
        await call.hangs_up("agent")
        outcome = await call.ended()
    assert outcome.heard[0].whole


def test_a_command_that_is_not_simulated_fails_the_test_instead_of_lying(tmp_path: Path) -> None:
    @virtual_time
    async def run() -> None:
        await replies(tmp_path, "SAY DIGITS 123 9")

    with pytest.raises(NotSimulated, match="SAY DIGITS"):
        run()
