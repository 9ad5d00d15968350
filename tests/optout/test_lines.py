"""Files of opt-outs: whatever they hold, every number in its column is read."""

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.optout.events import OptOutError
from callguard.optout.lines import (
    MAX_LINE,
    Asked,
    Entry,
    Fault,
    Layout,
    entries,
    layout_of,
    tidy,
    veiled,
)

NUMBER = "+442079460000"
LAYOUT = Layout(",", {"number": 0})


def reads(text: str) -> bool:
    return text.startswith("+") and text[1:].isdigit()


def read(content: str | bytes, layout: Layout = LAYOUT) -> list[Entry | Fault]:
    raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    return list(entries(io.BytesIO(raw), layout, reads))


@given(st.lists(st.text(alphabet='"",;x\n\r+ ', max_size=12), max_size=30))
def test_no_mark_in_any_note_hides_a_number(notes: list[str]) -> None:
    """Every line that begins with a number is read, whatever quotation is open above it."""
    text = "".join(f"{NUMBER}{n},{note}\n" for n, note in enumerate(notes))
    found = [one.number for one in read(text) if isinstance(one, Entry)]
    for n in range(len(notes)):
        assert f"{NUMBER}{n}" in found


@given(st.binary(max_size=400))
def test_any_bytes_give_lines_or_a_refusal(raw: bytes) -> None:
    with contextlib.suppress(OptOutError):
        layout = layout_of(raw, Asked(), reads)
        for one in read(raw, layout):
            assert one.line >= 1


@given(st.text(max_size=80))
def test_what_is_shown_of_a_bad_cell_is_one_short_line_without_what_it_said(text: str) -> None:
    shown = veiled(text)
    assert shown.isprintable()
    assert len(shown) <= 33
    assert not any(c.isalnum() for c in shown[:-3])


def test_the_number_of_a_line_is_that_of_the_file() -> None:
    text = f'{NUMBER},"two\nlines"\n\n{NUMBER}\nx\n,left out\n'
    found = read(text)
    assert [one.line for one in found] == [1, 4, 5, 6]
    assert isinstance(found[3], Fault)
    assert "nothing in column 1" in found[3].told


def test_a_line_without_end_is_bad_and_the_next_is_read() -> None:
    found = read("x" * (3 * MAX_LINE) + f"\n{NUMBER}\n")
    assert isinstance(found[0], Fault)
    assert found[1] == Entry(2, NUMBER)


@pytest.mark.parametrize(
    ("head", "headed", "column"),
    [
        ("טלפון", True, 0),
        ("n/a", True, 0),
        ("0794600x0", False, 0),  # a number that is mistyped is no name
        (f"Ann,{NUMBER}", False, 1),
        ("name,phone,fax", True, 1),
        ("name,PHONE_NUMBER", True, 1),
        (f"name,x\nAnn,{NUMBER}", True, 1),
    ],
)
def test_the_first_line_is_names_or_a_record(head: str, headed: bool, column: int) -> None:
    layout = layout_of(f"{head}\n".encode(), Asked(), reads)
    assert bool(layout.names) == headed
    assert layout.places["number"] == column


@pytest.mark.parametrize(
    "cell",
    [
        "\u200f+1\u200e",
        '="+1"',
        "'+1",
        ' "+1" ',
        "\u00a0+1",
        "\u202a+1\u202c",
    ],
)
def test_what_stands_around_a_number_is_taken_off(cell: str) -> None:
    assert tidy(cell) == "+1"


def test_only_a_whole_number_loses_its_decimals() -> None:
    assert tidy("442079460000.0") == "442079460000"
    assert tidy("020.7946.0000") == "020.7946.0000"
    assert tidy("4.42E+11") == "4.42E+11"
