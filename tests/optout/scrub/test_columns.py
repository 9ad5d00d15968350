"""How a list is written is told from its beginning."""

import pytest

from callguard.optout.scrub.columns import Layout, layout_of
from callguard.optout.scrub.contract import ScrubError
from callguard.policy.numbers import parse_number


def is_number(text: str) -> bool:
    return parse_number(text, "US").known


def told(text: str | bytes, **asked: object) -> Layout:
    data = text.encode() if isinstance(text, str) else text
    return layout_of(data, whole=True, is_number=is_number, **asked)  # type: ignore[arg-type] # as the caller has them


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [
        ("phone", ","),
        ("Telephone", ";"),
        ("TEL", "\t"),
        ("Phone number", "|"),
        ("mobile", ","),
        ("Telefon", ";"),
        ("telefoon", ";"),
        ("Téléphone", ","),
        ("телефон", ","),
        ("מספר טלפון", ","),
        ("tel.", ","),
    ],
)
def test_the_column_is_found_by_its_name(name: str, delimiter: str) -> None:
    row = delimiter.join(["7", "Ann", "2025550123", "3055550100"])
    heading = delimiter.join(["id", "name", name, "note"])
    found = told(f"{heading}\n{row}\n")
    assert found == Layout(delimiter, 2, True, name, 0)


def test_the_column_is_found_by_what_stands_in_it() -> None:
    assert told("a,b,c\n1,x,(202) 555-0123\n2,y,\n3,z,202-555-0124\n").column == 2
    assert told("1,x,(202) 555-0123\n2,y,(202) 555-0124\n") == Layout(",", 2, False, "3", 0)


def test_a_name_that_holds_no_numbers_is_not_enough() -> None:
    assert told("phone type,contact\nhome,2025550123\nwork,2025550124\n").column == 1


def test_a_list_of_numbers_alone_has_one_column() -> None:
    assert told("2025550123\n2025550124\n") == Layout(",", 0, False, "1", 0)
    assert told("+1 (202) 555-0123\n") == Layout(",", 0, False, "1", 0)


def test_what_is_given_is_not_guessed() -> None:
    text = "phone,other\n2025550123,3055550100\n"
    assert told(text, column="other").column == 1
    assert told(text, column="2").column == 1
    assert told(text, column="2").name == "other"
    assert told(text, column="PHONE ").column == 0
    assert not told("nobody,x\n2025550123,y\n", column="1", header=False).header
    assert told("a;b,c\n1;2,3\n", delimiter=",", column="1").delimiter == ","


def test_a_heading_alone_is_a_list_with_nobody_on_it() -> None:
    assert told("id,phone\n") == Layout(",", 1, True, "phone", 0)
    assert told("") == Layout(",", 0, False, "1", 0)


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert told(b"\xef\xbb\xbfphone,x\n2025550123,1\n") == Layout(",", 0, True, "phone", 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("phone\n2025550123\n".encode("utf-16"), "UTF-16"),
        ("phone\n2025550123\n".encode("utf-16-le"), "UTF-16"),
        ("phone\n2025550123\n".encode("utf-16-be"), "UTF-16"),
        (b"id,name\n1,Ann\n2,Bob\n", "--column"),
        (b'"id,phone\n1,2025550123\n', "quote left open"),
    ],
)
def test_what_cannot_be_told_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ScrubError, match=reason):
        told(data)


@pytest.mark.parametrize("column", ["cell", "3", "0"])
def test_a_column_that_is_not_there_is_refused(column: str) -> None:
    with pytest.raises(ScrubError, match="there is no column"):
        told("id,phone\n1,2025550123\n", column=column)


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "א"])
def test_a_delimiter_that_is_none_is_refused(delimiter: str) -> None:
    with pytest.raises(ScrubError, match="no delimiter"):
        told("id,phone\n1,2025550123\n", delimiter=delimiter)
