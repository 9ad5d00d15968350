"""``callguard optout``."""

import hashlib
from datetime import datetime
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine

ANN = "+442079460000"
PROOF = ("--evidence", "letter of 20 November")


def standing(callguard: CommandLine, *arguments: str) -> list[tuple[str, str, str]]:
    rows = callguard("optout", "list", *arguments, "--json").json()
    assert isinstance(rows, list)
    return [(row["subject"], row["tenant"], row["purposes"]) for row in rows]


@pytest.mark.parametrize(
    "text",
    [
        ANN,
        "02079460000",
        "020 7946 0000",
        "020-7946-0000",
        "+44 (0)20 7946 0000",
        "0044 20 7946 0000",
        f"tel:{ANN}",
        f"sip:{ANN}@example.org;user=phone",
        f" {ANN} ",
    ],
)
def test_every_way_to_write_a_number_is_the_same_number(acme: CommandLine, text: str) -> None:
    answer = acme("optout", "add", text, "--tenant", "acme", "--json").json()
    assert answer == {"subject": ANN, "standing": True}
    removed = acme(
        "optout", "remove", ANN, "--tenant", "acme", "--reason", "asked", *PROOF, "--json"
    )
    assert removed.json() == {"subject": ANN, "standing": False}
    assert standing(acme) == []


@pytest.mark.parametrize("text", ["", "abc", "+", "anonymous", "٠٢٠٧٩٤٦٠٠٠٠", "1" * 70, "🙂"])
def test_what_is_no_number_is_refused(acme: CommandLine, text: str) -> None:
    acme("optout", "add", text).refused("is no telephone number")
    assert standing(acme) == []


def test_a_number_is_read_as_the_tenant_would_dial_it(callguard: CommandLine) -> None:
    callguard("tenant", "add", "il", "--region", "IL", "--key", "x25519")
    callguard("optout", "add", "03-1234567", "--tenant", "il")
    callguard("optout", "add", "020 7946 0000")
    assert standing(callguard) == [("+97231234567", "il", "all"), (ANN, "all", "all")]


def test_twice_is_once(acme: CommandLine) -> None:
    for _ in range(2):
        assert acme("optout", "add", ANN, "--tenant", "acme").code == 0
    assert standing(acme) == [(ANN, "acme", "all")]
    assert acme("optout", "remove", ANN, "--tenant", "acme", "--reason", "asked", *PROOF).code == 0
    again = acme("optout", "remove", ANN, "--tenant", "acme", "--reason", "asked", *PROOF)
    again.refused(f"{ANN} has not opted out of acme")


def test_only_what_stands_can_be_lifted_and_only_where_it_stands(acme: CommandLine) -> None:
    acme("optout", "remove", ANN, "--reason", "asked", *PROOF).refused(
        "has not opted out of all tenants"
    )
    acme("optout", "add", ANN, "--tenant", "acme")
    acme("optout", "remove", ANN, "--reason", "asked", *PROOF).refused(
        "has not opted out of all tenants"
    )
    assert standing(acme) == [(ANN, "acme", "all")]


def test_lifting_needs_a_reason(acme: CommandLine) -> None:
    acme("optout", "add", ANN)
    assert acme("optout", "remove", ANN).code == 2
    acme("optout", "remove", ANN, "--reason", "  ", *PROOF).refused("only with a reason")
    assert standing(acme) == [(ANN, "all", "all")]


def test_purposes_are_known_add_up_and_never_narrow(acme: CommandLine) -> None:
    acme("optout", "add", ANN, "--purpose", "fun").refused("'fun' is no purpose; known: marketing")
    acme("optout", "add", ANN, "--purpose", "survey", "--purpose", "marketing")
    assert standing(acme) == [(ANN, "all", "marketing, survey")]
    acme("optout", "add", ANN, "--purpose", "service")
    assert standing(acme) == [(ANN, "all", "marketing, service, survey")]
    acme("optout", "add", ANN)
    acme("optout", "add", ANN, "--purpose", "survey")
    assert standing(acme) == [(ANN, "all", "all")]


def test_a_tenant_nobody_added_is_refused_everywhere(acme: CommandLine) -> None:
    for command in (("add", ANN), ("remove", ANN, "--reason", "asked"), ("list",)):
        acme("optout", *command, "--tenant", "nobody").refused("there is no tenant nobody")


def test_a_list_is_of_one_tenant_and_of_everyone(acme: CommandLine) -> None:
    acme("tenant", "add", "two", "--key", "x25519")
    acme("optout", "add", "+442079460001", "--tenant", "two")
    acme("optout", "add", "+442079460002")
    acme("optout", "add", ANN, "--tenant", "acme", "--reason", "ביקשה בטלפון")
    assert [row[0] for row in standing(acme, "--tenant", "acme")] == ["+442079460002", ANN]
    table = acme("optout", "list")
    assert table.code == 0
    assert ANN in table.out
    rows = acme("optout", "list", "--json").json()
    assert isinstance(rows, list)
    assert datetime.fromisoformat(rows[0]["since"]).tzinfo is not None
    assert rows[0]["way"] == "cli"


def test_confirmation_is_one_line(acme: CommandLine) -> None:
    assert acme("optout", "add", ANN).out == f"{ANN} opted out\n"
    lifted = acme("optout", "remove", ANN, "--reason", "x", *PROOF)
    assert lifted.out == f"{ANN} may be called again\n"


def scopes(callguard: CommandLine) -> set[tuple[str, str, str]]:
    rows = callguard("optout", "list", "--json").json()
    assert isinstance(rows, list)
    return {(row["tenant"], row["purposes"], row["channels"]) for row in rows}


@pytest.mark.parametrize("proof", [(), ("--evidence", "  ")])
def test_lifting_needs_evidence(acme: CommandLine, proof: tuple[str, ...]) -> None:
    acme("optout", "add", ANN)
    acme("optout", "remove", ANN, "--reason", "asked", *proof).refused("only with evidence")
    assert standing(acme) == [(ANN, "all", "all")]


def test_the_evidence_may_be_a_file_of_which_the_digest_is_kept(
    acme: CommandLine, tmp_path: Path
) -> None:
    letter = tmp_path / "מכתב.pdf"
    letter.write_bytes(b"yes please")
    acme("optout", "add", ANN)
    lift = ("optout", "remove", ANN, "--reason", "asked", "--evidence")
    acme(*lift, f"@{letter}x").refused("there is no file")
    assert acme(*lift, f"@{letter}").code == 0
    said = acme("optout", "list", "--number", ANN, "--json").json()
    assert isinstance(said, list)
    assert [one["standing"] for one in said] == [True, False]
    digest = hashlib.sha256(b"yes please").hexdigest()
    assert said[1]["evidence"] == f"מכתב.pdf sha256:{digest}"
    told = acme("optout", "list", "--number", ANN).out.splitlines()
    assert len(told) == 2
    assert "opted in again to all tenants (cli by cli:" in told[1]


def test_channels_and_purposes_are_no_wider_than_what_was_said(acme: CommandLine) -> None:
    acme("optout", "add", ANN, "--channel", "fax").refused("'fax' is no channel; known: voice")
    acme("optout", "add", ANN, "--purpose", "marketing", "--channel", "sms")
    acme("optout", "add", ANN, "--purpose", "service", "--channel", "voice")
    assert scopes(acme) == {("all", "marketing", "sms"), ("all", "service", "voice")}


def test_part_of_an_opt_out_is_lifted_and_the_rest_stands(acme: CommandLine) -> None:
    acme("optout", "add", ANN, "--tenant", "acme")
    lift = ("optout", "remove", ANN, "--tenant", "acme", "--reason", "asked", *PROOF)
    lifted = acme(*lift, "--channel", "sms")
    assert lifted.out == f"{ANN} may be called again by sms\n"
    assert scopes(acme) == {("acme", "all", "email, voice")}
    acme(*lift, "--channel", "sms").refused(f"{ANN} has not opted out of acme by sms")
    assert acme(*lift).code == 0
    assert scopes(acme) == set()


def test_opting_in_with_a_tenant_does_not_lift_an_opt_out_of_all(acme: CommandLine) -> None:
    lift = ("optout", "remove", ANN, "--tenant", "acme", "--reason", "asked", *PROOF)
    acme("optout", "add", ANN)
    acme(*lift).refused(f"{ANN} has not opted out of acme, but of all tenants")
    acme("optout", "add", ANN, "--tenant", "acme")
    assert "the opt-out of all tenants still stands" in acme(*lift).out
    assert scopes(acme) == {("all", "all", "all")}


def test_a_list_is_bounded_and_shows_the_newest(acme: CommandLine) -> None:
    for n in range(5):
        acme("optout", "add", f"+44207946000{n}")
    assert [row[0][-1] for row in standing(acme, "--limit", "2")] == ["3", "4"]
    assert "the newest 2 of more" in acme("optout", "list", "--limit", "2").out
    assert "of more" not in acme("optout", "list", "--limit", "5").out


def test_an_address_can_be_opted_out_as_well(acme: CommandLine) -> None:
    acme("optout", "add", "Ann@Example.org", "--channel", "email")
    assert standing(acme) == [("ann@example.org", "all", "all")]
