"""Rows and fields are those that Python's ``csv`` sees, however a file is cut into blocks."""

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callguard.optout.scrub import rows as module
from callguard.optout.scrub.contract import ScrubError
from callguard.optout.scrub.rows import read_rows

ANY = st.text(st.sampled_from('ab1,;" \t\r\nא'), max_size=60)
FIELD = st.text(st.sampled_from('ab1,;" \nא'), max_size=6)
TABLE = st.lists(st.lists(FIELD, min_size=1, max_size=4), max_size=8)


def read(
    data: bytes, column: int, step: int, delimiter: str = ","
) -> list[tuple[bytes, str | None]]:
    """The rows, with the field of each, of a file that comes a few bytes at a time."""
    found = []
    rest, ahead = b"", data
    while True:
        final = not ahead
        block = read_rows(rest, delimiter, column, final=final)
        for row, (start, end) in enumerate(
            zip(block.starts.tolist(), block.ends.tolist(), strict=True)
        ):
            has = block.lasts[row] >= block.firsts[row]
            found.append((rest[start:end], block.text(row) if has else None))
        if final:
            assert block.used == len(rest)
            return found
        rest, ahead = rest[block.used :] + ahead[:step], ahead[step:]


def by_csv(text: str, column: int, delimiter: str = ",") -> list[str | None]:
    cut = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [row[column] if column < len(row) else None for row in cut if row]


def is_open(text: str) -> bool:
    """Whether a quote is left open at the end."""
    return by_csv(f"{text}\nZZ", 0)[-1:] != ["ZZ"]


@settings(max_examples=400)
@given(ANY, st.integers(0, 3), st.integers(1, 80))
@example('a"b,c\n1,2\n', 1, 3)
@example('"a""b",c\r\n"x\ny",2', 1, 5)
@example("a\rb\r\n\r\n,\n", 0, 1)
@example('a,"b"x\n"c', 1, 100)
@example("\n\na,b\n", 1, 2)
def test_any_text_is_read_as_csv_reads_it(text: str, column: int, step: int) -> None:
    data = text.encode()
    if is_open(text):
        with pytest.raises(ScrubError, match="never closed"):
            read(data, column, step)
        return
    found = read(data, column, step)
    assert [field for _, field in found] == by_csv(text, column)
    assert b"".join(row for row, _ in found).replace(b"\r", b"").replace(b"\n", b"") == (
        data.replace(b"\r", b"").replace(b"\n", b"")
    )


@settings(max_examples=200)
@given(
    TABLE,
    st.integers(0, 3),
    st.integers(1, 80),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_table_that_csv_wrote_comes_back_whole(
    table: list[list[str]], column: int, step: int, ending: str, delimiter: str, quoting: int
) -> None:
    text = io.StringIO()
    csv.writer(
        text,
        delimiter=delimiter,
        lineterminator=ending,
        quoting=quoting,  # type: ignore[arg-type] # one of csv's own
    ).writerows(table)
    data = text.getvalue().encode()
    found = read(data, column, step, delimiter)
    assert [field for _, field in found] == by_csv(text.getvalue(), column, delimiter)
    assert b"".join(row for row, _ in found) == data


def test_the_last_row_needs_no_end() -> None:
    assert read(b"a,1\nb,2", 1, 100) == [(b"a,1\n", "1"), (b"b,2", "2")]


def test_a_nul_and_what_is_no_utf_8_are_bytes_like_others() -> None:
    assert read(b"a,1\x002\nb,\xff3\n", 1, 100) == [
        (b"a,1\x002\n", "1\x002"),
        (b"b,\xff3\n", "\N{REPLACEMENT CHARACTER}3"),
    ]


def test_a_field_of_a_megabyte_is_read() -> None:
    long = b"x" * 1_000_000
    data = b'1,"' + long + b'",2\n1,' + long + b',3\n5" pipe,4,' + long + b"\n"
    assert [field for _, field in read(data, 0, 100_000)] == ["1", "1", '5" pipe']


def test_a_row_without_end_is_refused_before_it_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LONGEST_ROW", 5_000)
    with pytest.raises(ScrubError, match="is a quote left open"):
        read(b'a,b\n1,"' + b"x,y\n" * 5_000, 1, 1_000)


def test_the_csv_module_is_left_as_it_was() -> None:
    before = csv.field_size_limit()
    read(b'5" pipe,1\n', 1, 100)
    assert csv.field_size_limit() == before
