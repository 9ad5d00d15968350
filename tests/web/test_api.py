"""``POST /api/v1/check`` over a real socket: what is answered, and what is no question."""

import json

import pytest

from callguard.storage.schema import attempts, calls
from callguard.web.api import MOST, MOST_EXPLAINED
from tests.databases import clock, database, journal, tenant
from tests.gate.preflights import PARTY, numbers, rows
from tests.web.api_door import Door, door, listed, said

__all__ = ["clock", "database", "door", "journal", "tenant"]


class TestAnAnswer:
    async def test_says_everything_in_the_order_asked(self, door: Door) -> None:
        answer = await door.ask(numbers=[PARTY, "nonsense \ud83d\ude00", "020 7946 0123"])
        assert list(answer) == ["tenant", "at", "results", "allowed", "blocked"]
        assert (answer["tenant"], answer["at"]) == ("acme", "2026-11-20T12:00:00+00:00")
        assert (answer["allowed"], answer["blocked"]) == (2, 1)
        assert [result["number"] for result in answer["results"]] == [
            PARTY,
            "nonsense \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
            "020 7946 0123",
        ]
        first, second, _ = answer["results"]
        assert first == {
            "number": PARTY,
            "verdict": "allow",
            "reasons": [],
            "rules": [],
            "obligations": ["play_notice"],
            "cause": None,
        }
        assert second["verdict"] == "block"
        assert second["rules"] == ["base.opt-out"]
        assert second["reasons"] == ["the called number is none that can be looked up"]
        assert second["cause"] == 21
        assert rows(door.gate, calls) == []

    async def test_names_the_calls_of_what_was_counted(self, door: Door) -> None:
        answer = await door.ask(numbers=[PARTY] * 4, count=True)
        told = answer["results"]
        assert [result["verdict"] for result in told] == ["allow", "allow", "allow", "block"]
        assert told[3]["rules"] == ["test.cap"]
        assert told[3]["cause"] == 38
        kept = rows(door.gate, calls)
        assert {row["id"] for row in kept} == {result["call"] for result in told}
        assert {row["pbx"] for row in kept} == {"api"}
        assert len(rows(door.gate, attempts)) == 3

    async def test_explains_where_it_is_asked_to(self, door: Door) -> None:
        answer = await door.ask(number=PARTY, explain=True)
        (result,) = answer["results"]
        found = {finding["rule"]: finding for finding in result["findings"]}
        assert set(found) >= {"base.opt-out", "test.cap"}
        assert found["test.cap"]["citation"] == "Act, s. 1"
        assert found["test.cap"]["reason"].startswith("0 calls by the tenant")

    async def test_takes_every_part_of_the_question_to_the_gate(self, door: Door) -> None:
        said = {"campaign": "spring", "debt": "d-1", "agent": "7", "dialler": "machine"}
        answer = await door.ask(number="who@example.org", channel="email", count=True, **said)
        (result,) = answer["results"]
        (row,) = rows(door.gate, calls)
        assert row["id"] == result["call"]
        assert (row["channel"], row["subject"]) == ("email", "who@example.org")
        assert (row["campaign"], row["debt"], row["agent"]) == ("spring", "d-1", "7")
        assert (row["purpose"], row["caller"]) == ("service", "+442079460999")

    async def test_is_about_the_moment_asked_for(self, door: Door) -> None:
        answer = await door.ask(number=PARTY, at="2026-03-29T03:00:00+02:00")
        assert answer["at"] == "2026-03-29T01:00:00+00:00"

    async def test_goes_by_the_tenants_own_purpose_where_none_is_said(self, door: Door) -> None:
        status, answer = await door.post(
            json.dumps({"tenant": "acme", "number": PARTY, "count": True})
        )
        assert (status, answer["allowed"]) == (200, 1)
        assert rows(door.gate, calls)[0]["purpose"] == "marketing"

    async def test_of_ten_thousand_numbers_comes_whole(self, door: Door) -> None:
        asked = numbers(MOST)
        answer = await door.ask(numbers=asked)
        assert [result["number"] for result in answer["results"]] == asked
        assert (answer["allowed"], answer["blocked"]) == (MOST, 0)


class TestAQuestionThatIsNone:
    @pytest.mark.parametrize(
        ("body", "where", "error"),
        [
            ("", "", "the body is not JSON"),
            ("{", "", "the body is not JSON"),
            ("{} {}", "", "the body is not JSON"),
            (b"\xff", "", "the body is not JSON"),
            ("[" * 5_000, "", "recursion limit"),
            ("1" * 5_000, "", "the body is not JSON"),
            (r'{"tenant": "\ud800"}', "", "the body is not JSON"),
            ("[]", "", "not a JSON object"),
            ("null", "", "not a JSON object"),
            (json.dumps({"number": PARTY}), "tenant", "required"),
            (json.dumps({"tenant": "acme"}), "numbers", "either a number or a list"),
            (said(numbers=[PARTY]), "numbers", "either a number or a list"),
            (said(tenant="nobody"), "tenant", "no tenant of this id"),
            (said(tenant="ACME"), "tenant", "no tenant of this id"),
            (said(tenant=7), "tenant", "string"),
            (said(colour="red"), "colour", "no such key"),
            (said(Count=True), "Count", "no such key"),
            (said(purpose="gossip"), "purpose", "'marketing'"),
            (said(purpose=None), "purpose", "'marketing'"),
            (said(channel="pigeon"), "channel", "'voice'"),
            (said(direction="inbound"), "direction", "'outbound'"),
            (said(dialler="robot"), "dialler", "'machine'"),
            (said(count=1), "count", "boolean"),
            (said(count="true"), "count", "boolean"),
            (said(explain=None), "explain", "boolean"),
            (said(number=442079460123), "number", "string"),
            (said(number="0" * 255), "number", "254"),
            (said(caller="0" * 255), "caller", "254"),
            (said(campaign="x" * 129), "campaign", "128"),
            (said(agent="a\nb"), "agent", "pattern"),
            (said(debt="\0"), "debt", "pattern"),
            (listed([]), "numbers", "at least 1"),
            (listed([PARTY] * 3 + [7]), "numbers[3]", "string"),
            (listed([PARTY, "0" * 255]), "numbers[1]", "254"),
            (listed([PARTY] * (MOST + 1)), "numbers", "at most 10000"),
            (listed([PARTY] * (MOST_EXPLAINED + 1), explain=True), "explain", "at most 1,000"),
            (said(numbers=PARTY), "numbers", "list"),
            (said(at="2026-03-04T12:00:00"), "at", "no offset"),
            (said(at="2026-03-04"), "at", "no offset"),
            (said(at="yesterday"), "at", "no ISO 8601 time"),
            (said(at=1772625600), "at", "as text"),
            (said(at=None), "at", "as text"),
            (said(at="0001-01-01T00:00:00+14:00"), "at", "2000 to 2099"),
            (said(at="9999-12-31T23:59:59-14:00"), "at", "2000 to 2099"),
            (said(at="2026-03-04T12:00:00Z", count=True), "at", "for this moment"),
        ],
    )
    async def test_is_refused_with_what_and_where(
        self, door: Door, body: str | bytes, where: str, error: str
    ) -> None:
        told = await door.refused(400, body)
        assert told[1] == where
        assert error in told[0]
        assert PARTY not in told[0]
        assert rows(door.gate, calls) == []

    @pytest.mark.parametrize("number", ["", " ", "7", "anonymous", "\0", "tel:", "+" * 254])
    async def test_is_not_one_for_a_number_that_cannot_be_read(
        self, door: Door, number: str
    ) -> None:
        answer = await door.ask(number=number)
        assert answer["blocked"] == 1
        assert answer["results"][0]["number"] == number

    async def test_is_found_soon_among_very_many_faults(self, door: Door) -> None:
        many = "{" + ",".join(f'"{number}":0' for number in range(150_000)) + "}"
        assert (await door.refused(400, many))[1] == "0"
        assert (await door.refused(400, listed([0] * 600_000)))[1] in ("numbers", "numbers[0]")
