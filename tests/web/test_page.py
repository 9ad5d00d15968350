"""What a supervisor reads on the page."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from callguard.optout.registry.freshness import State
from callguard.web.app import WebLimits
from callguard.web.pages import SHOWN_CALLS
from tests.web.conftest import Room
from tests.web.state import ALLOWED, BLOCKED, BUSY, CALL, DNC, EMPTY, LONDON, NOON, TROUBLED

HOSTILE = "<script>alert(1)</script>\"'&"
DEFUSED = "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;"


async def test_a_service_with_nothing_to_do_says_so(room: Room) -> None:
    page = await room.text("/")
    assert "Ready to take calls" in page
    assert "No alarms" in page
    assert "No call is under way." in page
    assert "No verdict was given yet." in page
    assert "No PBX is in the settings." in page
    assert "None yet" in page
    assert "No registry is imported. Rules that ask one hold their calls." in page


async def test_a_working_service_shows_calls_verdicts_and_figures(room: Room) -> None:
    room.source.now = BUSY
    page = await room.text("/")
    assert '<bdi dir="ltr">+4420••••0123</bdi>' in page
    assert "Being recorded" in page
    assert "Not recorded" in page
    assert "12:30 in Europe/Paris is outside 10:00-13:00 and 14:00-20:00" in page
    assert "No rule stands against it." in page
    assert "5,120" in page
    assert "312 purged" in page
    assert "Fresh" in page
    assert "258,500,000" in page
    assert '350 prefixes: <bdi dir="ltr">+1201, +1202, +1203, …</bdi>' in page
    assert '<time datetime="2026-04-02" dir="ltr">2026-04-02</time>' in page
    assert '<time datetime="2026-03-04T11:58:00.000Z" dir="ltr">11:58:00</time>' in page


async def test_alarms_stand_above_everything_else(room: Room) -> None:
    room.source.now = TROUBLED
    page = await room.text("/")
    first = page.index("2 alarms")
    assert first < page.index("leeds: AMI is down") < page.index("Not ready to take calls")
    assert page.index("verdicts are not durable: disk full") < page.index("Live calls")


async def test_every_trouble_is_named_in_words(room: Room) -> None:
    room.source.now = TROUBLED
    page = await room.text("/")
    for words in (
        "Not connected",
        "connection refused",
        "Stale: 42 s old",
        "Full: nothing new is recorded",
        "17,400 MB",
        "Not trusted: no recording is read or erased",
        "/var/lib/callguard/erasures.ledger is missing",
        "Writes fail",
        "Overdue",
        "Prompt missing",
        "something_else",
        "Cannot tell",
        "the snapshot is damaged",
        "Last import refused:",
        "the list is cut off",
        "No rule says",
        '1 prefix: <bdi dir="ltr">+44</bdi>',
    ):
        assert words in page


async def test_a_lease_that_was_never_written_is_no_fresh_one(room: Room) -> None:
    pbx = replace(LONDON, lease_age_s=None, ami="connecting", call_records_bad=2)
    room.source.now = replace(EMPTY, pbxs=(pbx,))
    page = await room.text("/")
    assert "Never written" in page
    assert "Connecting</span>" in page
    assert "2 unreadable" in page


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("usable", "In use"),
        ("ageing", "Soon too old"),
        ("stale", "Too old<"),
        ("ahead", "Of a day still to come"),
        ("silent", "Cannot tell"),
    ],
)
async def test_the_state_of_a_registry_is_told_in_words(
    room: Room, state: State, words: str
) -> None:
    room.source.now = replace(EMPTY, registries=(replace(DNC, state=state),))
    page = await room.text("/")
    row = page[page.index('<section id="registries"') :]
    assert words in row[: row.index("</tr>", row.index("<tbody"))]


async def test_a_registry_without_a_snapshot_has_no_date_and_no_numbers(room: Room) -> None:
    empty = replace(DNC, state="silent", list_date=None, count=0, coverage=(), stale_on=None)
    room.source.now = replace(EMPTY, registries=(empty,))
    page = await room.text("/")
    assert page.count("Not known") == 2
    assert "0 prefixes</td>" in page


async def test_names_and_reasons_cannot_become_markup(room: Room) -> None:
    room.source.now = replace(
        EMPTY,
        alarms=(HOSTILE,),
        not_ready=(HOSTILE,),
        calls=(replace(CALL, tenant=HOSTILE, purpose=HOSTILE, subject=HOSTILE),),
        verdicts=(replace(BLOCKED, tenant=HOSTILE, reasons=(HOSTILE,)),),
        pbxs=(replace(LONDON, name=HOSTILE, reason=HOSTILE),),
        registries=(
            replace(DNC, name=HOSTILE, coverage=(HOSTILE,), reason=HOSTILE, refused=HOSTILE),
        ),
        faults={HOSTILE: 1},
        journal_failing=HOSTILE,
    )
    page = await room.text("/")
    assert "<script>alert" not in page
    assert page.count(DEFUSED) == 15


async def test_hebrew_names_stand_apart_from_the_words_around_them(room: Room) -> None:
    room.source.now = replace(EMPTY, calls=(replace(CALL, tenant="מוקד שירות"),))
    assert "<bdi>מוקד שירות</bdi>" in await room.text("/")


async def test_a_long_list_is_cut_and_says_by_how_much(room: Room) -> None:
    room.source.now = replace(EMPTY, calls=(CALL,) * (SHOWN_CALLS + 1))
    page = await room.text("/")
    assert page.count("+4420••••0123") == SHOWN_CALLS
    assert "and 1 more call<" in page


async def test_a_verdict_of_yesterday_shows_its_day(room: Room) -> None:
    room.source.now = replace(EMPTY, verdicts=(replace(ALLOWED, at=NOON - timedelta(days=1)),))
    assert ">2026-03-03 12:00</time>" in await room.text("/")


async def test_a_blocked_call_without_reasons_is_not_shown_as_faultless(room: Room) -> None:
    room.source.now = replace(EMPTY, verdicts=(replace(BLOCKED, reasons=()),))
    page = await room.text("/")
    assert "No reason is known." in page
    assert "No rule stands against it." not in page


async def test_the_page_reads_without_scripts(room: Room) -> None:
    page = await room.text("/")
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in page
    assert "<style" not in page
    assert page.count("<script") == 1
    assert " style=" not in page
    assert " onclick=" not in page


@pytest.mark.parametrize("error", [TimeoutError(), RuntimeError("secret words")])
async def test_a_source_that_fails_gets_a_page_that_says_so(room: Room, error: Exception) -> None:
    room.source.error = error
    async with room.client.get(room.address + "/") as answer:
        page = await answer.text()
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "10"
    assert "callguard cannot tell its state" in page
    assert '<meta http-equiv="refresh" content="10">' in page
    assert "secret words" not in page


class TestASourceThatHangs:
    @pytest.fixture
    def limits(self) -> WebLimits:
        return WebLimits(read_timeout=0.01)

    async def test_is_given_up_in_time_on_every_path(self, room: Room) -> None:
        room.source.gate = asyncio.Event()
        for path in ("/", "/readyz", "/metrics"):
            async with room.client.get(room.address + path) as answer:
                assert answer.status == 503
