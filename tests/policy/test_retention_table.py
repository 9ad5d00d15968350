"""Floors and ceilings in packs are checked when they are read."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.policy.limits import RetentionLimit
from callguard.policy.packs import PackError, all_packs, limits_of, parse_pack, shipped_packs
from callguard.policy.span import Span
from callguard.retention.classes import SETTABLE

LIMIT = """
[[retention]]
id = "mine.records"
bound = "floor"
class = "call_record"
span = "18mo"
title = "t"
citation = "c"
effective_from = 2024-01-01
"""
PACK = 'title = "Mine"\nregions = ["GB", "IE"]\n' + LIMIT
"""Its limit begins in line 4."""


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(PackError) as caught:
        parse_pack("mine", text)
    return caught.value.faults


def test_a_limit_is_read_with_everything_that_it_says() -> None:
    pack = parse_pack(
        "mine",
        PACK
        + 'status = "verified"\nverified_on = 2026-11-21\nsource = "s"\n'
        + 'effective_to = 2030-01-01\nminimum = ["caller", "called"]\n'
        + 'scope = { regions = ["FR"], whose = "either", purposes = ["marketing"],'
        + ' directions = ["inbound"], operators_only = true }\n',
    )
    assert pack.limits == (
        RetentionLimit(
            id="mine.records",
            bound="floor",
            data_class="call_record",
            span=Span(months=18),
            title="t",
            citation="c",
            effective_from=date(2024, 1, 1),
            effective_to=date(2030, 1, 1),
            status="verified",
            verified_on=date(2026, 11, 21),
            source="s",
            regions=frozenset({"FR"}),
            whose="either",
            purposes=frozenset({"marketing"}),
            directions=frozenset({"inbound"}),
            operators_only=True,
            minimum=("caller", "called"),
        ),
    )
    assert pack.where_limit(0) == "mine.toml:5"


def test_regions_are_the_packs_where_it_names_none() -> None:
    assert parse_pack("m", PACK).limits[0].regions == {"GB", "IE"}
    nowhere = PACK + "scope = { regions = [] }"
    assert parse_pack("m", nowhere).limits[0].regions == frozenset()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("span", "months"), "8: months: there is no such key"),
        (('"18mo"', "18"), "8: span: 18 is no length of time"),
        (('"18mo"', '"soon"'), "8: span: 'soon' is no length of time"),
        (('"18mo"', '"0d"'), "4: retention: a floor of no time asks for nothing"),
        (('"call_record"', '"gossip"'), "7: class: 'gossip' is no data class"),
        (('"call_record"', '"delivery"'), "7: class: 'delivery' is no data class"),
        (('"floor"', '"wall"'), "6: bound: Input should be 'floor' or 'ceiling'"),
        (("mine.records", "Mine"), "5: id: String should match"),
        (("2024-01-01", '"2024-01-01"'), "11: effective_from: Input should be a valid date"),
        (("2024-01-01", "2024-01-01\nstatus = 'verified'"), "4: retention: a verified limit"),
        (("2024-01-01", "2024-01-01\neffective_to = 2023-01-01"), "12: effective_to: "),
        (("2024-01-01", "2024-01-01\nscope = { regions = ['UK'] }"), "12: scope.regions.0: "),
        (("2024-01-01", "2024-01-01\nscope = { whose = 'his' }"), "12: scope.whose: "),
        (("2024-01-01", "2024-01-01\nscope = { purposes = ['fun'] }"), "12: scope.purposes.0: "),
        (("2024-01-01", "2024-01-01\nscope = { operators_only = 1 }"), "12: scope.operators_only"),
        (("2024-01-01", "2024-01-01\nminimum = ['A b']"), "12: minimum.0: "),
        (("[[retention]]", "[retention]"), "4: retention: Input should be a valid list"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(change: tuple[str, str], complaint: str) -> None:
    told = faults(PACK.replace(*change, 1))
    assert any(one.startswith(f"mine.toml:{complaint}") for one in told), told


def test_a_ceiling_asks_for_no_fields() -> None:
    text = PACK.replace("floor", "ceiling") + 'minimum = ["caller"]'
    assert "only a floor" in faults(text)[0]


def test_a_limit_of_the_same_name_is_refused_in_one_file_and_in_two(tmp_path: Path) -> None:
    assert faults(PACK + LIMIT) == (
        "mine.toml:14: limit mine.records is there already: mine.toml:5",
    )
    (tmp_path / "x.toml").write_text(PACK.replace("mine.records", "fr.recordings"))
    with pytest.raises(PackError, match=r"limit fr\.recordings is there already: packs/fr\.toml:"):
        all_packs(tmp_path)


def test_a_limit_may_not_bear_a_rules_name(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(PACK.replace("mine.records", "base.opt-out"))
    with pytest.raises(PackError, match=r"limit base\.opt-out is there already"):
        all_packs(tmp_path)


def test_an_operators_own_limits_count(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(PACK)
    assert "mine.records" in {limit.id for limit in limits_of(all_packs(tmp_path))}


def test_shipped_limits_are_verified_only_with_their_source() -> None:
    found = limits_of(shipped_packs())
    assert len({limit.id for limit in found}) == len(found) >= 15
    assert all(limit.citation for limit in found)
    assert all(limit.source and limit.verified_on for limit in found if limit.status == "verified")


WORDS = st.sampled_from(["18mo", "x", "", "0d", "9999y", "a\nb", "\u202e", "call_record"])
VALUES = st.one_of(
    WORDS.map(lambda w: repr(w).replace("\\u202e", "\u202e")),
    st.integers().map(str),
    st.sampled_from(["true", "[]", "{}", "1.5", "2024-01-01", "[[]]", "{ regions = 1 }", "inf"]),
)


@settings(max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from(
            ["id", "bound", "class", "span", "title", "scope", "minimum", "status", "charm"]
        ),
        VALUES,
    )
)
def test_any_table_is_a_limit_or_faults_with_their_lines(values: dict[str, str]) -> None:
    lines = "\n".join(f"{key} = {value}" for key, value in values.items())
    told: tuple[str, ...] = ()
    limits: tuple[RetentionLimit, ...] = ()
    try:
        limits = parse_pack("m", f'title = "t"\n[[retention]]\n{lines}\n').limits
    except PackError as error:
        told = error.faults
    assert bool(told) != bool(limits)
    assert all(one.startswith("m.toml:") and one.isprintable() for one in told)
    assert all(limit.data_class in SETTABLE for limit in limits)
