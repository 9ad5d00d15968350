"""The operators' page about retention says what is there, and its example works."""

import re
from pathlib import Path

import pytest

from callguard.policy.packs import parse_pack
from callguard.policy.retention_table import LimitScope, LimitTable
from callguard.retention.classes import CLASSES, SETTABLE
from callguard.storage.schema import metadata

PAGE = (Path(__file__).parents[2] / "docs" / "retention.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SETTABLE)
def test_every_class_is_there_with_its_time(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \|(.*)\|$", PAGE, re.MULTILINE)
    cells = [cell.strip() for cell in row.split("|")]
    default = CLASSES[name].default
    kept = "until the contract ends" if default is None else str(default)
    assert cells[2:] == [kept, CLASSES[name].kept_in]
    assert cells[0].startswith(CLASSES[name].title.split(",")[0])


def test_no_class_is_there_that_a_tenant_cannot_choose() -> None:
    section = PAGE.partition("\n## Classes\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE) == list(SETTABLE)


def test_what_bounds_each_table_is_told_once() -> None:
    section = PAGE.partition("\n## What bounds every table\n")[2].partition("\n## ")[0]
    named = [
        name
        for row in re.findall(r"^\|([^|]*)\|", section, re.MULTILINE)
        for name in re.findall(r"`([a-z_]+)`", row)
    ]
    assert sorted(named) == sorted(metadata.tables)


def test_the_example_is_a_limit_and_every_key_is_explained() -> None:
    (text,) = re.findall(r"((?:^    .*\n)+)\n\| Key", PAGE, re.MULTILINE)
    pack = 'title = "House"\n' + re.sub("^    ", "", text, flags=re.MULTILINE)
    (limit,) = parse_pack("house", pack).limits
    assert (limit.bound, str(limit.span)) == ("ceiling", "90d")
    keys = {field.alias or name for name, field in LimitTable.model_fields.items()} - {"scope"}
    keys |= {f"scope.{name}" for name in LimitScope.model_fields}
    assert keys <= set(re.findall(r"`([a-z_.]+)`", PAGE))
