"""The flat files of the National Do Not Call Registry."""

import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.optout.registry.contract import RegistryError
from callguard.optout.registry.sources.lines import MAX_LINE
from tests.optout.registry.sources.texts import NAMED, Read, read_files, read_text, zip_of

GOOD = st.builds(
    "{}{:02},{}{:06}".format,
    st.integers(2, 9),
    st.integers(0, 99),
    st.integers(2, 9),
    st.integers(0, 999_999),
)
OF_201 = st.builds("201,{}{:06}".format, st.integers(2, 9), st.integers(0, 999_999))
BAD = st.sampled_from(
    [
        "foo",
        "101,5550123",
        "201,1550123",
        "201,555012",
        "201,55501234",
        "201;5550123",
        "201,555012x",
        "x01,5550123",
        "201,55\u0661\u06620123",
        "2015",
        "201,5550123,1",
        " 201,5550123",
        "-",
        ",",
        "#",
    ]
)
EMPTY = st.sampled_from(["", " ", "\t"])
ENDS = st.sampled_from(["\n", "\r\n", " \r\n", "  \n"])


def plainly(text: str) -> list[int]:
    lines = (line.rstrip(" \t\r") for line in text.split("\n"))
    return [
        int("1" + line.replace(",", ""))
        for line in lines
        if re.fullmatch(r"[2-9][0-9]{2},[2-9][0-9]{6}", line)
    ]


def read(folder: Path, text: str, block: int = 1 << 20, name: str = "list.txt") -> Read:
    return read_text(folder, text.encode(), "us-dnc", block=block, name=name)


@given(lines=st.lists(st.tuples(GOOD, ENDS), min_size=1, max_size=60), block=st.integers(1, 300))
def test_what_comes_out_is_what_a_plain_reader_finds_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]], block: int
) -> None:
    text = "".join(line + end for line, end in lines)
    found = read(tmp_path_factory.mktemp("us"), text, block)
    assert found.numbers == plainly(text)
    assert (found.tally.lines, found.tally.bad_lines) == (len(lines), 0)


@given(
    lines=st.lists(GOOD, min_size=1, max_size=60),
    end=st.sampled_from(["\n", "\r\n"]),
    block=st.integers(1, 300),
    closed=st.booleans(),
)
def test_lines_that_all_end_alike_are_read_the_same(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str, block: int, closed: bool
) -> None:
    text = end.join(lines) + (end if closed else "")
    assert read(tmp_path_factory.mktemp("us"), text, block).numbers == plainly(text)


@given(data=st.data(), block=st.integers(1, 300))
def test_bad_lines_anywhere_are_counted_and_the_rest_is_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, block: int
) -> None:
    good = data.draw(st.lists(OF_201, min_size=30, max_size=50))
    lines = [(line, False) for line in good]
    for bad in data.draw(st.lists(BAD, min_size=0, max_size=9, unique=True)):
        lines.insert(data.draw(st.integers(0, len(lines))), (bad, True))
    for empty in data.draw(st.lists(EMPTY, max_size=4)):
        lines.insert(data.draw(st.integers(0, len(lines))), (empty, False))
    while lines[0][1] and not re.search("[0-9]", lines[0][0]):
        lines.append(lines.pop(0))  # it would be a heading
    text = "".join(line + "\n" for line, _ in lines)
    found = read(tmp_path_factory.mktemp("us"), text, block, NAMED)
    assert found.numbers == plainly(text)
    wrong = [place for place, (_, bad) in enumerate(lines, 1) if bad]
    assert [line for line, _ in found.bad] == wrong
    assert (found.tally.lines, found.tally.bad_lines) == (len(lines), len(wrong))


def test_the_first_hundred_bad_lines_are_kept_masked_and_cut(tmp_path: Path) -> None:
    good = "201,5550123\n" * 500
    bad = "".join(f"2015550{n:03} \x1b[31m caf\u00e9 {'y' * 60}\n" for n in range(150))
    found = read(tmp_path, good + bad)
    assert (found.tally.bad_lines, len(found.bad)) == (150, 100)
    assert found.bad[0][0] == 501
    for line, text in found.bad:
        assert len(text) <= 40
        assert text.startswith("*" * 10 + r" \x1b[31m"), line
    found = read(tmp_path, good + "201-555-0199 x\n")
    assert found.bad == [(501, "***-***-**99 x")]


def test_the_name_says_the_date_and_the_area_code(tmp_path: Path) -> None:
    found = read(tmp_path, "201,5550123\n", name=NAMED)
    assert found.source.covers == ("+1201",)
    assert found.source.list_date == date(2026, 11, 1)
    inside = zip_of(tmp_path / "download.zip", {NAMED: b"201,5550124\n"})
    source = read_files([inside], "us-dnc").source
    assert (source.covers, source.list_date) == (("+1201",), date(2026, 11, 1))
    outside = zip_of(tmp_path / f"{NAMED}.zip", {"list.txt": b"201,5550125\n"})
    source = read_files([outside], "us-dnc").source
    assert (source.covers, source.list_date) == (("+1201",), date(2026, 11, 1))


@pytest.mark.parametrize("name", ["list.txt", "2026-11-1_all.txt", "2026-11-1_2015_x.txt"])
def test_without_a_code_in_its_name_a_file_covers_the_only_code_in_it(
    tmp_path: Path, name: str
) -> None:
    one = read(tmp_path, "201,5550123\n201,5550124\n", 12, name)
    assert one.source.covers == ("+1201",)
    several = read(tmp_path, "201,5550123\n202,5550124\n201,5550125\n", 12, name)
    assert several.source.covers == ()
    assert several.numbers == [12015550123, 12025550124, 12015550125]


def test_a_heading_is_passed_over(tmp_path: Path) -> None:
    found = read(tmp_path, "area_code,number\n201,5550123\nfoo\n201,5550124\n")
    assert found.numbers == [12015550123, 12015550124]
    assert found.bad == [(3, "foo")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("202,5550123\n" * 3, "line 1: is of area code 202, but the file is named for 201"),
        ("201,5550123\n" * 3 + "x\n202,5550123\n", "line 5: is of area code 202"),
        ("201,5550123\n" * 7000 + "202,5550123\n", "line 7001: is of area code 202"),
        ("201,5550123\n" * 7000 + "x\n" + "202,5550123\n", "line 7002: is of area code 202"),
        ("201,5550123\n201,55501", "line 2: has no line break and is cut off"),
        ("201,5550123\n201,5550124\n20", "line 3: has no line break and is cut off"),
        ("", "is empty"),
        ("\n\n\n", "holds no number"),
        ("area,number\n", "holds no number"),
        (
            "+12015550123\n" * 9,
            "line 1: is none of us-dnc: 9 of the first 9 lines hold no number; ",
        ),
        ("+12015550123\n" * 9, "it looks like e164"),
        ("01632 960123\r\n" * 9, "it looks like uk-tps"),
        ("a,+12015550123,b\n1,+12015550124,c\n" * 9, "is none of us-dnc"),
        ("+12015550123;b\n" * 9, "it looks like csv"),
        ("foo\n" * 9, "is none of us-dnc: 8 of the first 8 lines hold no number"),
        ("201,5550123\n" * 50 + "2015550123\n" * 10, "line 60: is of e164, but the file of us-dnc"),
        ("201,5550123\n" * 50 + "2015550123\n" * 2, "line 52: is of e164"),
        ("201,5550123\n" * 50 + "01632 960123\n" * 10, "line 60: is of uk-tps"),
        ("201,5550123\n" + "x" * (MAX_LINE + 1) + "\n", f"line 2: is longer than {MAX_LINE} bytes"),
        ("201,5550123\n" + "x" * (MAX_LINE + 1), f"line 2: is longer than {MAX_LINE} bytes"),
        ("201,5550123\n" * 9000 + "x" * (MAX_LINE + 1), "line 9001: is longer than"),
        ("201,5550123\r" * 900, f"line 1: is longer than {MAX_LINE} bytes"),
        ("201,5550123\n\0\n", "line 2: holds NUL bytes"),
        ("201,5550123\n" * 9000 + "\0\n", "line 9001: holds NUL bytes"),
    ],
)
@pytest.mark.parametrize("block", [100, 1 << 20])
def test_what_is_no_such_list_is_refused_with_file_and_line(
    tmp_path: Path, text: str, said: str, block: int
) -> None:
    with pytest.raises(RegistryError) as refused:
        read(tmp_path, text, block, NAMED)
    assert said in str(refused.value)
    assert str(refused.value).startswith(NAMED)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("lines", [1, 9000])
@pytest.mark.parametrize("wide", ["utf-16", "utf-16-be", "utf-32", "cp1255"])
def test_text_that_is_not_utf_8_is_refused(tmp_path: Path, lines: int, wide: str) -> None:
    text = "201,5550123\n" * lines
    tail = "\u05e9\u05dc\u05d5\u05dd\n"
    raw = text.encode() + tail.encode(wide) if wide == "cp1255" else (text + tail).encode(wide)
    with pytest.raises(RegistryError, match=r"UTF-16|NUL bytes|neither ASCII nor UTF-8"):
        read_text(tmp_path, raw, "us-dnc")


def test_a_line_break_that_lost_its_newline_joins_no_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, "201,5550123\n" * 9 + "201,5550124\r201,5550125\n")
    assert found.numbers == [12015550123] * 9
    assert found.bad == [(10, r"***,*******\r***,*****25")]


def test_a_mark_of_utf_8_and_an_end_mark_of_dos_are_no_lines(tmp_path: Path) -> None:
    raw = b"\xef\xbb\xbf201,5550123\r\n201,5550124\r\n\x1a"
    found = read_text(tmp_path, raw, "us-dnc", block=5)
    assert found.numbers == [12015550123, 12015550124]
    assert found.tally.bad_lines == 0


def test_one_line_of_another_format_is_a_bad_line_like_others(tmp_path: Path) -> None:
    found = read(tmp_path, "201,5550123\n" * 50 + "2015550123\n" + "201,5550124\n" * 50)
    assert found.bad == [(51, "********23")]


@pytest.mark.parametrize(
    "name", ["2026-2-30_201_x.txt", "2026-13-1_201_x.txt", "0000-1-1_201_x.txt"]
)
def test_a_date_that_no_calendar_has_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RegistryError, match="no calendar"):
        read(tmp_path, "201,5550123\n", name=name)


def test_an_archive_named_otherwise_than_its_file_is_refused(tmp_path: Path) -> None:
    for other, what in (("2026-11-1_202_x.zip", "area code"), ("2026-11-2_201_x.zip", "date")):
        path = zip_of(tmp_path / other, {NAMED: b"201,5550123\n"})
        with pytest.raises(RegistryError, match=f"its name says {what}"):
            read_files([path], "us-dnc")


def test_one_area_code_twice_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    first, second = tmp_path / "2026-11-1_201_a.txt", tmp_path / "2026-11-1_201_b.txt"
    first.write_bytes(b"nothing of a list")
    second.write_bytes(b"201,5550123\n")
    with pytest.raises(RegistryError, match=r"201_b.txt: is for \+1201, as is .*201_a.txt"):
        read_files([first, second], "us-dnc")
    within = zip_of(
        tmp_path / "all.zip",
        {"2026-11-1_201_a.txt": b"201,5550123\n", "2026-11-1_201_b.txt": b"201,5550124\n"},
    )
    with pytest.raises(RegistryError, match=r"is for \+1201, as is"):
        read_files([within], "us-dnc")


def test_one_area_code_twice_is_refused_where_only_the_lines_tell_it(tmp_path: Path) -> None:
    plain = tmp_path / "list.txt"
    plain.write_bytes(b"201,5550124\n")
    named = tmp_path / NAMED
    named.write_bytes(b"201,5550123\n")
    for order in ([plain, named], [named, plain]):
        with pytest.raises(RegistryError, match=r"is for \+1201, as is"):
            read_files(order, "us-dnc")
