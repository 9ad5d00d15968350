"""A scrub says of every number exactly what the gate would, whatever is known of it."""

import csv
import io
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import phonenumbers
import pytest

from callguard.contacts.contact import Contact
from callguard.optout.scrub.contract import Outcome, Ruling
from callguard.policy.facts import Attempt, GivenConsent, Relationship
from callguard.policy.numbers import parse_number
from tests.gate.scrubbed import AT, Office, Scrubbed, office
from tests.optout.registry.shelves import put

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
