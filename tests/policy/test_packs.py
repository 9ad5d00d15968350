"""Packs are checked when they are read."""

import os
import re
from datetime import date
from pathlib import Path

import pytest

from callguard.policy.packs import (
    MAX_LINE,
    MAX_PACK,
    Pack,
    PackError,
    all_packs,
    parse_pack,
    shipped_packs,
)
from callguard.policy.period import Period
from callguard.policy.rules import Rule

RULE = """
[[rule]]
id = "mine.hours"
kind = "calling_hours"
title = "t"
citation = "c"
effective_from = 2024-01-01
"""
HOURS = 'settings = { hours = { daily = ["08:00-21:00"] } }\n'
GOOD = 'title = "Mine"\n' + RULE + HOURS
"""Its rule begins in line 3, its settings are line 9."""

OPT_OUT = RULE.replace("calling_hours", "opt_out")


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(PackError) as caught:
        parse_pack("mine", text)
    assert str(caught.value) == caught.value.faults[0]
    for fault in caught.value.faults:
        assert re.match(r"mine\.toml:[1-9][0-9]*: .", fault)
        assert fault.isprintable()
    return caught.value.faults


def test_every_shipped_rule_has_a_citation_and_can_be_told_from_every_other() -> None:
    rules = [rule for pack in shipped_packs() for rule in pack.rules]
    assert {"emergency", "opt_out", "restriction"} <= {rule.kind for rule in rules}
    assert all(rule.citation and rule.title for rule in rules)
    assert len({rule.id for rule in rules}) == len(rules)
    assert all(pack.shipped for pack in shipped_packs())


def test_a_shipped_rule_is_verified_only_with_its_source_and_day() -> None:
    rules = [rule for pack in shipped_packs() for rule in pack.rules]
    assert all(rule.source and rule.verified_on for rule in rules if rule.status == "verified")


def test_a_rule_without_proof_is_unverified() -> None:
    assert parse_pack("x", GOOD).rules[0].status == "unverified"


def test_a_pack_is_read_with_everything_that_its_rules_say() -> None:
    pack = parse_pack(
        "mine",
        'title = "Mine"\nregions = ["GB", "IE"]\n'
        + RULE
        + HOURS
        + 'status = "verified"\nverified_on = 2026-11-21\nsource = "s"\nseries = "mine"\n'
        + 'effective_to = 2024-01-01\non_unknown = "pass"\ncause = 127\nprompt = ""\n'
        + '[rule.scope]\npurposes = ["marketing"]\n'
        + '[rule.unless]\nconsent = "marketing"\nvalid = "12mo"\n'
        + '[[rule.unless.relationships]]\nkind = "purchase"\nwithin = "18mo"\n'
        + RULE.replace("mine.hours", "mine.other")
        + HOURS
        + 'scope = { regions = ["US"], subdivisions = ["US-FL"] }\n',
    )
    first, second = pack.rules
    assert (pack.name, pack.title, pack.file, pack.shipped) == ("mine", "Mine", "mine.toml", True)
    assert first.scope.regions == {"GB", "IE"}
    assert first.scope.purposes == {"marketing"}
    assert sorted(second.scope.regions | second.scope.subdivisions) == ["US", "US-FL"]
    assert first.effective_to == first.effective_from == date(2024, 1, 1)
    assert (first.status, first.verified_on, first.source) == ("verified", date(2026, 11, 21), "s")
    assert (first.series, first.on_unknown, first.cause, first.prompt) == ("mine", "pass", 127, "")
    assert first.exemption is not None
    assert first.exemption.valid == Period(12, "mo")
    assert first.exemption.relationships[0].within == Period(18, "mo")
    assert second.exemption is None
    assert [pack.where(0), pack.where(1)] == ["mine.toml:5", "mine.toml:29"]


@pytest.mark.parametrize("regions", ['["GB"]', "[]"])
def test_a_rules_own_regions_go_before_the_packs(regions: str) -> None:
    text = 'title = "t"\nregions = ["FR"]\n' + RULE + HOURS + f"scope.regions = {regions}"
    assert parse_pack("x", text).rules[0].scope.regions == set(re.findall("[A-Z]+", regions))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        # Keys that are none, at each level.
        ("nonsense = 1", "10: nonsense: there is no such key"),
        ("scope = { colour = 1 }", "10: scope.colour: there is no such key"),
        ("scope = { calls = [] }", "10: scope.calls: there is no such key"),
        ("unless = { charm = 1 }", "10: unless.charm: there is no such key"),
        (
            '\n[[rule.unless.relationships]]\nkind = "purchase"\ncharm = 1',
            "13: unless.relationships.0.charm: there is no such key",
        ),
        ("settings.colour = 1", "10: Cannot mutate immutable namespace"),
        ("[extra]\nx = 1", "10: extra: there is no such key"),
        # Types.
        ("settings2 = 1", "10: settings2: there is no such key"),
        ("scope = 1", "10: scope: Input should be a valid dictionary"),
        ("unless = 1", "10: unless: Input should be"),
        ('scope = { regions = "GB" }', "10: scope.regions: Input should be"),
        ('effective_to = "soon"', "10: effective_to: Input should be a valid date"),
        ('effective_to = "2025-01-01"', "10: effective_to: Input should be a valid date"),
        ("effective_to = 86400", "10: effective_to: Input should be a valid date"),
        ("effective_to = 2025-01-01T00:00:00Z", "10: effective_to: Input should be a valid date"),
        ('verified_on = "today"', "10: verified_on: Input should be a valid date"),
        ('cause = "21"', "10: cause: Input should be a valid integer"),
        ("cause = true", "10: cause: Input should be a valid integer"),
        ("source = 1", "10: source: Input should be a valid string"),
        # Values.
        ('kind = "astrology"', "10: Cannot overwrite a value"),
        ("effective_to = 2023-12-31", "10: effective_to: effective_to is before effective_from"),
        ('status = "verified"', "3: rule: a verified rule says when and where"),
        ('status = "verified"\nsource = "s"', "3: rule: a verified rule says when and where"),
        (
            'status = "verified"\nverified_on = 2024-01-01',
            "3: rule: a verified rule says when and where",
        ),
        ('status = "sure"', "10: status: Input should be 'verified' or 'unverified'"),
        ('on_unknown = "maybe"', "10: on_unknown: Input should be 'pass' or 'block'"),
        ("cause = 0", "10: cause: Input should be greater than or equal to 1"),
        ("cause = 128", "10: cause: Input should be less than or equal to 127"),
        ('prompt = "../x"', "10: prompt: String should match pattern"),
        ('scope = { regions = ["gb"] }', "10: scope: 'gb' is no ISO 3166 code"),
        ('scope = { regions = ["UK"] }', "10: scope: 'UK' is no ISO 3166 code"),
        (
            'scope = { regions = ["US"], subdivisions = ["us-fl"] }',
            "10: scope: 'us-fl' is no ISO 3166 code",
        ),
        ('scope = { lines = ["tin"] }', "10: scope: 'tin' is no kind of line; known: fixed, "),
        ('scope = { purposes = ["fun"] }', "10: scope.purposes.0: Input should be 'marketing', "),
        ('scope = { channels = ["pigeon"] }', "10: scope.channels.0: Input should be 'voice', "),
        ('unless = { valid = "soon" }', "10: unless.valid: 'soon' is no period"),
        # Two of one id, and things that are no TOML.
        (RULE + HOURS, "12: rule mine.hours is there already: mine.toml:4"),
        ("= = =", "10: Invalid statement"),
        ("x = [", "10: Invalid value (at end of document)"),
        ("x = " + "[" * 900, "1: too many brackets within one another"),
        ("x = [\n" + "[\n" * 9_000, "1: too many brackets within one another"),
        ("x = '" + "a" * MAX_LINE, f"10: a line has at most {MAX_LINE} characters"),
        ("# a\n" * (MAX_PACK // 4), f"1: a pack has at most {MAX_PACK} characters"),
        ("\x1b", "10: Invalid statement"),
        ('"a\\nb\\u001b" = 1', "3: a\\nb\\x1b: there is no such key"),
    ],
)
def test_a_pack_with_one_fault_is_refused_in_one_line(change: str, complaint: str) -> None:
    (fault,) = faults(GOOD + change)
    assert fault.startswith(f"mine.toml:{complaint}")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ("", "3: settings.hours: Field required"),
        ("settings = {}", "9: settings.hours: Field required"),
        ("settings = 1", "9: settings: Input should be a valid dictionary"),
        ('settings = { hours = "8-21" }', "9: settings.hours: Input should be a valid dictionary"),
        ("settings = { hours = { mon = [8] } }", "9: settings.hours.mon.0: Input should be"),
        (
            '[rule.settings.hours]\nmon = ["08:00-21:00"]\ntue = ["21:00-08:00"]',
            "11: settings.hours.tue: 21:00-08:00 ends before it starts",
        ),
        (
            'settings.hours.daily = ["08:00-21:00"]\nsettings.hours.noday = []',
            "9: settings: 'noday' is no day; known: mon, ",
        ),
        (
            'settings.hours.daily = ["8-21"]',
            "9: settings.hours.daily: '8-21' is no range of hours such as '08:00-21:00'",
        ),
        (
            'settings.hours.daily = ["08:00-12:00", "11:00-21:00"]',
            "9: settings.hours.daily: 08:00-12:00, 11:00-21:00 overlap",
        ),
        (HOURS.replace(" } }", ' }, zone = "Mars/Olympus" }'), "9: settings.zone: there is no "),
        (HOURS.replace(" } }", ' }, zone = "Europe" }'), "9: settings"),
        (HOURS.replace(" } }", f' }}, zone = "{"a" * 300}" }}'), "9: settings"),
        (HOURS.replace(" } }", ' }, zone = "../x" }'), "9: settings.zone: there is no "),
        (
            HOURS.replace(" } }", ' }, holidays = "XX" }'),
            "9: settings.holidays: there is no calendar of holidays 'XX'",
        ),
        (
            HOURS.replace(" } }", ' }, holidays = "US-ZZ" }'),
            "9: settings.holidays: there is no calendar of holidays 'US-ZZ'",
        ),
        (
            HOURS.replace(" } }", ' }, holidays = "utils" }'),
            "9: settings.holidays: there is no calendar of holidays 'utils'",
        ),
        (HOURS.replace(" } }", " }, colour = 1 }"), "9: settings.colour: there is no such key"),
    ],
)
def test_a_setting_that_its_kind_cannot_have_is_refused(settings: str, complaint: str) -> None:
    (fault,) = faults('title = "Mine"\n' + RULE + settings)
    assert fault.startswith(f"mine.toml:{complaint}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "1: title: Field required"),
        ("title = 1", "1: title: Input should be a valid string"),
        ('title = ""', "1: title: String should have at least 1 character"),
        ('\ntitle = "t"\nregions = ["gb"]', "3: regions.0: 'gb' is no ISO 3166 code"),
        ('title = "t"\nregions = "GB"', "2: regions: Input should be"),
        ('title = "t"\ncolour = 1', "2: colour: there is no such key"),
        ('title = "t"\nrule = 3', "2: rule: Input should be a valid list"),
        ('title = "t"\nrule = [3]', "2: rule.0: Input should be a valid dictionary"),
        ('title = "t"\n[rule]\nid = "a.b"', "2: rule: Input should be a valid list"),
        (GOOD.replace("calling_hours", "astrology"), "5: kind: no kind of rule is called 'astrol"),
        (GOOD.replace("mine.hours", "mine"), "4: id: String should match pattern"),
        (GOOD.replace("mine.hours", "Mine.Hours"), "4: id: String should match pattern"),
        (GOOD.replace('citation = "c"\n', ""), "3: citation: Field required"),
        (GOOD.replace('"c"', '""'), "7: citation: String should have at least 1 character"),
        (GOOD.replace("2024-01-01", '"x"'), "8: effective_from: Input should be a valid date"),
        ("title = " + "9" * 900, "1: title: Input should be a valid string"),
    ],
)
def test_a_pack_that_is_wrong_as_a_whole_is_refused_in_one_line(text: str, complaint: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith(f"mine.toml:{complaint}")


def test_every_fault_is_told_at_once() -> None:
    text = GOOD + "cause = 0\nnonsense = 1\n" + '[[rule]]\nid = "b"\n' + RULE
    assert [fault.split(": ")[:2] for fault in faults(text)] == [
        ["mine.toml:10", "cause"],
        ["mine.toml:11", "nonsense"],
        ["mine.toml:13", "id"],
        ["mine.toml:12", "kind"],
        ["mine.toml:12", "title"],
        ["mine.toml:12", "citation"],
        ["mine.toml:12", "effective_from"],
        ["mine.toml:15", "settings.hours"],
    ]


def own(folder: Path, **files: str | bytes) -> Path:
    for name, text in files.items():
        data = text.encode() if isinstance(text, str) else text
        (folder / f"{name}.toml").write_bytes(data)
    return folder


def faults_of(folder: Path | None, *leave_out: str) -> tuple[str, ...]:
    with pytest.raises(PackError) as caught:
        all_packs(folder, leave_out)
    return caught.value.faults


def rules_of(packs: tuple[Pack, ...]) -> list[Rule]:
    return [rule for pack in packs for rule in pack.rules]


def test_an_operators_packs_come_after_the_shipped_ones(tmp_path: Path) -> None:
    packs = all_packs(own(tmp_path, mine=GOOD, notes=GOOD.replace("mine.", "notes.")))
    assert packs[:-2] == shipped_packs()
    assert [(pack.name, pack.shipped) for pack in packs[-2:]] == [("mine", False), ("notes", False)]
    assert packs[-2].where(0) == f"{tmp_path}/mine.toml:4"


def test_only_toml_files_are_packs(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("= = =")
    (tmp_path / "x.toml~").write_text("= = =")
    assert all_packs(tmp_path) == shipped_packs()


def test_a_shipped_pack_is_left_out_when_asked() -> None:
    name = next(pack.name for pack in shipped_packs() if pack.name != "base")
    assert name not in {pack.name for pack in all_packs(None, [name, name])}


def test_a_pack_that_does_not_exist_cannot_be_left_out() -> None:
    (fault,) = faults_of(None, "atlantis")
    assert fault.startswith("there is no pack 'atlantis'; known: ")
    assert "base" in fault


def test_nobody_does_without_emergencies_and_opt_outs() -> None:
    assert faults_of(None, "base") == ("pack base cannot be left out",)


def test_two_rules_of_one_id_in_two_files_are_told_with_both_places(tmp_path: Path) -> None:
    folder = own(tmp_path, a=GOOD, b="\n\n" + GOOD)
    second, first = f"{tmp_path}/b.toml:6", f"{tmp_path}/a.toml:4"
    assert faults_of(folder) == (f"{second}: rule mine.hours is there already: {first}",)


def test_a_rule_of_a_shipped_packs_id_is_told_with_both_places(tmp_path: Path) -> None:
    folder = own(tmp_path, mine='title = "t"\n' + OPT_OUT.replace("mine.hours", "base.opt-out"))
    base = next(pack for pack in shipped_packs() if pack.name == "base")
    index = [rule.id for rule in base.rules].index("base.opt-out")
    assert faults_of(folder) == (
        f"{tmp_path}/mine.toml:4: rule base.opt-out is there already: {base.where(index)}",
    )


def test_the_faults_of_every_file_are_told(tmp_path: Path) -> None:
    folder = own(tmp_path, a="x = 1", b=GOOD + "cause = 0", c="= = =", d=b"title = 'a'\n# \xff\n")
    assert [re.sub("^.*/", "", fault) for fault in faults_of(folder)] == [
        "a.toml:1: title: Field required",
        "a.toml:1: x: there is no such key",
        "b.toml:10: cause: Input should be greater than or equal to 1",
        "c.toml:1: Invalid statement (at line 1, column 1)",
        "d.toml:2: it is not in UTF-8: invalid start byte",
    ]


def test_a_file_of_another_systems_line_ends_is_read(tmp_path: Path) -> None:
    text = GOOD.replace("\n", "\r\n")
    assert len(rules_of(all_packs(own(tmp_path, mine=text)))) == 1 + len(rules_of(shipped_packs()))
    fault = faults_of(own(tmp_path, mine=text + "cause = 0\r\n"))
    assert fault[0].startswith(f"{tmp_path}/mine.toml:10: cause: ")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert faults_of(tmp_path / "no") == (f"{tmp_path}/no: there is no such folder of packs",)
    own(tmp_path, mine=GOOD)
    fault = faults_of(tmp_path / "mine.toml")
    assert fault == (f"{tmp_path}/mine.toml: there is no such folder of packs",)


def test_what_is_no_file_is_told_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.toml")
    (tmp_path / "b.toml").mkdir()
    (tmp_path / "c.toml").symlink_to("nowhere")
    assert faults_of(tmp_path) == tuple(f"{tmp_path}/{n}.toml:1: it is no file" for n in "abc")


def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> bytes:
        if path.parent == tmp_path:
            raise PermissionError(13, "Permission denied")
        return real(path)

    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", refused)
    fault = faults_of(own(tmp_path, mine=GOOD))
    assert fault == (f"{tmp_path}/mine.toml:1: Permission denied",)


def test_a_file_whose_name_would_break_the_line_is_told_in_one(tmp_path: Path) -> None:
    (tmp_path / "a\nb.toml").write_text("= = =")
    assert faults_of(tmp_path)[0].startswith(f"{tmp_path}/a\\nb.toml:1: Invalid statement")
