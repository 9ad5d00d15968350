"""``POST /api/v1/sms``: what a gateway hands in, and what goes back."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callguard.config import Sms
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import audit
from callguard.web.door import Refused
from callguard.web.sms import IN_WORK, PATH, Message, read_message
from tests.clock import HandClock
from tests.databases import clock, database, journal
from tests.gate.preflights import PARTY, rows
from tests.web.doors import (
    ACME,
    BETA,
    SMS_TOKEN,
    TOKEN,
    Doors,
    Failing,
    doors,
    open_doors,
    two_tenants,
)

__all__ = ["clock", "database", "doors", "journal"]

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def text(doors: Doors, said: str, **more: Any) -> tuple[int, Any]:
    """What a gateway gets that hands in a text of PARTY to acme."""
    sent = {"from": PARTY, "to": ACME, "text": said, "id": "m1", **more}
    return await doors.ask("POST", PATH, sent, token=SMS_TOKEN)


async def test_stop_opts_out_of_everything_of_the_tenant_and_is_confirmed(doors: Doors) -> None:
    status, answer = await text(doors, "STOP")
    assert status == 200
    assert answer["reply"].startswith("Acme: you have opted out.")
    (row,) = doors.written()
    assert (row["subject"], row["tenant_id"], row["standing"]) == (PARTY, "acme", True)
    assert (row["purposes"], row["channels"], row["way"]) == ([], [], "sms")
    assert row["evidence"] == "text message m1"
    assert doors.standing(PARTY) == ["acme"]
    assert doors.standing(PARTY, "beta") == []


async def test_the_same_message_twice_is_one_row_and_the_same_reply(doors: Doors) -> None:
    first = await text(doors, "stop")
    assert await text(doors, "stop") == first
    assert len(doors.written()) == 1


async def test_the_same_message_many_times_at_once_is_one_row(doors: Doors) -> None:
    answers = await asyncio.gather(*(text(doors, "Stop!") for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    assert len({answer["reply"] for _, answer in answers}) == 1
    assert len(doors.written()) == 1


async def test_few_are_written_at_a_time_and_none_is_refused(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, under_way, most = doors.gate.journal.write, 0, 0

    async def writing(*args: Any, **more: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await write(*args, **more)
        finally:
            under_way -= 1

    monkeypatch.setattr(doors.gate.journal, "write", writing)
    answers = await asyncio.gather(*(text(doors, "STOP", id=f"m{i}") for i in range(40)))
    assert {status for status, _ in answers} == {200}
    assert len(doors.written()) == 40
    assert most <= IN_WORK


async def test_two_messages_are_two_rows(doors: Doors) -> None:
    for number in ("m1", "m2"):
        await text(doors, "STOP", id=number)
    assert [row["evidence"] for row in doors.written()] == ["text message m1", "text message m2"]


async def test_start_lifts_with_the_message_as_its_proof(doors: Doors) -> None:
    await text(doors, "STOP", id="m1")
    status, answer = await text(doors, "Start", id="m2")
    assert status == 200
    assert answer["reply"].startswith("Acme: you may be called again.")
    assert doors.standing(PARTY) == []
    last = doors.written()[-1]
    assert (last["standing"], last["evidence"]) == (False, "text message m2")
    assert "start" in last["reason"]


async def test_a_start_that_comes_again_after_another_stop_lifts_nothing(doors: Doors) -> None:
    for said, number in (("STOP", "m1"), ("START", "m2"), ("STOP", "m3")):
        await text(doors, said, id=number)
    _, answer = await text(doors, "START", id="m2")
    assert doors.standing(PARTY) == ["acme"]
    assert "stays" in answer["reply"]


async def test_a_start_that_came_before_any_stop_lifts_nothing_later(doors: Doors) -> None:
    await text(doors, "START", id="m1")
    await text(doors, "STOP", id="m2")
    await text(doors, "START", id="m1")
    assert doors.standing(PARTY) == ["acme"]


async def test_a_stop_under_an_id_that_was_used_before_still_stops(doors: Doors) -> None:
    for said, number in (("STOP", "same"), ("START", "m2"), ("STOP", "same")):
        await text(doors, said, id=number)
    assert doors.standing(PARTY) == ["acme"]


async def test_a_start_without_an_id_lifts_nothing(doors: Doors) -> None:
    await text(doors, "STOP")
    status, answer = await text(doors, "START", id="")
    assert (status, answer["where"]) == (422, "id")
    assert doors.standing(PARTY) == ["acme"]


async def test_a_stop_without_an_id_stops_once(doors: Doors) -> None:
    for _ in range(2):
        assert (await text(doors, "STOP", id=None))[0] == 200
    assert [row["evidence"] for row in doors.written()] == [None]


async def test_start_does_not_lift_what_stands_against_all(doors: Doors) -> None:
    said = {"tenant": None, "number": PARTY}
    assert (await doors.ask("POST", "/api/v1/opt-outs", said))[0] == 200
    status, answer = await text(doors, "START")
    assert status == 200
    assert "your opt-out stays" in answer["reply"]
    assert doors.standing(PARTY) == [None]


async def test_help_tells_who_writes_and_enters_nothing(doors: Doors) -> None:
    status, answer = await text(doors, "help?")
    assert (status, answer["reply"][:5]) == (200, "Acme:")
    assert doors.written() == []


async def test_any_other_message_gets_no_reply_and_enters_nothing(doors: Doors) -> None:
    assert await text(doors, "see you on Monday") == (200, {"reply": None})
    assert doors.written() == []


@pytest.mark.parametrize(
    ("said", "language"),
    [
        ("\u202bהָסֵר\u202c", "הוסרת"),
        ("стоп", "вы отписаны"),
        ("STOP", "you have opted out"),
        ("Arrêtez", "vous êtes désinscrit"),
    ],
)
async def test_the_reply_is_in_the_language_of_the_word(
    doors: Doors, said: str, language: str
) -> None:
    status, answer = await text(doors, said, to=BETA)
    assert status == 200
    assert language in answer["reply"]
    assert doors.standing(PARTY, "beta") == ["beta"]


async def test_nothing_is_confirmed_that_is_not_durable_and_the_next_try_is(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(doors.gate, monkeypatch)
    async with doors.client.post(
        doors.address + PATH,
        json={"from": PARTY, "to": ACME, "text": "STOP", "id": "m1"},
        headers={"Authorization": f"Bearer {SMS_TOKEN}"},
    ) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
        assert set(await answer.json()) == {"error", "where"}
    assert doors.written() == []
    assert doors.standing(PARTY) == []
    assert doors.gate.counts.not_durable == 1
    failing.on = False
    status, told = await text(doors, "STOP")
    assert (status, told["reply"][:5]) == (200, "Acme:")
    assert len(doors.written()) == 1


async def test_a_locked_database_is_503_and_afterwards_all_is_well(
    doors: Doors, database: Database
) -> None:
    doors.gate.durable_s = 0.2
    with database.writing():
        status, _ = await text(doors, "STOP")
        assert status == 503
    doors.gate.durable_s = 5.0
    assert (await text(doors, "STOP"))[0] == 200
    assert len(doors.written()) == 1
    assert doors.standing(PARTY) == ["acme"]


class TestTheNumberItWasSentTo:
    async def test_decides_the_tenant(self, doors: Doors) -> None:
        await text(doors, "STOP", to="972 3-123-4567")
        assert doors.written()[0]["tenant_id"] == "beta"

    async def test_when_nobodys_stops_for_all_and_is_told(self, doors: Doors) -> None:
        status, answer = await text(doors, "STOP", to="+442079460777")
        assert status == 200
        assert answer["reply"].startswith("you have opted out")
        assert doors.written()[0]["tenant_id"] is None
        assert doors.gate.counts.faults == {"sms_to_unknown_number": 1}

    async def test_when_nobodys_lifts_nothing(self, doors: Doors) -> None:
        await text(doors, "STOP")
        assert (await text(doors, "START", id="m2", to="55555"))[0] == 422
        assert doors.standing(PARTY) == ["acme"]

    async def test_may_be_a_short_code_of_the_settings(
        self, tmp_path: Path, database: Database, journal: Journal, clock: HandClock
    ) -> None:
        two_tenants(database, clock)
        sms = Sms(numbers={"60777": "beta"}, tenant="acme")
        async with open_doors(tmp_path, database, journal, clock, sms=sms) as doors:
            await text(doors, "STOP", to="60777")
            await text(doors, "STOP", to="60778", id="m2")
            assert [row["tenant_id"] for row in doors.written()] == ["beta", "acme"]


class TestTheSender:
    @pytest.mark.parametrize("sender", [PARTY, PARTY[1:], " 44 20 7946 0123", "020 7946 0123"])
    async def test_is_read_as_a_gateway_writes_it(self, doors: Doors, sender: str) -> None:
        assert (await text(doors, "STOP", **{"from": sender}))[0] == 200
        assert [row["subject"] for row in doors.written()] == [PARTY]

    async def test_whose_digits_are_two_numbers_is_both(self, doors: Doors) -> None:
        """+357 22 345678 is in Cyprus; the same digits may be dialled in Germany."""
        doors.gate.home_region = "DE"
        await text(doors, "STOP", **{"from": "35722345678", "to": "+442079460777"})
        assert "+35722345678" in [row["subject"] for row in doors.written()]
        assert len(doors.written()) == 2

    async def test_whose_digits_are_two_numbers_lifts_nothing(self, doors: Doors) -> None:
        """In Saint-Pierre, and a mobile of Israel without its nought. One of them did not ask."""
        two = {"from": "508412345", "to": BETA}
        await text(doors, "STOP", **two)
        assert len(doors.written()) == 2
        status, answer = await text(doors, "START", id="m2", **two)
        assert (status, answer["where"]) == (422, "from")
        assert doors.standing("+508412345", "beta") == ["beta"]
        assert len(doors.written()) == 2
        assert (await text(doors, "START", **{**two, "id": "m3", "from": "+508412345"}))[0] == 200
        assert doors.standing("+508412345", "beta") == []
        assert doors.standing("+972508412345", "beta") == ["beta"]

    @pytest.mark.parametrize("sender", ["", "Acme", "anonymous", "+", "1" * 60])
    async def test_that_is_no_number_is_refused(self, doors: Doors, sender: str) -> None:
        status, answer = await text(doors, "STOP", **{"from": sender})
        assert (status, answer["where"]) == (422, "from")
        assert doors.written() == []


class TestTheGateway:
    async def test_may_send_a_form_and_gets_twiml_where_it_names_a_message_sid(
        self, doors: Doors
    ) -> None:
        body = urlencode({"From": PARTY, "To": ACME, "Body": "STOP", "MessageSid": "SM1"}).encode()
        headers = {"Authorization": f"Bearer {SMS_TOKEN}", **FORM}
        url = doors.address + PATH
        async with doors.client.post(url, data=body, headers=headers) as answer:
            assert (answer.status, answer.content_type) == (200, "text/xml")
            told = await answer.text()
        assert "<Response><Message>Acme: you have opted out." in told
        other = body.replace(b"STOP", b"hello")
        async with doors.client.post(url, data=other, headers=headers) as answer:
            assert (await answer.text()).endswith("<Response></Response>")

    async def test_may_send_the_older_western_encoding(self, doors: Doors) -> None:
        headers = {"Authorization": f"Bearer {SMS_TOKEN}", **FORM}
        sent = {"from": PARTY, "to": ACME, "text": "ARRÊT", "id": "1"}
        body = urlencode(sent, encoding="cp1252").encode()
        async with doors.client.post(doors.address + PATH, data=body, headers=headers) as answer:
            assert answer.status == 200
        assert doors.standing(PARTY) == ["acme"]

    @pytest.mark.parametrize("before", ["whatsapp:+", "sms:", "00", "+"])
    async def test_may_write_the_sender_in_its_own_way(self, doors: Doors, before: str) -> None:
        status, _ = await text(doors, "STOP", **{"from": f"{before}{PARTY[1:]}"})
        assert status == 200
        assert doors.standing(PARTY) == ["acme"]

    async def test_may_ask_for_plain_text(self, doors: Doors) -> None:
        headers = {"Authorization": f"Bearer {SMS_TOKEN}", "Accept": "text/plain, */*", **FORM}
        body = urlencode({"from": PARTY, "to": ACME, "text": "הסר", "id": "1"}).encode()
        async with doors.client.post(doors.address + PATH, data=body, headers=headers) as answer:
            assert (answer.status, answer.content_type) == (200, "text/plain")
            assert "הוסרת" in await answer.text()

    async def test_may_show_the_token_as_a_password(self, doors: Doors) -> None:
        for password, status in ((SMS_TOKEN, 200), ("wrong", 401), (TOKEN, 401)):
            basic = base64.b64encode(f"gateway:{password}".encode()).decode()
            sent = {"from": PARTY, "to": ACME, "text": "STOP", "id": "m1"}
            got, _ = await doors.ask("POST", PATH, sent, Authorization=f"Basic {basic}")
            assert got == status
        assert len(doors.written()) == 1

    @pytest.mark.parametrize(
        "given", ["", "Basic", "Basic !!!", "Basic YQ==", "Bearer", f"Bearer {TOKEN}", "Digest x"]
    )
    async def test_needs_the_token_of_the_gateway(self, doors: Doors, given: str) -> None:
        sent = {"from": PARTY, "to": ACME, "text": "STOP"}
        status, answer = await doors.ask("POST", PATH, sent, Authorization=given)
        assert status == 401
        assert SMS_TOKEN not in json.dumps(answer)
        assert doors.written() == []

    async def test_does_not_show_it_in_the_address(self, doors: Doors) -> None:
        sent = {"from": PARTY, "to": ACME, "text": "STOP"}
        path = f"{PATH}?token={SMS_TOKEN}"
        status, _ = await doors.ask("POST", path, sent, Authorization="")
        assert status == 401

    async def test_may_have_names_of_its_own(
        self, tmp_path: Path, database: Database, journal: Journal, clock: HandClock
    ) -> None:
        two_tenants(database, clock)
        sms = Sms(
            from_field=("data.payload.from.phone_number",),
            to_field=("data.payload.to",),
            text_field=("data.payload.text",),
            id_field=("data.id",),
            confirm=False,
        )
        payload = {"from": {"phone_number": PARTY}, "to": ACME, "text": "STOP"}
        async with open_doors(tmp_path, database, journal, clock, sms=sms) as doors:
            sent = {"data": {"id": 17, "payload": payload}}
            answer = await doors.ask("POST", PATH, sent, token=SMS_TOKEN)
            assert answer == (200, {"reply": None})
            assert doors.written()[0]["evidence"] == "text message 17"

    @pytest.mark.parametrize(
        ("sent", "where"),
        [
            ({"to": ACME, "text": "STOP"}, "from"),
            ({"from": PARTY, "to": ACME}, "text"),
            ({"from": [PARTY], "to": ACME, "text": "STOP"}, "from"),
            ({"from": PARTY, "to": ACME, "text": {"a": 1}}, "text"),
            ({"from": PARTY, "to": ACME, "text": "STOP", "id": "x" * 201}, "id"),
            ({"from": PARTY, "to": ACME, "text": "STOP", "id": "a\nb"}, "id"),
            ({"from": PARTY + "\x00", "to": ACME, "text": "STOP"}, "from"),
        ],
    )
    async def test_that_sends_no_message_is_told_what_is_wrong(
        self, doors: Doors, sent: dict[str, Any], where: str
    ) -> None:
        status, answer = await doors.ask("POST", PATH, sent, token=SMS_TOKEN)
        assert (status, answer["where"]) == (400, where)
        assert doors.written() == []

    async def test_is_asked_for_json_or_a_form_and_nothing_longer_than_either(
        self, doors: Doors
    ) -> None:
        for sort, body, status in (
            ("text/plain", b"STOP", 415),
            ("application/json", b"[]", 400),
            ("application/json", b"{", 400),
            ("application/json", b" " * 65_537, 413),
            (FORM["Content-Type"], b"a=1&a=2", 400),
            (FORM["Content-Type"], b"\xff", 400),
            (FORM["Content-Type"], b"a=%ff", 400),
            (FORM["Content-Type"], b"&".join([b"a=1"] * 200), 400),
        ):
            got, answer = await doors.ask(
                "POST", PATH, body, token=SMS_TOKEN, **{"Content-Type": sort}
            )
            assert (got, set(answer)) == (status, {"error", "where"})
        got, answer = await doors.ask("GET", PATH, token=SMS_TOKEN)
        assert (got, answer["error"]) == (405, "only POST is answered here")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["from", "To", "text", "Body", "id", "x", "from.a"]), VALUES)
)
def test_whatever_is_sent_is_a_message_or_is_refused(sent: dict[str, object]) -> None:
    said: Message | Refused
    try:
        said = read_message(sent, Sms())
    except Refused as refused:
        said = refused
    assert isinstance(said, Message) or (said.status == 400 and "\n" not in str(said))


BODIES = st.binary(max_size=300) | VALUES.map(lambda value: json.dumps(value).encode())


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(bodies=st.lists(BODIES, min_size=5, max_size=5))
async def test_no_body_is_a_fault_of_ours(doors: Doors, bodies: list[bytes]) -> None:
    for body in bodies:
        for sort in ("application/json", FORM["Content-Type"]):
            status, answer = await doors.ask(
                "POST", PATH, body, token=SMS_TOKEN, **{"Content-Type": sort}
            )
            assert status in (200, 400, 422)
            assert set(answer) in ({"error", "where"}, {"reply"})


async def test_no_line_of_the_log_has_a_number_a_text_or_a_token_in_it(
    doors: Doors, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await text(doors, "STOP")
    await text(doors, "what is this about, it is private")
    await text(doors, "START", id="m2")
    await text(doors, "STOP", id="m3", to="+442079460777")
    await text(doors, "STOP", id="m4", **{"from": "Joe Bloggs"})
    await doors.ask("POST", PATH, {"from": PARTY}, token="wrong")
    Failing(doors.gate, monkeypatch)
    await text(doors, "STOP", id="m5")
    logged = capsys.readouterr().out
    assert "opted_out" in logged
    assert "sms_to_unknown_number" in logged
    for secret in ("7946", "0123", "0777", "private", "Bloggs", SMS_TOKEN):
        assert secret not in logged


async def test_every_wish_is_in_the_audit_log(doors: Doors) -> None:
    await text(doors, "STOP")
    await text(doors, "START", id="m2")
    found = [row["action"] for row in rows(doors.gate, audit) if row["target"].startswith("optout")]
    assert found == ["optout.add", "optout.lift"]
