"""``callguard tenant set``: what a tenant chose is changed, one setting or many."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from callguard.cli.tenant_settings import allowed
from callguard.storage.database import Database
from callguard.storage.schema import audit
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.tenant import TenantSettings
from tests.cli.conftest import CommandLine

EVERY = {
    "home_region": ("IL", "IL"),
    "language": ("he", "he"),
    "purpose": ("survey", "survey"),
    "record": ("no", False),
    "on_opt_out": ("connect", "connect"),
    "key_kind": ("pq", "pq"),
    "own_key": ("yes", True),
    "recording_format": ("pcm-8000-2", "pcm-8000-2"),
    "blocked_prompt": ("true", True),
    "shown_number": ("03-1234567", "03-1234567"),
    "languages": (" en, he ,, en", ["en", "he"]),
    "typed_opt_out": ("call_back", "call_back"),
    "recording_mode": ("ask", "ask"),
    "on_refusal": ("end", "end"),
    "accept_digit": ("5", "5"),
    "refuse_digit": ("6", "6"),
    "opt_out_digit": ("0", "0"),
    "ask_repeats": ("3", 3),
    "answer_s": ("7.5", 7.5),
    "late_s": ("2.5", 2.5),
    "barge_in": ("yes", True),
    "remember_days": ("365", 365),
    "agent_codes": ("pause,resume", ["pause", "resume"]),
    "subject_codes": ("", []),
    "beep_s": ("12", 12),
    "licensed_operator": ("yes", True),
    "time_zone": ("Europe/Paris", "Europe/Paris"),
}


def shown(callguard: CommandLine) -> dict[str, Any]:
    said = callguard("tenant", "show", "acme", "--json").json()
    assert isinstance(said, dict)
    return said


def acts(callguard: CommandLine) -> list[dict[str, Any]]:
    """What the audit log says of settings."""
    database = Database(f"sqlite:///{callguard.data / 'callguard.db'}")
    with database.reading() as connection:
        found = select(audit.c.details).where(audit.c.action == "tenant.set")
        rows = [json.loads(details) for details in connection.execute(found).scalars()]
    database.close()
    return rows


def test_every_setting_can_be_changed_and_is_shown(acme: CommandLine) -> None:
    assert set(EVERY) == set(TenantSettings.model_fields)
    pairs = [f"{key}={text}" for key, (text, _) in EVERY.items()]
    assert acme("tenant", "set", "acme", *pairs).code == 0
    after = shown(acme)
    assert {key: after[key] for key in EVERY} == {key: value for key, (_, value) in EVERY.items()}
    lines = acme("tenant", "show", "acme").out.splitlines()
    for line in ("record: no", "languages: en,he", "subject_codes: ", "answer_s: 7.5"):
        assert line in lines
    # What is shown can be typed again.
    again = [line.replace(": ", "=", 1) for line in lines if line.split(":")[0] in EVERY]
    said = acme("tenant", "set", "acme", *again, "--json").json()
    assert isinstance(said, dict)
    assert said["after"] == {}
    assert len(acts(acme)) == 1


def test_what_was_changed_is_told_and_logged_with_before_and_after(acme: CommandLine) -> None:
    said = acme("tenant", "set", "acme", "ask_repeats=2", "record=on", "shown_number=02079460999")
    assert said.out.splitlines() == [
        "ask_repeats: 1 -> 2",
        "record: yes already",
        "shown_number:  -> 02079460999",
    ]
    (act,) = acts(acme)
    assert act["before"] == {"ask_repeats": 1, "shown_number": ""}
    assert act["after"]["ask_repeats"] == 2
    assert "02079460999" not in json.dumps(act)
    assert acme("audit", "verify").code == 0
    assert acme("tenant", "set", "acme", "ask_repeats=2").out == "ask_repeats: 2 already\n"
    assert len(acts(acme)) == 1


def test_a_service_that_runs_sees_it_at_its_next_look(acme: CommandLine) -> None:
    directory = TenantDirectory()
    database = Database(f"sqlite:///{acme.data / 'callguard.db'}")

    def mode() -> str:
        with database.reading() as connection:
            directory.refresh(connection)
        tenant = directory.get("acme")
        assert tenant is not None
        return tenant.settings.recording_mode

    assert mode() == "notice"
    for wanted in ("ask", "notice_or_refuse"):
        acme("tenant", "set", "acme", f"recording_mode={wanted}")
        assert mode() == wanted
    database.close()


REFUSED: Sequence[tuple[tuple[str, ...], str]] = [
    (("nothing=1",), "there is no setting nothing; known: home_region, language, "),
    (("record",), "'record' is not KEY=VALUE"),
    (("=1",), "there is no setting ;"),
    (("ask_repeats=1", "ask_repeats=2"), "ask_repeats is given twice"),
    (("recording_mode=loud",), "'loud' is not one of silent, notice, notice_or_refuse, ask"),
    (("ask_repeats=9",), "ask_repeats: '9' is not a whole number from 0 to 5"),
    (("ask_repeats=1.5",), "is not a whole number from 0 to 5"),
    (("answer_s=nan",), "answer_s: 'nan' is not a number from 1 to 30"),
    (("answer_s=inf",), "is not a number from 1 to 30"),
    (("beep_s=",), "beep_s: '' is not a whole number from 5 to 120"),
    (("barge_in=perhaps",), "barge_in: 'perhaps' is not yes or no"),
    (("accept_digit=#",), "accept_digit: '#' is not a digit from 0 to 9"),
    (("accept_digit=\u0661",), "is not a digit from 0 to 9"),
    (("home_region=XX",), "home_region: 'XX' is not a country of the telephone"),
    (("subject_codes=stop,resume",), "is not a list, with commas, of stop, withdraw, optout"),
    (("accept_digit=2",), "accept_digit, refuse_digit and opt_out_digit are not three digits"),
    (("shown_number=112",), "'112' is no full telephone number to show"),
    (("shown_number=03-1234567",), "is no full telephone number to show"),
    (("language=a\x1bb",), "language: 'a\\x1bb' is not text"),
    (("language=../en",), "'../en' is no language: write it as en or he-IL"),
    (("language=",), "'' is no language"),
    (("languages=he-IL,EN",), "'EN' is no language"),
]


def test_what_is_refused_is_one_line_and_changes_nothing(acme: CommandLine) -> None:
    before = shown(acme)
    for pairs, reason in REFUSED:
        acme("tenant", "set", "acme", "on_refusal=end", *pairs).refused(reason)
    assert shown(acme) == before
    assert acts(acme) == []


def test_of_a_tenant_that_is_not_there_nothing_is_set(acme: CommandLine) -> None:
    acme("tenant", "set", "nobody", "record=no").refused("there is no tenant nobody")
    assert acme("tenant", "set", "acme").code == 2


def test_a_tenant_is_added_with_any_setting(callguard: CommandLine) -> None:
    more = ("--set", "recording_mode=ask", "--set", "remember_days=30")
    assert callguard("tenant", "add", "acme", "--key", "x25519", *more).code == 0
    after = shown(callguard)
    assert (after["recording_mode"], after["remember_days"]) == ("ask", 30)
    wrong = ("tenant", "add", "two", "--key", "x25519", "--set", "beep_s=1")
    callguard(*wrong).refused("beep_s: '1' is not a whole number from 5 to 120")
    said = callguard("tenant", "list", "--json").json()
    assert isinstance(said, list)
    assert len(said) == 1


def test_a_wish_that_the_law_at_home_does_not_grant_is_said_to_have_no_effect(
    acme: CommandLine,
) -> None:
    said = acme("tenant", "set", "acme", "recording_mode=silent").out
    assert "note: recording_mode silent has no effect where the law is stricter: " in said
    assert "gb.recording asks for notice" in said
    assert "de.recording" not in said
    said = acme("tenant", "set", "acme", "home_region=DE", "recording_mode=notice").out
    assert "de.recording asks for ask" in said
    assert "note:" not in acme("tenant", "set", "acme", "recording_mode=ask").out
    assert "note:" not in acme("tenant", "set", "acme", "ask_repeats=2").out
    assert "note: key_kind is that of keys to come" in (
        acme("tenant", "set", "acme", "key_kind=pq").out
    )


def test_other_digits_need_prompts_that_name_them(acme: CommandLine) -> None:
    said = acme("tenant", "set", "acme", "refuse_digit=3").out
    assert said.endswith("or nothing is recorded: callguard prompt build --tenant acme\n")
    assert "note:" not in acme("tenant", "set", "acme", "refuse_digit=2").out


def test_what_is_allowed_is_said_of_every_setting() -> None:
    assert all(allowed(key) for key in TenantSettings.model_fields)
    assert allowed("language") == "text"
    assert allowed("languages") == "a list with commas"
