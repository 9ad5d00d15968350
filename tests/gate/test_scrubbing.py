"""A scrub says of every number exactly what the gate would, whatever is known of it."""

import csv
import io
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import phonenumbers
import pytest
from hypothesis import assume, given, settings

from callguard.contacts.contact import Contact
from callguard.gate.scrub_basis import UNTOUCHED
from callguard.optout.scrub.contract import NO_NUMBER, Outcome, Ruling
from callguard.policy.evaluate import judge
from callguard.policy.facts import Attempt, CallFacts, GivenConsent, Relationship
from callguard.policy.kinds import KINDS
from callguard.policy.numbers import parse_number
from callguard.policy.rules import Rule
from tests.gate.scrubbed import AT, Office, Scrubbed, office
from tests.optout.registry.shelves import put
from tests.policy.kinds import drawn_calls, drawn_rules

CAP = """
title = "Test"
[[rule]]
id = "test.cap"
kind = "attempts"
title = "Two in a week"
citation = "Act, s. 1"
effective_from = 2020-01-01
settings = { limit = 2, window = "7d" }
"""
REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)


def kept_of(home: Office, rng: random.Random, number: str, place: int) -> None:
    """Something at random is kept of a number."""
    day = timedelta(days=1)
    match rng.randrange(6):
        case 0:
            home.wish(place, number, at=AT - place * day, tenant=rng.choice(["acme", None]))
        case 1:
            home.wish(place, number, at=AT - day, purposes=frozenset({"service"}))
        case 2:
            given = GivenConsent("marketing", AT - 5 * day, proof=rng.choice([None, "form"]))
            home.contact(number, Contact(consents=(given,)))
            if rng.random() < 0.3:
                home.wish(place, number, at=AT - day)
        case 3:
            region = rng.choice(["US", "FR", None])
            home.contact(number, Contact(kind="business", region=region))
        case 4:
            tie = Relationship("purchase", AT - 90 * day, AT - 10 * day)
            home.contact(number, Contact(relationships=(tie,), restricted_since=AT - day))
        case _:
            for call in range(rng.randint(1, 3)):
                one = Attempt(AT - rng.randint(1, 9) * day, "acme", "marketing", answered_at=AT)
                home.attempt(number, one, f"{place}-{call}")


def written(rng: random.Random, e164: str, home: str) -> str:
    """A number as somebody may have typed it."""
    number = phonenumbers.parse(e164)
    national = phonenumbers.national_significant_number(number)
    forms = [
        e164,
        e164[1:],
        f" {e164} ",
        phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL),
        phonenumbers.format_out_of_country_calling_number(number, home),
        phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.RFC3966),
        f"sip:{e164}@example.org",
        f"+({e164[1:]}",
        f"{e164} ext. 12",
    ]
    if number.country_code == phonenumbers.country_code_for_region(home):
        local = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        forms += [national, local, national, local, f"0{national}", local.replace(" ", ".")]
    return rng.choice(forms)


def numbers_of(rng: random.Random, homes: list[str], count: int) -> Iterator[str]:
    """Numbers near those that the numbering data gives as examples."""
    kinds = list(range(11))
    while count:
        example = phonenumbers.example_number_for_type(rng.choice(homes), rng.choice(kinds))
        if example is None:
            continue
        digits = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        kept = rng.randint(4, len(digits))
        digits = digits[:kept] + "".join(rng.choice("0123456789") for _ in digits[kept:])
        count -= 1
        yield digits


def a_list(rng: random.Random, home: str, count: int) -> list[str]:
    cells = [
        written(rng, number, home)
        for number in numbers_of(rng, [home, home, home, "US", "GB", rng.choice(REGIONS)], count)
    ]
    for odd in ("", "n/a", "911", "112", "12345", "+", "ann@example.org", "٠١٢٣٤٥٦٧٨", "5551234"):
        cells.insert(rng.randrange(len(cells)), odd)
    cells += rng.choices(cells, k=count // 10)
    rng.shuffle(cells)
    return cells


def as_csv(cells: list[str], rng: random.Random) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=rng.choice(["\n", "\r\n"]))
    writer.writerow(["id", "name", "phone", "city"])
    for place, cell in enumerate(cells):
        writer.writerow([place, rng.choice(["Ann", 'B"ob', "Co, Inc", "דנה"]), cell, "x"])
    return text.getvalue().encode()


def told(scrubbed: Scrubbed) -> dict[int, Ruling]:
    """The ruling of each row, by its id."""
    found: dict[int, Ruling] = {}
    for outcome, data in zip(Outcome, scrubbed.files, strict=True):
        ids = []
        for row in list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]:
            ids.append(int(row[0]))
            rules = tuple(row[5].split()) if len(row) > 4 else ()
            assert ids[-1] not in found
            found[ids[-1]] = Ruling(outcome, row[4] if len(row) > 4 else "", rules)
        assert ids == sorted(ids)
    return found


@pytest.mark.parametrize(
    ("seed", "home"), list(enumerate(["US", "GB", "IL", "DE", "FR", "NL", "IT", "AG", "AR"]))
)
def test_every_row_is_ruled_on_as_the_gate_decides_its_number(
    tmp_path: Path, seed: int, home: str
) -> None:
    rng = random.Random(seed)
    cells = a_list(rng, home, 250)
    keys = sorted({parse_number(cell, home).key for cell in cells} - {""})
    lists = tmp_path / "registries"
    listed = [key for key in keys if key.startswith("+") and rng.random() < 0.2]
    covered = tuple(sorted({key[:3] for key in keys if key[0] == "+" and rng.random() < 0.8}))
    for name in ("us-dnc", "gb-tps", "il-dnc"):
        put(lists, name, [key for key in listed if key.startswith(covered)], covered)
    with office(tmp_path, home=home, here=rng.choice(REGIONS), packs=[CAP]) as home_office:
        for place, key in enumerate(keys, 1):
            if rng.random() < 0.3:
                kept_of(home_office, rng, key, place)
        found = told(home_office.scrubbed(as_csv(cells, rng), block=rng.choice([60, 997, 65_536])))
        assert len(found) == len(cells)
        wrong = {
            cell: (found[place], home_office.decided(cell))
            for place, cell in enumerate(cells)
            if found[place] != home_office.decided(cell)
        }
    assert wrong == {}
    assert {ruling.outcome for ruling in found.values()} == set(Outcome)


def rows_of(texts: list[str]) -> bytes:
    return "\n".join(["phone", *texts, ""]).encode()


def rulings(home: Office, texts: list[str]) -> list[Ruling]:
    """The ruling of each text, from what was written, in the order of the texts, which differ."""
    scrubbed = home.scrubbed(rows_of(texts), column="phone")
    found = {}
    for outcome, data in zip(Outcome, scrubbed.files, strict=True):
        for row in list(csv.reader(io.StringIO(data.decode())))[1:]:
            found[row[0]] = Ruling(outcome, "".join(row[1:2]), tuple(" ".join(row[2:]).split()))
    return [found[text] for text in texts]


def test_registries_tell_three_things_of_a_number(tmp_path: Path) -> None:
    put(tmp_path / "registries", "us-dnc", ["+12025550100"], ("+1202",), date(2026, 3, 1))
    with office(tmp_path) as home:
        texts = ["2025550100", "2025550120", "2125550120"]
        found = rulings(home, texts)
        assert found == [home.decided(text) for text in texts]
    assert [one.outcome for one in found] == [
        Outcome.MUST_NOT,
        Outcome.MAY_CALL,
        Outcome.CANNOT_TELL,
    ]
    assert found[0].rules == ("us.federal.registry",)
    assert "outside its coverage" in found[2].reason


def test_a_stale_list_holds_back_whoever_is_not_in_it_too(tmp_path: Path) -> None:
    put(tmp_path / "registries", "us-dnc", ["+12025550100"], ("+1202",), date(2026, 1, 1))
    with office(tmp_path) as home:
        (found,) = rulings(home, ["2025550120"])
        assert found == home.decided("2025550120")
    assert found.outcome is Outcome.MUST_NOT


def test_a_list_of_addresses_is_ruled_on_too(tmp_path: Path) -> None:
    with office(tmp_path, home="GB", channel="email", shipped=False) as home:
        home.wish(1, "ann@example.org")
        texts = ["Ann@Example.org", "bob@example.org", "nobody", "2025550120"]
        found = rulings(home, texts)
        assert found == [home.decided(text) for text in texts]
    assert [one.outcome for one in found] == [
        Outcome.MUST_NOT,
        Outcome.MAY_CALL,
        Outcome.CANNOT_TELL,
        Outcome.CANNOT_TELL,
    ]


@pytest.mark.parametrize("purpose", ["service", "survey", "collection", "transactional"])
def test_a_wish_holds_for_the_purposes_and_channels_that_it_names(
    tmp_path: Path, purpose: str
) -> None:
    with office(tmp_path, purpose=purpose, shipped=False) as home:
        home.wish(1, "+12025550121", purposes=frozenset({"survey"}))
        home.wish(2, "+12025550122", channels=frozenset({"sms"}))
        home.wish(3, "+12025550123", tenant=None)
        home.wish(4, "+12025550124", tenant="another")
        home.wish(5, "+12025550125", at=AT + timedelta(minutes=1))
        texts = [f"202555012{last}" for last in range(6)]
        found = rulings(home, texts)
        assert found == [home.decided(text) for text in texts]
    held = [one.outcome is Outcome.MUST_NOT for one in found]
    assert held == [False, purpose == "survey", False, True, False, False]


@pytest.mark.parametrize("live", [True, False])
def test_what_a_clock_ahead_dated_counts_now_and_not_for_another_moment(
    tmp_path: Path, live: bool
) -> None:
    later = AT + timedelta(minutes=5)
    with office(tmp_path, packs=[CAP], shipped=False) as home:
        home.live = live
        home.wish(1, "+12025550120", at=later)
        home.contact("+12025550121", Contact(restricted_since=later))
        for call in range(2):
            one = Attempt(later, "acme", "marketing", answered_at=later)
            home.attempt("+12025550122", one, str(call))
        home.wish(2, "US:12345", at=later)
        texts = ["2025550120", "2025550121", "2025550122", "12345", "2025550123"]
        found = rulings(home, texts)
        assert found == [home.decided(text) for text in texts]
    assert (found[0].outcome is Outcome.MUST_NOT) is live


def test_wishes_of_one_sort_differ_in_their_words(tmp_path: Path) -> None:
    with office(tmp_path, shipped=False) as home:
        for last in range(9):
            day = AT - timedelta(days=last, minutes=last)
            home.wish(last + 1, f"+1202555012{last}", at=day, way=["cli", "line"][last % 2])
        texts = [f"202555012{last}" for last in range(9)]
        found = rulings(home, texts)
        assert found == [home.decided(text) for text in texts]
    assert len({one.reason for one in found}) == 9


def test_a_contact_that_cannot_be_read_cannot_be_told(tmp_path: Path) -> None:
    with office(tmp_path, shipped=False) as home:
        home.contact("+12025550120", Contact(kind="business"))
        with home.database.writing() as connection:
            connection.exec_driver_sql("UPDATE contacts SET known = '{\"kind\": 7}'")
        (found,) = rulings(home, ["2025550120"])
        assert found == home.decided("2025550120")
    assert found.outcome is Outcome.CANNOT_TELL
    assert found.rules == ("gate.facts",)


def test_what_is_entered_meanwhile_is_not_seen(tmp_path: Path) -> None:
    with office(tmp_path, shipped=False) as home:
        judge = home.judge()
        home.wish(1, "+12025550120")
        read = judge.read("2025550120")
        found, some = judge.rule(np.array([read.sort], np.int32), np.array([read.number]))
        assert (judge.rulings[found[0]].outcome, list(some)) == (Outcome.MAY_CALL, [])
        judge.close()


def test_a_pbx_in_another_country_makes_its_emergency_numbers_such(tmp_path: Path) -> None:
    with office(tmp_path, home="US", here="GB", shipped=False) as home:
        texts = ["999", "911", "112", "1-911", "9991234567"]
        assert rulings(home, texts) == [home.decided(text) for text in texts]


def test_what_is_no_number_cannot_be_told_whatever_else_holds_it_back(tmp_path: Path) -> None:
    with office(tmp_path, shown="") as home:
        assert rulings(home, ["n/a", "2025550120000000000"]) == [NO_NUMBER] * 2


def test_many_registries_at_once_are_told_apart(tmp_path: Path) -> None:
    rng = random.Random(5)
    names = [f"list-{letter}" for letter in "abcdef"]
    numbers = [f"+1202555{last:04}" for last in range(200)]
    rule = """
[[rule]]
id = "test.{0}"
kind = "registry"
title = "Not to be called"
citation = "Act, s. 1"
effective_from = 2020-01-01
settings = {{ registry = "{0}" }}
"""
    for name in names:
        covers = tuple(rng.sample(["+12025550", "+12025551", "+1202555009"], 2))
        listed = [one for one in numbers if rng.random() < 0.2 and one.startswith(covers)]
        put(tmp_path / "registries", name, listed, covers)
    pack = 'title = "Test"\n' + "".join(rule.format(name) for name in names)
    with office(tmp_path, packs=[pack], shipped=False) as home:
        texts = [number[2:] for number in numbers]
        assert rulings(home, texts) == [home.decided(text) for text in texts]


@settings(max_examples=300)
@given(drawn_calls.facts, drawn_calls.facts, drawn_rules.rules(tuple(sorted(UNTOUCHED))))
def test_some_kinds_of_rule_look_at_nothing_that_is_kept(
    facts: CallFacts, other: CallFacts, rule: Rule
) -> None:
    rule = replace(rule, exemption=None)
    kept = ("opt_outs", "attempts", "consents", "relationships", "refusals", "restricted_since")
    changed = replace(facts, **{name: getattr(other, name) for name in kept})
    assert judge(changed, [rule]) == judge(facts, [rule])


@settings(max_examples=300)
@given(drawn_calls.facts, drawn_rules.rules(tuple(sorted(set(KINDS) - {"emergency"}))))
def test_no_rule_looks_at_the_digits_of_the_number_called(facts: CallFacts, rule: Rule) -> None:
    assume(facts.direction == "outbound" and facts.called.known)
    other = replace(facts.called, raw="+1", key="+1", e164="+1" if facts.called.e164 else None)
    changed = replace(facts, called=other, subject=other)
    assert judge(changed, [rule]) == judge(facts, [rule])
