"""The preflight: the gate's own verdicts on many numbers, counted or not, in between the calls."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from callguard.gate import preflight as module
from callguard.gate.callbook import NOT_GIVEN
from callguard.gate.decide import Decision, decide
from callguard.gate.preflight import IN_FLIGHT, NO_GATE, TIME_S, Checked, Preflight
from callguard.gate.request import Request
from callguard.gate.room import Gate
from callguard.optout.events import OptOutEvent
from callguard.storage.database import Database
from callguard.storage.journal import Journal, NotDurableError, Row
from callguard.storage.schema import attempts, calls
from tests.clock import HandClock
from tests.databases import clock, database, journal, tenant
from tests.gate.preflights import (
    ABOUT,
    CAP,
    OTHER,
    PARTY,
    about,
    gate_on,
    numbers,
    rows,
    whole,
)

__all__ = ["clock", "database", "journal", "tenant"]

HOURS = """
title = "Test"
[[rule]]
id = "test.hours"
kind = "calling_hours"
title = "By day"
citation = "Act, s. 2"
effective_from = 2020-01-01
settings = { hours = { daily = ["08:00-20:00"] } }
"""

ALLOW3 = ["allow", "allow", "allow", "block"]


@pytest.fixture
def gate(database: Database, journal: Journal, clock: HandClock, tenant: str) -> Gate:
    return gate_on(database, journal, clock, CAP)


@pytest.fixture
def preflight(gate: Gate) -> Preflight:
    return Preflight(gate)


async def counted(preflight: Preflight, *asked: str, of: Request = ABOUT) -> list[Checked]:
    return (await preflight.count(of, asked, whole)).told


async def looked_at(preflight: Preflight, *asked: str, of: Request = ABOUT) -> list[Checked]:
    return (await preflight.look(of, asked, whole)).told


def verdicts(told: list[Checked]) -> list[str]:
    return [checked.verdict for checked in told]


def wishes(gate: Gate, subject: str, since: datetime | None = None, sequence: int = 1) -> None:
    """The subject opts out, and the gate sees it."""
    at = since or gate.clock.now()
    gate.opt_outs.apply(sequence, OptOutEvent(subject, "acme", True, "cli", "x", at))


class TestALook:
    async def test_writes_nothing_at_all(self, gate: Gate, preflight: Preflight) -> None:
        told = await looked_at(preflight, *[PARTY] * 5, "nonsense", "112", of=about(campaign="c"))
        assert verdicts(told) == ["allow"] * 5 + ["block", "allow"]
        assert all(checked.call is None for checked in told)
        assert gate.journal.state().writes == gate.journal.state().pending == 0
        assert rows(gate, calls) == rows(gate, attempts) == []
        assert gate.counts.verdicts == {}
        assert await gate.attempts.earlier(PARTY, datetime(2000, 1, 1, tzinfo=UTC)) == ()

    async def test_sees_what_was_counted(self, preflight: Preflight) -> None:
        await counted(preflight, PARTY, PARTY, PARTY)
        (blocked, free) = await looked_at(preflight, PARTY, OTHER)
        assert (blocked.verdict, blocked.rules, blocked.cause) == ("block", ("test.cap",), 38)
        assert blocked.reasons[0].startswith("3 calls by the tenant in 24 hours, 3 are allowed")
        assert (free.verdict, free.rules, free.cause) == ("allow", (), None)

    async def test_answers_in_the_order_asked_and_as_the_gate_decides(
        self, gate: Gate, preflight: Preflight
    ) -> None:
        asked = [*numbers(50), "nonsense", "", "999", "+1 212 555 0123", "02079460001"]
        wishes(gate, numbers(50)[7])
        answers = await preflight.look(about(purpose="marketing"), asked, whole)
        assert [checked.number for checked in answers.told] == asked
        for checked in answers.told:
            request = about(purpose="marketing", number=checked.number)
            verdict = (await decide(gate, request, count=False)).verdict
            assert checked.verdict == verdict.decision
            assert checked.reasons == verdict.reasons
            assert checked.findings == verdict.findings
            assert checked.obligations == tuple(sorted(verdict.obligations))
        assert answers.allowed == verdicts(answers.told).count("allow")
        assert answers.allowed + answers.blocked == len(asked)
        assert verdicts(answers.told)[7] == "block"

    async def test_of_another_moment_goes_by_what_was_known_then(
        self, database: Database, journal: Journal, clock: HandClock, tenant: str
    ) -> None:
        gate = gate_on(database, journal, clock, HOURS)
        preflight = Preflight(gate)
        wishes(gate, OTHER, datetime(2026, 11, 10, 12, tzinfo=UTC))
        day, night = (datetime(2026, 11, 5, hour, tzinfo=UTC) for hour in (12, 22))
        before = await preflight.look(ABOUT, [OTHER], whole, at=day)
        late = await preflight.look(ABOUT, [OTHER], whole, at=night)
        today = await preflight.look(ABOUT, [OTHER], whole)
        assert (before.at, before.allowed) == (day, 1)
        assert late.told[0].rules == ("test.hours",)
        assert today.told[0].rules == ("base.opt-out",)
        assert today.at == clock.now()


class TestACount:
    async def test_lets_the_third_of_a_number_pass_and_not_the_fourth(
        self, gate: Gate, preflight: Preflight
    ) -> None:
        spelled = [PARTY, "020 7946 0123", "tel:+44-20-7946-0123", "442079460123"]
        told = await counted(preflight, *spelled)
        assert verdicts(told) == ALLOW3
        kept = {row["id"]: row for row in rows(gate, calls)}
        assert [kept[checked.call]["verdict"] for checked in told] == ALLOW3
        assert {row["pbx"] for row in kept.values()} == {"api"}
        assert {row["subject"] for row in kept.values()} == {PARTY}
        counts = {row["call_id"] for row in rows(gate, attempts)}
        assert counts == {checked.call for checked in told[:3]}
        assert gate.counts.verdicts == {("outbound", "allow"): 3, ("outbound", "block"): 1}
        assert verdicts(await counted(preflight, PARTY, OTHER)) == ["block", "allow"]
        assert gate.calls.all() == ()

    async def test_counts_the_first_of_a_number_first_however_long_it_takes(
        self, preflight: Preflight, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = [PARTY, "020 7946 0123", OTHER, PARTY, "+44 20 7946 0123"]
        waits = iter((40, 30, 20, 10, 0))

        async def uneven(gate: Gate, request: Request, **how: Any) -> Decision:
            for _ in range(next(waits)):
                await asyncio.sleep(0)
            return await decide(gate, request, **how)

        monkeypatch.setattr(module, "decide", uneven)
        told = await counted(preflight, *asked)
        assert verdicts(told) == ["allow", "allow", "allow", "allow", "block"]

    async def test_of_many_at_once_lets_no_more_pass_than_are_allowed(
        self, gate: Gate, preflight: Preflight
    ) -> None:
        asked = [number for number in numbers(20) for _ in range(2)]
        together = await asyncio.gather(*(counted(preflight, *asked) for _ in range(4)))
        passed = [c.number for told in together for c in told if c.verdict == "allow"]
        assert sorted(passed) == sorted(number for number in numbers(20) for _ in range(3))
        assert len(rows(gate, attempts)) == 60

    async def test_keeps_what_it_blocked_as_evidence_and_not_as_an_attempt(
        self, gate: Gate, preflight: Preflight
    ) -> None:
        wishes(gate, PARTY)
        told = await counted(preflight, PARTY, "nonsense \x00", "\N{GRINNING FACE}")
        assert verdicts(told) == ["block"] * 3
        assert {row["id"] for row in rows(gate, calls)} == {checked.call for checked in told}
        assert rows(gate, attempts) == []

    async def test_takes_the_commits_of_its_numbers_together(
        self, gate: Gate, preflight: Preflight
    ) -> None:
        await counted(preflight, *numbers(20 * IN_FLIGHT))
        state = gate.journal.state()
        assert state.writes == 20 * IN_FLIGHT
        assert state.commits < state.writes / 2

    async def test_leaves_an_emergency_number_to_nothing(
        self, gate: Gate, preflight: Preflight, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fails(monkeypatch, gate)
        (told, other) = await counted(preflight, "999", PARTY)
        assert (told.verdict, other.verdict) == ("allow", "block")
        await gate.journal.write(lambda _: None)
        assert [row["verdict"] for row in rows(gate, calls)] == ["allow"]
        assert rows(gate, attempts) == []


def fails(
    monkeypatch: pytest.MonkeyPatch, gate: Gate, subject: str = "", *, too_late: bool = False
) -> None:
    """Nothing is kept from now on, or nothing of one subject; or it is kept too late."""
    insert = gate.journal.insert

    async def failing(*kept: Row, timeout: float = 2.0) -> None:
        ours = subject in ("", kept[0].values["subject"])
        if too_late or not ours:
            await insert(*kept, timeout=timeout)
        if ours:
            raise NotDurableError("disk full")

    monkeypatch.setattr(gate.journal, "insert", failing)


class TestAVerdictThatIsNotKept:
    @pytest.mark.parametrize("too_late", [False, True])
    async def test_is_told_as_a_block_and_is_no_attempt(
        self, gate: Gate, preflight: Preflight, monkeypatch: pytest.MonkeyPatch, too_late: bool
    ) -> None:
        with monkeypatch.context() as broken:
            fails(broken, gate, PARTY, too_late=too_late)
            told = await counted(preflight, PARTY, OTHER, PARTY)
        assert verdicts(told) == ["block", "allow", "block"]
        assert told[0].reasons == ("the verdict could not be kept: disk full",)
        assert (told[0].rules, told[0].cause) == (("gate.durable",), NO_GATE)
        assert told[0].call is None
        assert gate.counts.not_durable == 2
        assert gate.counts.verdicts == {("outbound", "allow"): 1}
        await gate.journal.write(lambda _: None)
        assert {row["subject"] for row in rows(gate, attempts)} == {OTHER}
        left = [row for row in rows(gate, calls) if row["subject"] == PARTY]
        assert [row["verdict"] for row in left] == ["block"] * (2 if too_late else 0)
        assert verdicts(await counted(preflight, *[PARTY] * 4)) == ALLOW3


class TestAnOptOutMeanwhile:
    async def test_takes_back_what_was_allowed_before_it(
        self, gate: Gate, preflight: Preflight, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first number is decided and kept long before the last."""
        asked = numbers(3 * IN_FLIGHT)
        insert = gate.journal.insert

        async def then_opts_out(*kept: Row, timeout: float = 2.0) -> None:
            await insert(*kept, timeout=timeout)
            if kept[0].values["subject"] == asked[-1]:
                wishes(gate, asked[0], sequence=1)
                wishes(gate, asked[-1], sequence=2)

        monkeypatch.setattr(gate.journal, "insert", then_opts_out)
        answers = await preflight.count(ABOUT, asked, whole)
        await preflight.close()
        first, last = answers.told[0], answers.told[-1]
        assert verdicts(answers.told) == ["block"] + ["allow"] * (len(asked) - 2) + ["block"]
        assert (answers.allowed, answers.blocked) == (len(asked) - 2, 2)
        assert first.reasons == last.reasons == (NOT_GIVEN,)
        assert first.rules == ("gate.overtaken",)
        kept = {row["id"]: row for row in rows(gate, calls)}
        assert kept[first.call]["verdict"] == kept[last.call]["verdict"] == "block"
        assert kept[first.call]["reasons"] == [NOT_GIVEN]
        assert {row["subject"] for row in rows(gate, attempts)} == set(asked[1:-1])
        assert gate.counts.faults == {"overtaken_by_opt_out": 2}
        assert gate.counts.verdicts == {("outbound", "allow"): len(asked) - 2}
        since = datetime(2000, 1, 1, tzinfo=UTC)
        assert await gate.attempts.earlier(asked[0], since) == ()


class TestARequestThatIsGivenUp:
    async def test_leaves_no_attempt(
        self, gate: Gate, preflight: Preflight, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = numbers(10 * IN_FLIGHT)
        reached = asyncio.Event()
        insert = gate.journal.insert

        async def hangs_in_the_end(*kept: Row, timeout: float = 2.0) -> None:
            await insert(*kept, timeout=timeout)
            if kept[0].values["subject"] == asked[-1]:
                reached.set()
                await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(gate.journal, "insert", hangs_in_the_end)
            asking = asyncio.create_task(counted(preflight, *asked))
            await reached.wait()
            assert len(rows(gate, attempts)) == len(asked)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        await preflight.close()
        assert rows(gate, attempts) == []
        assert {row["verdict"] for row in rows(gate, calls)} == {"block"}
        again = await counted(preflight, *[asked[0]] * 4)
        assert verdicts(again) == ALLOW3

    async def test_counts_as_placed_where_it_cannot_be_taken_back(
        self, gate: Gate, preflight: Preflight, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Too many attempts counted only ever block."""

        def broken(_checked: Checked) -> str:
            raise RuntimeError

        await gate.journal.close()
        gate.journal = Journal(gate.database, gate.clock)
        gate.journal.start()

        async def not_now(*_: object, **__: object) -> None:
            raise NotDurableError("disk full")

        monkeypatch.setattr(gate.journal, "write", not_now)
        with pytest.raises(RuntimeError):
            await preflight.count(ABOUT, [PARTY], broken)
        await preflight.close()
        await gate.journal.close()
        assert len(rows(gate, attempts)) == 1


class TestOtherWork:
    """A turn of the loop is what everybody else waits for."""

    async def longest(
        self, monkeypatch: pytest.MonkeyPatch, asking: Callable[[], Awaitable[object]]
    ) -> tuple[int, int]:
        """The most decisions made in one turn of the loop, and how many were made in all."""
        loop = asyncio.get_running_loop()
        made, most, total, ended = 0, 0, 0, False

        async def counting(gate: Gate, request: Request, **how: Any) -> Decision:
            nonlocal made
            decision = await decide(gate, request, **how)
            made += 1
            return decision

        def turn() -> None:
            nonlocal made, most, total
            most, total, made = max(most, made), total + made, 0
            if not ended:
                loop.call_soon(turn)

        monkeypatch.setattr(module, "decide", counting)
        turn()
        await asking()
        ended = True
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return most, total

    async def test_goes_on_beside_ten_thousand_numbers_that_need_no_waiting(
        self, gate: Gate, preflight: Preflight, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate.opt_outs_read_at = gate.clock.monotonic() - 100  # nothing is read: all are blocked
        most, total = await self.longest(
            monkeypatch, lambda: looked_at(preflight, *numbers(10_000))
        )
        assert total == 10_000
        assert most <= IN_FLIGHT

    @pytest.mark.parametrize("count", [False, True])
    async def test_goes_on_beside_numbers_that_are_looked_up(
        self, preflight: Preflight, monkeypatch: pytest.MonkeyPatch, count: bool
    ) -> None:
        ask = counted if count else looked_at
        most, total = await self.longest(monkeypatch, lambda: ask(preflight, *numbers(1_000)))
        assert total == 1_000
        assert most <= IN_FLIGHT

    async def test_goes_on_beside_four_requests(
        self, preflight: Preflight, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        most, total = await self.longest(
            monkeypatch,
            lambda: asyncio.gather(*(looked_at(preflight, *numbers(300)) for _ in range(4))),
        )
        assert total == 1_200
        assert most <= 4 * IN_FLIGHT

    async def test_finds_few_of_one_request_in_the_queues(
        self, preflight: Preflight, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        inside = most = 0

        async def noting(gate: Gate, request: Request, **how: Any) -> Decision:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            try:
                return await decide(gate, request, **how)
            finally:
                inside -= 1

        monkeypatch.setattr(module, "decide", noting)
        await counted(preflight, *numbers(200))
        assert most == IN_FLIGHT


class TestALongRequest:
    @pytest.mark.parametrize("count", [False, True])
    async def test_ends_in_time_and_blocks_the_rest(
        self,
        gate: Gate,
        clock: HandClock,
        preflight: Preflight,
        monkeypatch: pytest.MonkeyPatch,
        count: bool,
    ) -> None:
        async def slow(gate: Gate, request: Request, **how: Any) -> Decision:
            clock.advance(TIME_S / (2 * IN_FLIGHT))
            return await decide(gate, request, **how)

        monkeypatch.setattr(module, "decide", slow)
        asked = numbers(10 * IN_FLIGHT)
        told = await (counted if count else looked_at)(preflight, *asked)
        assert [checked.number for checked in told] == asked
        assert verdicts(told) == ["allow"] * 2 * IN_FLIGHT + ["block"] * 8 * IN_FLIGHT
        assert (told[-1].rules, told[-1].cause) == (("gate.time",), NO_GATE)
        assert "not decided within the 120 s" in told[-1].reasons[0]
        assert len(rows(gate, attempts)) == (2 * IN_FLIGHT if count else 0)
