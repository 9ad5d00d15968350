"""Plain numbers are told by their shape, and nothing else is taken for one."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.optout.scrub import shapes as module
from callguard.optout.scrub.rows import read_rows
from callguard.optout.scrub.shapes import shapes

SHAPE = re.compile(r"\+?\(?[0-9][0-9 ().\-/]*")
CELLS = st.lists(
    st.one_of(
        st.text(st.sampled_from("+( )-./0123456789"), max_size=26),
        st.text(st.sampled_from("+ 0123456789x\tא"), max_size=16),
        st.from_regex(r"\A ?\+?\(?[0-9]{3}\)? ?[0-9]{3}[-. /][0-9]{4}\Z"),
        st.from_regex(r"\A\+?[0-9]{7,15}\Z"),
    ),
    max_size=30,
)


def told(cells: list[str]) -> dict[int, tuple[bool, int, int]]:
    data = "".join(f"{cell},z\n" for cell in cells).encode()
    block = read_rows(data, ",", 0, final=True)
    found = {}
    for group in shapes(block):
        for row, value in zip(group.rows.tolist(), group.values.tolist(), strict=True):
            assert row not in found
            found[row] = (group.plus, group.digits, value)
    return found


@settings(max_examples=300)
@given(CELLS)
def test_what_is_told_is_what_stands_there(cells: list[str]) -> None:
    for row, (plus, count, value) in told(cells).items():
        text = cells[row].strip()
        assert SHAPE.fullmatch(text)
        digits = re.sub(r"\D", "", text)
        assert (plus, count, value) == (text[0] == "+", len(digits), int(digits))


@settings(max_examples=300)
@given(CELLS)
def test_every_plain_number_of_a_fitting_length_is_told(cells: list[str]) -> None:
    found = told(cells)
    for row, cell in enumerate(cells):
        text = cell.strip(" ")
        plain = SHAPE.fullmatch(text) and 7 <= sum(c.isdigit() for c in text) <= 15
        if plain and len(cell) <= 24 and not cell.startswith("   "):
            assert row in found


def test_more_ways_of_writing_than_are_followed_are_left_over() -> None:
    cells = [f"{'0' * (place % 8 + 1)}{' ' * (place // 8)}1234567" for place in range(70)]
    assert len(told(cells)) <= len(cells)
    assert len(told([cell.replace("1", "2") for cell in cells[: module.FORMATS]])) > 8
