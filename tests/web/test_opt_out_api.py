"""``/api/v1/opt-outs``: entering, lifting, looking up."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callguard.storage.database import Database
from callguard.web.opt_out_api import LIFT_PATH, MAX_BODY, MOST, PATH
from tests.databases import clock, database, journal
from tests.gate.preflights import OTHER, PARTY, numbers
from tests.web.doors import SMS_TOKEN, Doors, Failing, doors

__all__ = ["clock", "database", "doors", "journal"]

PROOF = {"reason": "wants calls again", "evidence": "letter 17 of 3 March"}


async def enter(doors: Doors, *given_numbers: str, **more: Any) -> tuple[int, Any]:
    said = {"tenant": "acme", "numbers": list(given_numbers), **more}
    return await doors.ask("POST", PATH, said)


async def lift(doors: Doors, number: str, **more: Any) -> tuple[int, Any]:
    said = {"tenant": "acme", "number": number, **PROOF, **more}
    return await doors.ask("POST", LIFT_PATH, said)


def results(answer: Any) -> list[str]:
    return [result["result"] for result in answer["results"]]


async def test_each_number_is_told_what_became_of_it_as_it_was_given(doors: Doors) -> None:
    asked = (PARTY, "020 7946 0150", "020 7946 0123", "12", "Joe", "joe@example.org")
    status, answer = await enter(doors, *asked, reason="form", evidence="form 4")
    assert status == 200
    assert [result["number"] for result in answer["results"]] == list(asked)
    assert results(answer) == [
        "entered",
        "entered",
        "already",
        "bad number",
        "bad number",
        "entered",
    ]
    assert (answer["entered"], answer["already"], answer["bad"]) == (3, 1, 2)
    written = doors.written()
    assert [row["subject"] for row in written] == [PARTY, OTHER, "joe@example.org"]
    assert {(row["way"], row["reason"], row["evidence"]) for row in written} == {
        ("api", "form", "form 4")
    }
    assert doors.standing(PARTY) == ["acme"]


async def test_a_null_tenant_is_every_tenant(doors: Doors) -> None:
    status, _ = await doors.ask("POST", PATH, {"tenant": None, "number": PARTY})
    assert status == 200
    assert doors.standing(PARTY) == doors.standing(PARTY, "beta") == [None]


async def test_numbers_are_read_as_in_the_tenants_country(doors: Doors) -> None:
    await enter(doors, "03-123-4567", tenant="beta")
    assert doors.written()[0]["subject"] == "+97231234567"


async def test_a_wish_that_what_stands_covers_is_already_there(doors: Doors) -> None:
    for purposes, channels, result in (
        (["marketing"], [], "entered"),
        (["marketing"], ["voice"], "already"),
        (["marketing", "survey"], [], "entered"),
        (["survey"], ["sms"], "already"),
        ([], [], "entered"),
        (["service"], ["email"], "already"),
        ([], [], "already"),
    ):
        _, answer = await enter(doors, PARTY, purposes=purposes, channels=channels)
        assert results(answer) == [result], (purposes, channels)
    assert len(doors.written()) == 3


async def test_a_narrow_wish_leaves_the_others_standing(doors: Doors) -> None:
    await enter(doors, PARTY, purposes=["marketing"])
    await enter(doors, PARTY, purposes=["survey"])
    held = [wish.purposes for wish in doors.gate.opt_outs.of(PARTY, "acme")]
    assert frozenset().union(*held) == {"marketing", "survey"}


async def test_a_thousand_numbers_are_one_request(doors: Doors) -> None:
    status, answer = await enter(doors, *numbers(MOST))
    assert (status, answer["entered"]) == (200, MOST)
    assert len(doors.written()) == MOST
    status, answer = await enter(doors, *numbers(MOST + 1))
    assert (status, answer["where"]) == (400, "numbers")


async def test_the_same_numbers_at_once_are_entered_once(doors: Doors) -> None:
    answers = await asyncio.gather(*(enter(doors, *numbers(60)) for _ in range(4)))
    assert sum(answer["entered"] for _, answer in answers) == 60
    assert len(doors.written()) == 60


async def test_nothing_is_confirmed_that_is_not_durable(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(doors.gate, monkeypatch)
    status, answer = await enter(doors, PARTY)
    assert (status, set(answer)) == (503, {"error", "where"})
    assert doors.standing(PARTY) == []
    assert (await doors.ask("GET", f"{PATH}?number=%2B442079460123"))[1]["history"] == []
    failing.on = False
    assert results((await enter(doors, PARTY))[1]) == ["entered"]
    failing.on = True
    assert (await lift(doors, PARTY))[0] == 503
    assert doors.standing(PARTY) == ["acme"]


async def test_a_list_that_fails_halfway_is_asked_for_again_whole(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(doors.gate, monkeypatch)
    failing.on = False
    await enter(doors, *numbers(50))
    failing.on = True
    assert (await enter(doors, *numbers(70)))[0] == 503
    failing.on = False
    _, answer = await enter(doors, *numbers(70))
    assert (answer["already"], answer["entered"]) == (50, 20)


async def test_a_locked_database_is_503_and_afterwards_all_is_well(
    doors: Doors, database: Database
) -> None:
    doors.gate.durable_s = 0.2
    with database.writing():
        assert (await enter(doors, PARTY))[0] == 503
    doors.gate.durable_s = 5.0
    assert (await enter(doors, PARTY))[0] == 200
    assert doors.standing(PARTY) == ["acme"]


class TestLifting:
    async def test_needs_its_own_reason_and_proof(self, doors: Doors) -> None:
        await enter(doors, PARTY)
        for key in PROOF:
            for said in ({key: ""}, {key: "  "}, {key: None}):
                status, answer = await lift(doors, PARTY, **said)
                assert (status, answer["where"]) == (400, key)
        without = {"tenant": "acme", "number": PARTY}
        assert (await doors.ask("POST", LIFT_PATH, without))[0] == 400
        assert doors.standing(PARTY) == ["acme"]

    async def test_lets_the_tenant_call_again(self, doors: Doors) -> None:
        await enter(doors, PARTY)
        status, answer = await lift(doors, "020 7946 0123")
        assert (status, answer["result"], answer["still_standing"]) == (200, "lifted", [])
        assert doors.standing(PARTY) == []
        assert doors.written()[-1]["evidence"] == PROOF["evidence"]

    async def test_tells_what_still_stands(self, doors: Doors) -> None:
        await enter(doors, PARTY, tenant=None)
        await enter(doors, PARTY)
        _, answer = await lift(doors, PARTY, purposes=["service"])
        told = answer["still_standing"]
        assert {wish["tenant"] for wish in told} == {None, "acme"}
        own = [wish["purposes"] for wish in told if wish["tenant"] == "acme"]
        assert own == [["collection", "marketing", "survey", "transactional"]]

    async def test_of_what_does_not_stand_is_refused(self, doors: Doors) -> None:
        await enter(doors, PARTY, tenant=None)
        assert (await lift(doors, PARTY))[0] == 409
        assert (await lift(doors, "x"))[0] == 400
        assert (await lift(doors, PARTY, tenant="nobody"))[1]["where"] == "tenant"

    async def test_is_of_one_number_at_a_time(self, doors: Doors) -> None:
        said = {"tenant": "acme", "numbers": [PARTY], **PROOF}
        assert (await doors.ask("POST", LIFT_PATH, said))[1]["where"] == "numbers"


class TestLookingUp:
    async def test_tells_what_stands_and_how_it_came_to_that(self, doors: Doors) -> None:
        await enter(doors, PARTY, reason="form")
        await enter(doors, PARTY, tenant="beta")
        await lift(doors, PARTY)
        await enter(doors, PARTY, tenant=None, purposes=["marketing"])
        status, answer = await doors.ask("GET", f"{PATH}?number=%2B442079460123&tenant=acme")
        assert (status, answer["subject"]) == (200, PARTY)
        assert [wish["tenant"] for wish in answer["standing"]] == [None]
        told = [(row["tenant"], row["opted_out"], row["way"]) for row in answer["history"]]
        assert told == [("acme", True, "api"), ("acme", False, "api"), (None, True, "api")]
        _, answer = await doors.ask("GET", f"{PATH}?number=%2B442079460123")
        assert len(answer["history"]) == 4
        assert {wish["tenant"] for wish in answer["standing"]} == {None, "beta"}

    async def test_of_who_never_said_anything_is_empty(self, doors: Doors) -> None:
        status, answer = await doors.ask("GET", f"{PATH}?number=%2B442079460150")
        assert (status, answer["standing"], answer["history"]) == (200, [], [])

    @pytest.mark.parametrize(
        ("query", "where"),
        [
            ("", "number"),
            ("?number=x", "number"),
            ("?number=12&number=13", ""),
            ("?number=%2B442079460123&tenant=nobody", "tenant"),
            ("?number=%2B442079460123&limit=1", "limit"),
        ],
    )
    async def test_says_what_is_wrong(self, doors: Doors, query: str, where: str) -> None:
        status, answer = await doors.ask("GET", PATH + query)
        assert (status, answer["where"]) == (400, where)


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"number": PARTY}, "tenant"),
        ({"tenant": "nobody", "number": PARTY}, "tenant"),
        ({"tenant": "acme"}, "numbers"),
        ({"tenant": "acme", "numbers": []}, "numbers"),
        ({"tenant": "acme", "number": PARTY, "numbers": [PARTY]}, "numbers"),
        ({"tenant": "acme", "number": 442079460123}, "number"),
        ({"tenant": "acme", "numbers": [PARTY, None]}, "numbers[1]"),
        ({"tenant": "acme", "number": PARTY, "purposes": ["fun"]}, "purposes[0]"),
        ({"tenant": "acme", "number": PARTY, "channels": "voice"}, "channels"),
        ({"tenant": "acme", "number": PARTY, "reason": "a\nb"}, "reason"),
        ({"tenant": "acme", "number": PARTY, "way": "call"}, "way"),
    ],
)
async def test_what_is_wrong_is_said_with_its_place_and_nothing_is_entered(
    doors: Doors, said: dict[str, Any], where: str
) -> None:
    status, answer = await doors.ask("POST", PATH, said)
    assert (status, answer["where"]) == (400, where)
    assert PARTY[-6:] not in answer["error"]
    assert doors.written() == []


@pytest.mark.parametrize("path", [PATH, LIFT_PATH])
async def test_the_token_of_the_api_is_needed_and_no_other(doors: Doors, path: str) -> None:
    for token in ("wrong", SMS_TOKEN):
        said = {"tenant": "acme", "number": PARTY, **PROOF}
        assert (await doors.ask("POST", path, said, token=token))[0] == 401
    assert (await doors.ask("GET", f"{PATH}?number=%2B44", token="wrong"))[0] == 401
    assert doors.written() == []


async def test_nothing_is_deleted_and_nothing_too_long_is_read(doors: Doors) -> None:
    status, answer = await doors.ask("DELETE", PATH)
    assert (status, answer["error"]) == (405, "only GET and POST is answered here")
    assert (await doors.ask("GET", LIFT_PATH))[0] == 405
    long = b" " * (MAX_BODY + 1)
    sort = {"Content-Type": "application/json"}
    assert (await doors.ask("POST", PATH, long, **sort))[0] == 413
    assert (await doors.ask("POST", PATH, b"{}", **{"Content-Type": "text/plain"}))[0] == 415


KEYS = st.sampled_from(["tenant", "number", "numbers", "purposes", "channels", "reason", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["acme", PARTY, ""]) | st.text(),
    lambda inside: st.lists(inside, max_size=3),
    max_leaves=4,
)
BODIES = st.binary(max_size=200) | st.dictionaries(KEYS, VALUES).map(
    lambda said: json.dumps(said).encode()
)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(bodies=st.lists(BODIES, min_size=5, max_size=5))
async def test_no_body_is_a_fault_of_ours(doors: Doors, bodies: list[bytes]) -> None:
    for body in bodies:
        for path in (PATH, LIFT_PATH):
            sort = {"Content-Type": "application/json"}
            status, answer = await doors.ask("POST", path, body, **sort)
            assert status in (200, 400)
            assert status == 200 or set(answer) == {"error", "where"}


async def test_no_line_of_the_log_has_a_number_in_it(
    doors: Doors, capsys: pytest.CaptureFixture[str]
) -> None:
    await enter(doors, PARTY, "12345 Joe")
    await lift(doors, PARTY)
    await doors.ask("GET", f"{PATH}?number=%2B442079460123&tenant=acme")
    logged = capsys.readouterr().out
    for event in ("opt_outs_entered", "opted_out", "opted_in", "opt_outs_looked_up"):
        assert event in logged
    for secret in ("7946", "Joe"):
        assert secret not in logged
