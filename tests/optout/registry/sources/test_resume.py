"""A list taken up again where it was left."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from callguard.config import RegistryList
from callguard.optout.registry.contract import Format, RegistryError, Tally
from callguard.optout.registry.sources import open_sources
from tests.optout.registry.sources.texts import Read, copy_of, drained, read_files, zip_of

LINES = 700
US = "".join(
    f"{201 + (n > 600)},{2_000_000 + n}\r\n" if n % 50 else "foo\n" for n in range(1, LINES)
)
TEXTS: dict[Format, str] = {
    "us-dnc": US,
    "uk-tps": "".join(f"01632 {960_000 + n}\r\n" if n % 70 else "foo\r\n" for n in range(1, LINES)),
    "e164": "# ours\n"
    + "".join(f"+4420794{n:05}\n" if n % 60 else "foo\n" for n in range(1, LINES)),
    "csv": "\ufeffnumber,name\n"
    + "".join(f'+4420794{n:05},"a,b"\n' if n % 60 else "foo,x\n" for n in range(1, LINES)),
    "changes": "number,action\n"
    + "".join(f"+4420794{n:05},{'AD'[n % 2]}\n" if n % 60 else "foo\n" for n in range(1, LINES)),
}
WAYS: dict[str, Callable[[Path, bytes], Path]] = {
    "plain": lambda folder, text: _written(folder / "list.txt", text),
    "gzip": lambda folder, text: _written(folder / "list.gz", gzip.compress(text)),
    "zip": lambda folder, text: zip_of(folder / "list.zip", {"list.txt": text}),
}


def _written(path: Path, text: bytes) -> Path:
    path.write_bytes(text)
    return path


def resumed(path: Path, form: Format, offset: int, tally: Tally, block: int) -> Read:
    found = Read()
    for source in open_sources([path], RegistryList(), form, block):
        source.resume(offset, copy_of(tally))
        drained(source, found)
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", TEXTS)
@pytest.mark.parametrize("block", [400, 1000])
def test_taken_up_behind_any_batch_the_rest_and_the_tally_are_the_same(
    tmp_path: Path, way: str, form: Format, block: int
) -> None:
    path = WAYS[way](tmp_path, TEXTS[form].encode())
    whole = read_files([path], form, block=block)
    assert len(whole.batches) > 5
    done = 0
    for batch, tally in whole.batches:
        done += len(batch.numbers)
        rest = resumed(path, form, batch.offset, tally, block + 77)
        assert rest.numbers == whole.numbers[done:]
        assert rest.removed == whole.removed[done:]
        assert rest.tally == whole.tally
        assert rest.source.covers == whole.source.covers
        assert rest.source.digest() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_from_its_beginning_it_is_the_whole(tmp_path: Path) -> None:
    path = _written(tmp_path / "list.csv", TEXTS["csv"].encode())
    whole = read_files([path], "csv")
    again = resumed(path, "csv", 0, Tally(), 100)
    assert (again.numbers, again.tally) == (whole.numbers, whole.tally)


def test_what_was_read_before_still_counts_for_what_the_list_is_about(tmp_path: Path) -> None:
    far = b"201,5550123\n" * 9_000  # more than is looked at beforehand
    path = _written(tmp_path / "list.txt", far + b"202,5550123\n" + far)
    assert resumed(path, "us-dnc", 12 * 9_500, Tally(lines=9_500), 6_000).source.covers == ()


def test_what_was_bad_before_still_counts_for_a_mixture(tmp_path: Path) -> None:
    text = b"201,5550123\n" * 40 + b"2015550123\n" * 5
    path = _written(tmp_path / "list.txt", text + b"201,5550123\n" * 600 + b"2015550123\n" * 5)
    source = next(sources := open_sources([path], RegistryList(), "us-dnc", 480))
    for batch in source.batches():
        if batch.offset > len(text):
            break
    sources.close()
    with pytest.raises(RegistryError, match="it is mixed"):
        resumed(path, "us-dnc", batch.offset, source.tally, 480)


@pytest.mark.parametrize(
    ("offset", "said"), [(13, "not the file that was begun with"), (12 * 30, "shorter than what")]
)
def test_another_file_in_its_place_is_refused(tmp_path: Path, offset: int, said: str) -> None:
    path = _written(tmp_path / "list.txt", b"201,5550123\n" * 20)
    with pytest.raises(RegistryError, match=said):
        resumed(path, "us-dnc", offset, Tally(lines=1), 1000)


def test_taken_up_behind_its_last_line_nothing_is_left(tmp_path: Path) -> None:
    path = _written(tmp_path / "list.txt", b"201,5550123\n" * 20)
    found = resumed(path, "us-dnc", 12 * 20, Tally(lines=20), 48)
    assert (found.numbers, found.tally.lines) == ([], 20)
