"""Opting out on a real Asterisk: obeyed at once, never lost, never confirmed falsely."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from callguard.storage.schema import calls, opt_out_claims, opt_outs
from tests.lab import audio
from tests.lab.asterisk import Asterisk
from tests.lab.calls import Telephony
from tests.lab.config import ASTERISK_CONF
from tests.lab.guarded import GuardedPbx, Row, eventually, new_number
from tests.lab.ports import PortRange
from tests.lab.prompts import TONES
from tests.lab.sipp import Digits, Step, Talk

pytestmark = pytest.mark.lab

TENANT = "tenant-1"
"""The tenant of the dialplan's prefix `*51`."""
OPT_OUT_LINE = "12025550181"
NOTICE_LINE = "12025550170"
"""A line of tenant-a's, where the notice is played."""
DIGIT_MS = 260
FIRST = (Talk(500), Digits("1"))
"""The first language, or the first choice."""
SECOND = (Talk(500), Digits("2"))


@pytest.fixture(scope="module")
def pbx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asterisk]:
    """A guarded PBX on which callguard may call back."""
    sample = (ASTERISK_CONF / "manager_callguard.conf").read_text()
    running = Asterisk(tmp_path_factory.mktemp("pbx"))
    written = sample.replace("CHANGE-ME", running.ami.secret)
    written = written.replace("write = call,reporting\n", "write = call,reporting,originate\n")
    (running.etc / "manager_callguard.conf").write_text(written)
    with running:
        yield running


@pytest.fixture(scope="module")
def guarded(
    pbx: Asterisk, furnished: GuardedPbx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedPbx]:
    """What callers hear is proved by a recording of the test's own, which is left alone here."""
    beside = GuardedPbx(pbx, tmp_path_factory.mktemp("guarded")).lay_out(furnished)
    config = beside.callguard.config
    taps = '\nforeign_recordings = "report"\n\n[agi]'
    config.write_text(config.read_text().replace("\n[agi]", taps, 1))
    beside.callguard.start()
    try:
        yield beside
    finally:
        beside.close()


@pytest.fixture(scope="module")
def lined(guarded: GuardedPbx) -> GuardedPbx:
    """With a tenant that has an opt-out line in two languages."""
    guarded.callguard.add_tenant(
        TENANT,
        purpose="service",
        record=False,
        shown_number=OPT_OUT_LINE,
        languages=("en", "he"),
        typed_opt_out="call_back",
    )
    eventually(lambda: guarded.outbound(f"*51{new_number()}").code == 200)
    return guarded


@contextmanager
def locked_database(lined: GuardedPbx) -> Iterator[None]:
    """Somebody else holds the database for writing."""
    other = sqlite3.connect(lined.callguard.data / "callguard.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
    finally:
        other.close()


def calls_line(lined: GuardedPbx, caller: str, *steps: Step, line: str = OPT_OUT_LINE) -> None:
    """Somebody calls an opt-out line, and stays until it hangs up."""
    name = "Anonymous" if caller == "anonymous" else "Caller"
    party = lined.telephony.outsider_calls(
        line, caller=caller, name=name, steps=steps, hang_up=False
    )
    assert party.finish().hung_up_by_peer


def wishes(lined: GuardedPbx, number: str) -> list[Row]:
    query = opt_outs.select().where(opt_outs.c.subject == f"+{number}").order_by(opt_outs.c.seq)
    return lined.rows(query)


def call_of(lined: GuardedPbx, wish: Row) -> Row:
    """The call that a wish refers to."""
    (row,) = lined.rows(calls.select().where(calls.c.id == wish["call_id"]))
    return row


def heard(lined: GuardedPbx, line: str) -> set[str]:
    """Which of the prompts with a tone of their own the last caller of a line heard."""
    sent = eventually((lined.pbx.log / f"heard-{line}.sln").read_bytes)  # written when it ends
    samples = audio.from_linear(sent)
    assert audio.heard(samples, audio.RATE, audio.NOTICE_TONE), "the questions, at least"
    return {name for name, tone in TONES.items() if audio.heard(samples, audio.RATE, tone)}


def logged(pbx: Asterisk, text: str) -> int:
    """How often Asterisk's log has it."""
    return (pbx.log / "full").read_text(errors="replace").count(text)


def test_a_nine_in_the_notice_binds_a_call_placed_100_ms_later(
    lined: GuardedPbx, ports: PortRange
) -> None:
    number = new_number()
    nine = "DTMF end '9' received"
    before = logged(lined.pbx, nine)
    folder = lined.telephony.folder / "another agent"
    folder.mkdir()
    another = Telephony(lined.pbx, folder, agent_port=ports.take())
    with lined.telephony.party_answers(steps=(Talk(200), Digits("9")), calls=2) as party:
        first = lined.telephony.agent_calls(number)
        eventually(lambda: logged(lined.pbx, nine) > before)
        time.sleep(0.1)  # what is tested
        second = another.agent_calls(number).finish()
        first.finish()
        dialled = party.outcome().invites_received
    assert second.final_code == 403
    assert len(dialled) == 1
    assert [(w["way"], w["standing"]) for w in wishes(lined, number)] == [("call", True)]


@pytest.mark.parametrize(("chosen", "language"), [(FIRST, "en"), (SECOND, "he")])
def test_a_caller_of_the_line_opts_out_in_their_language(
    lined: GuardedPbx, chosen: tuple[Step, ...], language: str
) -> None:
    number = new_number()
    calls_line(lined, number, *chosen, *FIRST)
    refused = lined.outbound(f"*51{number}")

    assert (refused.code, refused.dialled) == (403, 0)
    (wish,) = wishes(lined, number)
    assert (wish["tenant_id"], wish["way"], wish["standing"]) == (TENANT, "line", True)
    assert wish["prompt"].startswith(f"line-offer v1 {language} sha256:")
    call = call_of(lined, wish)
    assert (call["direction"], call["subject"]) == ("inbound", f"+{number}")
    assert heard(lined, OPT_OUT_LINE) == {"optout-done"}


def test_what_was_confirmed_survives_a_kill_in_the_confirmation(lined: GuardedPbx) -> None:
    number = new_number()
    party = lined.telephony.outsider_calls(
        OPT_OUT_LINE, caller=number, steps=(*FIRST, *FIRST), hang_up=False
    )
    eventually(lambda: wishes(lined, number))
    time.sleep(0.15)  # into the confirmation
    lined.callguard.kill()
    assert party.finish().hung_up_by_peer
    assert heard(lined, OPT_OUT_LINE) == {"optout-done"}
    lined.callguard.start()
    refused = lined.outbound(f"*51{number}")

    assert (refused.code, refused.dialled) == (403, 0)
    (wish,) = wishes(lined, number)
    assert call_of(lined, wish)["subject"] == f"+{number}"


def test_what_could_not_be_written_is_not_confirmed(lined: GuardedPbx) -> None:
    """On the line, and in the notice of an ordinary call; and after it, it can be."""
    number = new_number()
    with locked_database(lined):
        calls_line(lined, number, Talk(2500), *FIRST[1:], *FIRST)
        on_the_line = heard(lined, OPT_OUT_LINE)
    with lined.telephony.outsider_calls(
        NOTICE_LINE, caller=number, steps=(Talk(300), Digits("9")), hang_up=False
    ) as party:
        eventually(lambda: [c for c in lined.so_far(number).calls if NOTICE_LINE in c["called"]])
        with locked_database(lined):
            party.finish()
    in_the_notice = heard(lined, NOTICE_LINE)
    nothing = wishes(lined, number)
    calls_line(lined, number, *FIRST, *FIRST)

    assert on_the_line == {"optout-failed"}
    assert in_the_notice == {"optout-failed"}
    assert nothing == []
    assert heard(lined, OPT_OUT_LINE) == {"optout-done"}
    assert len(wishes(lined, number)) == 1


def test_a_typed_number_is_confirmed_by_calling_it_back(lined: GuardedPbx) -> None:
    number = new_number()
    typed = (Digits(f"{number}#"), Talk((len(number) + 1) * DIGIT_MS))
    calls_line(lined, "anonymous", *FIRST, Talk(500), *typed, *FIRST)
    (claim,) = lined.rows(opt_out_claims.select())
    assert (claim["subject"], claim["state"]) == (f"+{number}", "pending")
    assert wishes(lined, number) == []

    with lined.telephony.party_answers(steps=FIRST) as party:
        answered = party.finish()
    (invite,) = answered.invites_received
    assert f"sip:{number}@" in invite.first_line
    assert OPT_OUT_LINE in invite.header("From")
    assert answered.hung_up_by_peer
    (wish,) = wishes(lined, number)
    assert wish["way"] == "callback"
    assert wish["prompt"].startswith("callback-ask v1 en sha256:")
    back = call_of(lined, wish)
    assert (back["direction"], back["subject"]) == ("outbound", f"+{number}")
    (claim,) = lined.rows(opt_out_claims.select())
    assert claim["state"] == "confirmed"
    record = eventually(
        lambda: [r for r in lined.so_far(number).records if r["call_id"] == back["id"]]
    )
    assert record[0]["disposition"] == "ANSWERED"
    refused = lined.outbound(f"*51{number}")
    assert (refused.code, refused.dialled) == (403, 0)


def test_whoever_hangs_up_on_the_call_back_has_refused(lined: GuardedPbx) -> None:
    number = new_number()
    typed = (Digits(f"{number}#"), Talk((len(number) + 1) * DIGIT_MS))
    calls_line(lined, "anonymous", *FIRST, Talk(500), *typed, *FIRST)
    with lined.telephony.party_answers(steps=(Talk(500),), hang_up=True) as party:
        party.finish()
    claimed = opt_out_claims.select().where(opt_out_claims.c.subject == f"+{number}")
    (claim,) = eventually(lambda: [row for row in lined.rows(claimed) if row["state"] != "pending"])
    told = "not confirmed in the call back: hung_up"
    assert (claim["state"], claim["reason"]) == ("refused", told)
    assert wishes(lined, number) == []
