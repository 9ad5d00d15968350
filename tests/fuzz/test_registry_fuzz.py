"""Any bytes are batches of numbers or a RegistryError of one line, soon, in bounded memory."""

import gzip
import io
import random
import re
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from callguard.config import RegistryList
from callguard.optout.registry.contract import FORMATS, SHOWN, Format, RegistryError
from callguard.optout.registry.sources import open_sources

BYTES = 1_000_000
MEMORY = 64 << 20
NAMES = ("list.txt", "2026-11-1_201_x.txt", "list.zip", "list.gz", "list.csv")
SEEDS: dict[Format, bytes] = {
    "us-dnc": b"".join(b"201,%07d\n" % n for n in range(5_550_000, 5_550_200)),
    "uk-tps": b"".join(b"01632 %06d\r\n" % n for n in range(960_000, 960_200)),
    "e164": b"# ours\n" + b"".join(b"+4420794%05d\n" % n for n in range(200)),
    "csv": b"number;name\n" + b"".join(b'"+4420794%05d";"a;b"\n' % n for n in range(200)),
    "changes": b"".join(b"+4420794%05d,%c,2026\n" % (n, b"AD"[n % 2]) for n in range(200)),
}
PIECES = (
    *(
        b"\n",
        b"\r\n",
        b"\r",
        b"\0",
        b",",
        b";",
        b"\t",
        b'"',
        b'""',
        b" ",
        b"#",
        b"+",
        b"-",
        b"\x1a",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xe9",
        b"\xd7\x90",
        b"\xd9\xa1",
        b"0",
        b"9" * 20,
        b"x" * 5000,
    ),
    *(
        b"201,5550123\n",
        b"202,5550123\n",
        b"01632 960123\r\n",
        b"+12015550123\n",
        b"number,action\n",
    ),
    *(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"\x1f\x8b", b"\xff\xff\xff\xff", b"\n" * 500),
)
SETTINGS = (
    RegistryList(),
    RegistryList(number="number", action="action", region="GB"),
    RegistryList(number=2, action=1, delimiter=";", covers=("+44", "+1201")),
    RegistryList(number="1+2", action=3, region="US"),
)


ESCAPE = re.compile(r"\\(x[0-9a-f]{0,2}|u[0-9a-f]{0,4}|U[0-9a-f]{0,8})")


def mutated(rng: random.Random, text: bytes) -> bytes:
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        at = rng.randrange(len(text) + 1)
        match rng.randrange(5):
            case 0:
                text = text[:at] + rng.choice(PIECES) * rng.choice((1, 1, 1, 12)) + text[at:]
            case 1:
                text = text[:at] + text[at + rng.choice((1, 3, 20, 2000)) :]
            case 2:
                text = text[:at] + rng.randbytes(rng.choice((1, 1, 4, 40))) + text[at + 1 :]
            case 3:
                text = text[:at]
            case _:
                start = rng.randrange(len(text) + 1)
                text = text[:at] + text[start : start + rng.randrange(300)] + text[at:]
    return text


def packed(rng: random.Random, text: bytes) -> bytes:
    """The text, or an archive of it which may be damaged too."""
    match rng.randrange(4):
        case 0:
            out = io.BytesIO()
            method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            with zipfile.ZipFile(out, "w", method) as archive:
                for name in rng.sample(NAMES, rng.choice((1, 1, 2))):
                    archive.writestr(name, text)
            return mutated(rng, out.getvalue())
        case 1:
            return mutated(rng, gzip.compress(text, 1))
        case _:
            return text


def files(rng: random.Random, form: Format) -> Iterator[bytes]:
    while True:
        if rng.randrange(6):
            yield packed(
                rng, mutated(rng, SEEDS[rng.choice(FORMATS) if rng.random() < 0.2 else form])
            )
        else:
            yield packed(rng, b"".join(rng.choices(PIECES, k=rng.randrange(100))))


@pytest.mark.parametrize("form", FORMATS)
def test_any_bytes_are_numbers_or_one_line_that_refuses_them(tmp_path: Path, form: Format) -> None:
    rng = random.Random(f"registry {form}")
    done = taken = refused = 0
    began = time.monotonic()
    tracemalloc.start()
    try:
        for raw in files(rng, form):
            path = tmp_path / rng.choice(NAMES)
            path.write_bytes(raw)
            try:
                read(path, form, rng)
                taken += 1
            except RegistryError as error:
                check(str(error))
                refused += 1
            done += len(raw)
            if done > BYTES:
                break
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert taken > 5
    assert refused > 5
    assert time.monotonic() - began < 120


def check(said: str) -> None:
    assert said.isprintable(), repr(said)
    assert len(said) < 1_000


def read(path: Path, form: Format, rng: random.Random) -> None:
    block = rng.choice((50, 700, 1 << 20))
    for source in open_sources([path], rng.choice(SETTINGS), form, block):
        offset = 0
        for batch in source.batches():
            assert batch.offset > offset
            offset = batch.offset
            assert (batch.removed is not None) == (form == "changes")
            assert ((batch.numbers > 0) & (batch.numbers < 10**15)).all()
        tally = source.tally
        assert len(tally.bad) == min(tally.bad_lines, SHOWN)
        assert tally.bad_lines <= tally.lines
        assert all(bad.text.isprintable() and len(bad.text) <= 40 for bad in tally.bad)
        shown = [ESCAPE.sub("", bad.text) for bad in tally.bad]
        assert all(sum(char.isnumeric() for char in text) <= 2 for text in shown), shown
        assert len(source.digest()) == 64
