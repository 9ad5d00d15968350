"""The simulator against what a real Asterisk 22 said (``tests/transcripts``).

Each AGI transcript is played again: the commands of the ``.out`` file are given to the simulated
channel, in the same kind of call, and every line that comes back is compared with the ``.bin``
file. The AMI transcript of a call is compared event by event: kinds, order, headers.
"""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.harness.playbook import Call, Pbx
from tests.harness.virtual import virtual_time
from tests.harness_checks.ami_client import Client, blocks
from tests.harness_checks.gate import Conversation, gate

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
AGI = sorted(TRANSCRIPTS.glob("agi_*.bin"))
LENGTH = 12000


async def _talk_and_leave(call: Call) -> None:
    await call.is_dialled()
    await call.is_connected()
    await call.hangs_up("agent")


async def _leave(call: Call) -> None:
    await call.is_dialled()
    await call.hangs_up("agent" if call.outbound else "party")


async def _press_nine(call: Call) -> None:
    await call.hears(_prompt(call), seconds=0.5)
    await call.presses("9")
    await _talk_and_leave(call)


async def _party_leaves(call: Call) -> None:
    await call.hears(_prompt(call), seconds=0.5)
    await call.hangs_up("party")


async def _agent_leaves(call: Call) -> None:
    await call.hears(_prompt(call), seconds=0.5)
    await call.hangs_up("agent")


def _prompt(call: Call) -> str:
    (name,) = call.pbx.asterisk.media.prompts.lengths
    return name


PEOPLE: dict[str, Callable[[Call], Awaitable[None]]] = {
    "agi_answered_digit": _press_nine,
    "agi_hangup_in_notice": _party_leaves,
    "agi_inbound_hangup": _party_leaves,
    "agi_agent_hangup_in_notice": _agent_leaves,
}


def _plain(lines: list[str]) -> list[str]:
    """Replies without what differs from run to run: channel numbers, where a prompt was cut, and
    Asterisk's own help text."""
    out = []
    usage = False
    for line in lines:
        if usage and not line.startswith("520 "):
            continue
        usage = line.startswith("520-")
        text = re.sub(r"-[0-9a-f]{8}\)", "-N)", line)
        endpos = re.search(r"endpos=(\d+)$", text)
        if endpos and 0 < int(endpos[1]) < LENGTH:
            text = text[: endpos.start()] + "endpos=PART"
        out.append(text)
    return out


@pytest.mark.parametrize("file", AGI, ids=lambda file: file.stem)
def test_agi_answers_as_asterisk_did(file: Path, tmp_path: Path) -> None:
    header, _, replies = file.read_text("utf-8").partition("\n\n")
    environment = dict(line.split(": ", 1) for line in header.split("\n"))
    commands = file.with_suffix(".out").read_text("utf-8").splitlines()
    request = urlsplit(environment["agi_network_script"])
    people = PEOPLE.get(file.stem, _talk_and_leave if request.path == "answered" else _leave)
    identity = parse_qs(request.query).get("call", ["none"])[0]
    played = {line.split()[2] for line in commands if line.startswith("STREAM FILE")}
    recorded = re.findall(r'EXEC MixMonitor "([^,]*/)[^,/]*,', "\n".join(commands))
    found: list[Conversation] = []

    async def ask(agi: Conversation) -> None:
        found.append(agi)
        for command in commands:
            await agi.ask(command)

    async def allow(agi: Conversation) -> None:
        await agi.ask(f"SET VARIABLE CALLGUARD_CALL {identity}")
        await agi.ask("SET VARIABLE CALLGUARD_VERDICT allow")

    @virtual_time
    async def run() -> None:
        server = gate(**{"outbound": allow, request.path: ask})
        async with Pbx(
            server.serve,
            folder=tmp_path,
            prompts={name: LENGTH for name in played if "nosuch" not in name},
            folders=dict.fromkeys(recorded, tmp_path / "recordings"),
            keeps_lease=True,
        ) as pbx:
            if request.path == "inbound":
                call = pbx.inbound("12025550143", did="12025550100", tenant="tenant-a")
            else:
                call = pbx.outbound("12025550143", tenant="tenant-a", accountcode="tenant-a")
            if request.path == "answered":
                await call.carrier_answers()
            await people(call)
            await call.ended()

    run()
    (conversation,) = found
    assert list(conversation.environment) == list(environment)
    for name in ("dnid", "extension", "language", "type", "accountcode"):
        assert conversation.environment[f"agi_{name}"] == environment[f"agi_{name}"]
    assert _plain(conversation.lines) == _plain(replies.splitlines())


def _steps(messages: list[list[tuple[str, str]]]) -> list[tuple[str, str]]:
    """The kind of each event and the endpoint whose channel it tells of."""
    return [
        (block[0][1], dict(block)["Channel"].partition("-")[0])
        for block in messages
        if block[0][0] == "Event" and block[0][1] != "FullyBooted"
    ]


def _headers(messages: list[list[tuple[str, str]]]) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for block in messages:
        if block[0][0] == "Event":
            found.setdefault(block[0][1], []).append([name for name, _ in block])
    return found


def test_ami_tells_a_call_as_asterisk_did(tmp_path: Path) -> None:
    """The transcript: an answered call, 9 pressed, recorded, muted and unmuted once."""
    real = blocks((TRANSCRIPTS / "ami_call_filtered.bin").read_bytes())
    every = blocks((TRANSCRIPTS / "ami_call_outbound.bin").read_bytes())
    heard: list[bytes] = []

    async def record(agi: Conversation) -> None:
        await agi.ask('STREAM FILE notice "9"')
        await agi.ask('EXEC MixMonitor "/var/spool/asterisk/callguard/aa.sln,b"')

    @virtual_time
    async def run() -> None:
        server = gate(answered=record)
        async with Pbx(
            server.serve, folder=tmp_path, prompts={"notice": LENGTH}, keeps_lease=True
        ) as pbx:
            client = Client(*await pbx.network.ami_connect())
            await client.greeting()
            await client.log_in(events="call,cdr,dtmf,agi")
            call = pbx.outbound("12025550143", tenant="tenant-a", accountcode="tenant-a")
            await call.carrier_answers()
            await call.hears("notice", seconds=0.5)
            await call.presses("9")
            await call.talk(1)
            name = call.side("party").name
            for state in "10":
                client.send("MixMonitorMute", Channel=name, Direction="both", State=state)
                await call.talk(0.5)
            await call.hangs_up("agent")
            await call.ended()
            client.send("Logoff")
            heard.append(await client.reader.read())

    run()
    simulated = blocks(heard[0])
    # The call record comes from a thread of its own: its place among the last events is chance.
    cdr = ("Cdr", "PJSIP/agent1")
    assert _steps(real).count(cdr) == _steps(simulated).count(cdr) == 1
    wanted = {kind for kind, _ in _steps(real)} - {"Cdr"}
    assert [step for step in _steps(simulated) if step[0] in wanted] == [
        step for step in _steps(real) if step != cdr
    ]
    allowed = _headers([*real, *every])
    for kind, variants in _headers(simulated).items():
        for headers in variants:
            assert headers in allowed[kind], f"{kind}: {headers}"


@pytest.mark.parametrize(
    "name", ["ami_login_md5", "ami_login_refused", "ami_refused_actions", "ami_core_show_channels"]
)
def test_ami_answers_as_asterisk_did(name: str, tmp_path: Path) -> None:
    """The same actions, given to an exchange without calls, get answers of the same form."""
    real = blocks((TRANSCRIPTS / f"{name}.bin").read_bytes())
    actions = blocks((TRANSCRIPTS / f"{name}.out").read_bytes())
    found: list[dict[str, str]] = []

    @virtual_time
    async def run() -> None:
        async with Pbx(gate().serve, folder=tmp_path) as pbx:
            client = Client(*await pbx.network.ami_connect())
            await client.greeting()
            right = "refused" not in name or name == "ami_refused_actions"
            found.append(await client.log_in(secret="secret" if right else "guess", events="off"))
            for block in actions[2:]:
                headers = dict(block)
                found.append(await client.ask(headers.pop("Action"), **headers))

    run()
    there = [dict(block) for block in real if block[0][0] == "Response"][1:]
    assert len(found) == len(there)
    for here, expected in zip(found, there, strict=True):
        if "ActionID" not in here:
            expected.pop("ActionID", None)
        assert list(here) == list(expected)
        for header in ("Response", "Message", "Ping", "EventList"):
            assert here.get(header) == expected.get(header)
