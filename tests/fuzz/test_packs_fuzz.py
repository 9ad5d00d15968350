"""Any text and any bytes are a Pack or a PackError, whose every fault says file and line, soon."""

import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from callguard.policy.packs import MAX_LINE, MAX_PACK, Pack, PackError, all_packs, parse_pack
from callguard.policy.rules import Rule

BYTES = 4_000_000
SEED = '''\
title = "Seed"
regions = ["US"]

[[rule]]
id = "seed.hours"
kind = "calling_hours"
title = "Hours"
citation = """
of several lines"""
effective_from = 2024-01-01
effective_to = 2025-12-31
status = "verified"
verified_on = 2026-11-21
source = "here"
series = "seed.hours"
on_unknown = "pass"
cause = 21
prompt = "blocked-hours"
scope = { subdivisions = ["US-FL"], purposes = ["marketing"], lines = ["mobile"] }
settings = { hours = { weekdays = ["08:00-21:00"] }, zone = "Europe/Paris", holidays = "US-FL" }

[[rule]]
id = "seed.limit"
kind = "attempts"
title = "Limit"
citation = "c"
effective_from = 2024-01-01
[rule.settings]
limit = 3
window = "30d"
per = "tenant"
[rule.unless]
consent = "marketing"
valid = "12mo"
[[rule.unless.relationships]]
kind = "purchase"
within = "18mo"
'''
TOKENS = (
    *("\n", "\r\n", "\r", " ", "\t", "\x00", "\x1b", "\u2028", "\x85", "\ud800", "é", '"', "'"),
    *('"""', "'''", "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "#", "\\", "\\u0000", "a.b.c"),
    *("[[rule]]\n", "[rule]\n", "[rule.scope]\n", "[rule.settings]\n", 'id = "x.y"\n', "rule = []"),
    *(
        "nan",
        "-inf",
        "1e999",
        "0x7f",
        "9" * 30,
        "-1",
        "true",
        "2024-01-01",
        "25:00:00",
        "0000-00-00",
    ),
    *("settings = 1\n", "scope = []\n", "unless = {}\n", "Europe", "../x", "utils", "US-", "gb"),
    *(
        'kind = "registry"\n',
        'kind = "abandonment"\n',
        "0d",
        "99999mo",
        "24:00-24:00",
        "00:00-24:00",
    ),
)
FAULT = re.compile(r"(?:[^\n]*/)?[a-z]+\.toml:([1-9][0-9]*): [^\n]+")


def mutated(rng: random.Random, seed: str) -> str:
    """The seed with a few places cut, doubled, or broken by telling pieces."""
    text = seed
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(text) + 1)
        match rng.randrange(5):
            case 0:
                text = text[:at] + rng.choice(TOKENS) * rng.choice((1, 1, 1, 40)) + text[at:]
            case 1:
                text = text[:at] + text[at + rng.choice((1, 3, 20, 200)) :]
            case 2:
                text = text[:at] + chr(rng.randrange(0x250)) + text[at + 1 :]
            case 3:
                start = rng.randrange(len(text) + 1)
                text = text[:at] + text[start : start + rng.randrange(300)] + text[at:]
            case _:
                value = rng.choice(TOKENS)
                values = list(re.finditer(r"= (.*)", text))
                if values:
                    found = rng.choice(values)
                    text = text[: found.start(1)] + value + text[found.end(1) :]
    return text


def texts(rng: random.Random) -> Iterator[str]:
    while True:
        if rng.randrange(8):
            yield mutated(rng, SEED)
        else:
            yield "".join(rng.choices(TOKENS, k=rng.randrange(200)))


def check(error: PackError, lines: int) -> None:
    assert error.faults
    assert str(error) == error.faults[0]
    for fault in error.faults:
        found = FAULT.fullmatch(fault)
        assert found, fault
        assert int(found[1]) <= lines
        assert fault.isprintable()


def check_pack(pack: Pack) -> None:
    assert len(pack.lines) == len(pack.rules)
    assert all(isinstance(rule, Rule) and rule.citation for rule in pack.rules)


@pytest.mark.parametrize("seed", [1, 2])
def test_any_text_is_a_pack_or_faults_with_their_lines(seed: int) -> None:
    rng = random.Random(seed)
    eaten = read = refused = 0
    for text in texts(rng):
        try:
            check_pack(parse_pack("seed", text))
            read += 1
        except PackError as error:
            check(error, text.count("\n") + 1)
            refused += 1
        eaten += len(text)
        if eaten >= BYTES:
            break
    assert read > 20
    assert refused > 100


def test_any_bytes_in_a_folder_are_packs_or_faults_with_their_lines(tmp_path: Path) -> None:
    rng = random.Random(3)
    file = tmp_path / "seed.toml"
    refused = 0
    for text in texts(rng):
        data = bytearray(text.encode(errors="replace"))
        for _ in range(rng.randrange(3)):
            at = rng.randrange(len(data) + 1)
            data[at:at] = rng.randbytes(rng.randrange(1, 4))
        file.write_bytes(data)
        try:
            check_pack(all_packs(tmp_path)[-1])
        except PackError as error:
            check(error, data.count(b"\n") + 1)
            refused += 1
        if refused == 60:
            break


FULL = MAX_PACK - 20
HOSTILE = {
    "rules of nothing": "[[rule]]\n" * (FULL // 9),
    "rules of one id": '[[rule]]\nid="a.b"\n' * (FULL // 18),
    "keys that are none": "title='x'\n" + "".join(f"k{n}=1\n" for n in range(FULL // 12)),
    "keys that are none, of a rule": "title='x'\n[[rule]]\n"
    + "".join(f"k{n}=1\n" for n in range(FULL // 12)),
    "dotted keys": (
        "".join(f"k{n}{'.a' * (MAX_LINE // 2 - 5)}=1\n" for n in range(FULL // MAX_LINE))
    ),
    "dotted tables": "".join(
        f"[k{n}{'.a' * (MAX_LINE // 2 - 5)}]\n" for n in range(FULL // MAX_LINE)
    ),
    "brackets": "a=" + "[\n" * (FULL // 2),
    "braces": "a=" + "{a=" * (MAX_LINE // 4),
    "a number": "a=" + "9" * (MAX_LINE - 10),
    "one line": "a" * FULL,
    "open quotes": ("a='''" + "x" * 900 + "\n") + '"' * 900 + "\n",
    "escapes": 'a="' + '\\"' * 450 + "\n" + ('"' + '\\"' * 450 + "\n") * (FULL // 1000),
    "half a header": ("[" + "a . " * 240 + "\n") * (FULL // 1000),
    "regions": "title='x'\nregions=[\n" + "'XX',\n" * (FULL // 7) + "]\n",
    "ranges": "title='x'\n[[rule]]\nkind='calling_hours'\nsettings.hours.daily=[\n"
    + "'8-9',\n" * (FULL // 8)
    + "]\n",
    "too much": "#\n" * MAX_PACK,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pack_that_means_harm_is_refused_soon(name: str) -> None:
    began = time.perf_counter()
    with pytest.raises(PackError) as caught:
        parse_pack("hostile", HOSTILE[name])
    assert time.perf_counter() - began < 20
    check(caught.value, HOSTILE[name].count("\n") + 1)
