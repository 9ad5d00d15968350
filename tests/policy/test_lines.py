"""Where a key of a pack stands."""

import time

import pytest

from callguard.policy.lines import line_of

PACK = '''\
# A pack
title = "Example"   # [[rule]]
"regions" = ["GB"]

[[rule]]
id = "a.one"
title = """
[[rule]]
id = "not.this"
"""
settings.limit = 3
settings . window = "30d"

  [[ rule ]]  # the second
id = "a.two"
note = "it's \\"\\"\\" = '"
citation = \'\'\'kind = [[rule]]\'\'\'
settings = { limit = 3, window = "30d" }
[rule.scope]
regions = [
  "GB",
]
[[rule.unless.relationships]]
kind = "purchase"
[[rule.unless.relationships]]
kind = "inquiry"
[[rule]]
[rule.'settings'."hours"]
mon = ["08:00-21:00"]
'''


@pytest.mark.parametrize(
    ("rule", "path", "line"),
    [
        (None, [], 1),
        (None, ["title"], 2),
        (None, ["regions"], 3),
        (None, ["absent"], 1),
        (0, [], 5),
        (0, ["id"], 6),
        (0, ["title"], 7),
        (0, ["settings"], 11),
        (0, ["settings", "limit"], 11),
        (0, ["settings", "window"], 12),
        (0, ["settings", "absent"], 11),
        (0, ["scope"], 5),
        (1, [], 14),
        (1, ["id"], 15),
        (1, ["note"], 16),
        (1, ["citation"], 17),
        (1, ["settings", "window"], 18),
        (1, ["scope"], 19),
        (1, ["scope", "regions"], 20),
        (1, ["unless"], 23),
        (1, ["unless", "relationships", "kind"], 24),
        (1, ["unless", "relationships", "within"], 23),
        (1, ["kind"], 14),
        (2, [], 27),
        (2, ["settings"], 28),
        (2, ["settings", "hours", "mon"], 29),
        (2, ["settings", "hours", "tue"], 28),
    ],
)
def test_a_key_is_found_where_it_stands_or_where_it_belongs(
    rule: int | None, path: list[str], line: int
) -> None:
    assert line_of(PACK, rule, path) == line
    assert line_of(PACK.replace("\n", "\r\n"), rule, path) == line


def test_only_a_line_end_ends_a_line() -> None:
    text = "title = 'a\u2028b\x0b\x85c'\n\n[[rule]]\nid = 1\n"
    assert line_of(text, 0, ["id"]) == 4


@pytest.mark.parametrize(
    ("text", "line"), [("title = ''\nrule = [{id = 1}]", 2), ("title = ''\nrule = 3", 2), ("", 1)]
)
def test_rules_that_are_written_inside_a_line_are_found_there(text: str, line: int) -> None:
    assert line_of(text, 0, ["id"]) == line


def test_a_table_of_the_pack_after_its_rules_belongs_to_no_rule() -> None:
    text = "title = 'x'\n[[rule]]\nid = 1\n[extra]\nid = 2\n"
    assert line_of(text, None, ["extra"]) == 4
    assert line_of(text, 0, ["id"]) == 3
    assert line_of(text, 0, ["extra"]) == 2


def test_many_lookups_in_a_long_pack_are_quick() -> None:
    text = "[[rule]]\nid = 1\n" * 10_000
    began = time.perf_counter()
    lines = [line_of(text, rule, ["settings", "hours"]) for rule in range(10_000)]
    assert time.perf_counter() - began < 5
    assert lines == list(range(1, 20_001, 2))
