"""Bits files that are not what they should be."""

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.optout.registry.bitmap import Bitmap
from callguard.optout.registry.contract import RegistryError
from callguard.optout.registry.layout import length
from tests.optout.registry.making import build

NUMBERS = (12010000000, 12010010001, 12019999999, 12020000005, 12020030000)
LEAVES, GROUPS = 5, 2
DIRECTORY = 16 + 1250 * LEAVES + 6
COUNTS, TABLES = DIRECTORY + 8 * GROUPS, DIRECTORY + 12 * GROUPS
END = TABLES + 4000 * GROUPS


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    built = build(tmp_path_factory.mktemp("bits"), NUMBERS)
    data = (built.folder / "1.bits").read_bytes()
    assert len(data) == END + 24 == length(GROUPS, LEAVES)
    return data


def put(at: int, form: str, *values: int | bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        struct.pack_into(form, changed, at, *values)
        return bytes(changed)

    return change


def both(*changes: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        for each in changes:
            data = each(data)
        return data

    return change


def entry(group: int, leaf: int) -> int:
    return TABLES + 4000 * group + 4 * leaf


FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "too short"),
    "a head alone": (lambda data: data[:16], "too short"),
    "head and ending alone": (lambda data: data[:16] + data[-24:], "bytes long"),
    "another mark": (put(0, "8s", b"CGBITS\n\n"), "no bits file"),
    "a text": (lambda _: b"2025550123\r\n" * 500, "no bits file"),
    "another version": (put(8, "<I", 2), "version 2"),
    "version zero": (put(8, "<I", 0), "version 0"),
    "no calling code": (put(12, "<I", 0), "0 is no country calling code"),
    "an unknown calling code": (put(12, "<I", 2), "2 is no country calling code"),
    "another calling code": (put(12, "<I", 44), "group 1201 is not of calling code 44"),
    "cut by one byte": (lambda data: data[:-1], "cut off"),
    "cut in half": (lambda data: data[: len(data) // 2], "cut off"),
    "a byte more": (lambda data: data + b"\0", "cut off"),
    "a byte more within": (lambda data: data[:16] + b"\0" + data[16:], "bytes long"),
    "another ending": (put(END + 16, "8s", b"CGBITENE"), "cut off"),
    "a group more": (put(END + 8, "<I", GROUPS + 1), "bytes long"),
    "a group fewer": (put(END + 8, "<I", GROUPS - 1), "bytes long"),
    "very many groups": (put(END + 8, "<I", 2**32 - 1), "bytes long"),
    "a leaf more": (put(END + 12, "<I", LEAVES + 1), "bytes long"),
    "very many leaves": (put(END + 12, "<I", 2**32 - 1), "bytes long"),
    "a number more": (put(END, "<Q", 6), "add up to 6"),
    "very many numbers": (put(END, "<Q", 2**64 - 1), "add up"),
    "something in the padding": (put(DIRECTORY - 1, "B", 1), "not zero"),
    "groups out of order": (put(DIRECTORY, "<QQ", 1202, 1201), "not in order"),
    "a group twice": (put(DIRECTORY, "<QQ", 1201, 1201), "not in order"),
    "a group of another code": (put(DIRECTORY + 8, "<Q", 4420), "group 4420"),
    "a group beyond 15 digits": (put(DIRECTORY + 8, "<Q", 10**8), "group 100000000"),
    "a group beyond everything": (put(DIRECTORY + 8, "<Q", 2**64 - 1), "group 184467"),
    "a group without numbers": (put(COUNTS, "<II", 0, 5), "holds no number"),
    "more than a group can hold": (
        both(put(COUNTS, "<I", 10_000_001), put(END, "<Q", 10_000_003)),
        "more than a group can",
    ),
    "counts that wrap round": (put(COUNTS, "<II", 2**32 - 1, 6), "more than a group can"),
    "another count": (put(COUNTS, "<I", 4), "add up to 5"),
    "a leaf beyond the file": (put(entry(1, 3), "<I", 6), "leaf tables"),
    "a leaf far beyond the file": (put(entry(1, 3), "<I", 2**32 - 1), "leaf tables"),
    "a leaf twice": (put(entry(1, 3), "<I", 4), "leaf tables"),
    "a leaf also elsewhere": (put(entry(1, 4), "<I", 5), "leaf tables"),
    "a leaf nowhere": (put(entry(1, 3), "<I", 0), "leaf tables"),
    "leaves out of order": (
        both(put(entry(0, 0), "<I", 2), put(entry(0, 1), "<I", 1)),
        "leaf tables",
    ),
    "a group without a leaf": (
        both(
            put(entry(1, 0), "<I", 0),
            put(entry(1, 3), "<I", 0),
            put(entry(0, 999), "<III", 3, 0, 0),
            put(entry(0, 997), "<III", 3, 4, 5),
        ),
        "a group has no leaf",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_with_one_fault_is_refused_with_its_name(
    fault: str, whole: bytes, tmp_path: Path
) -> None:
    change, told = FAULTS[fault]
    file = tmp_path / "1.bits"
    file.write_bytes(change(whole))
    with pytest.raises(RegistryError, match=told) as caught:
        Bitmap.open(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="No such file"):
        Bitmap.open(tmp_path / "1.bits")
    with pytest.raises(RegistryError, match="is no file"):
        Bitmap.open(tmp_path)
    with pytest.raises(RegistryError, match="null"):
        Bitmap.open(tmp_path / "1\0.bits")


@pytest.mark.parametrize(
    ("at", "told"), [(16, "empty leaf"), (16 + 1250 + 7, "group 1201 holds 4, not 3")]
)
def test_counting_the_bits_finds_what_the_structure_does_not_show(
    at: int, told: str, whole: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "1.bits"
    file.write_bytes(put(at, "B", 0 if at == 16 else 128)(whole))
    bitmap = Bitmap.open(file)
    with pytest.raises(RegistryError, match=told):
        bitmap.check_counts()


@settings(max_examples=300)
@given(st.data())
def test_any_bytes_are_a_bitmap_or_refused(whole: bytes, data: st.DataObject) -> None:
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 4))):
        # the directory is as likely to be hit as the leaves
        at = data.draw(st.integers(0, 15) | st.integers(DIRECTORY - 6, TABLES + 40)
                       | st.integers(END - 8, END + 23) | st.integers(0, END + 23))  # fmt: skip
        what = data.draw(st.binary(min_size=1, max_size=8))
        changed[at : at + len(what)] = what
    changed = changed[: data.draw(st.integers(0, len(changed)) | st.just(len(changed)))]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "1.bits"
        file.write_bytes(changed)
        try:
            bitmap = Bitmap.open(file)
        except RegistryError:
            return
        probes = [*NUMBERS, 0, 9_999_999, 12029999999, 19999999999, 2**62]
        found = bitmap.holds_many(np.array(probes))
        assert found.tolist() == [bitmap.holds(number) for number in probes]
        bitmap.count_prefix("+1201")
        bitmap.close()
