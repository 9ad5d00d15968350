"""Expressions and substitution, after Asterisk's own rules."""

import pytest

from tests.harness.expressions import ExpressionError, evaluate
from tests.harness.substitution import SubstitutionError, split_arguments, substitute


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"allow" = "allow"', "1"),
        ('"" = "allow"', "0"),
        ('"allow" != "block"', "1"),
        ("1732221000 - 01732220997 > 3", "0"),
        ("1732221000 - 0 > 3", "1"),
        ("5 - 9 < -3", "1"),
        ("10 > 9", "1"),
        ('"10" > "9"', "0"),
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("1 | 0", "1"),
        ("1 & 0", "0"),
        ("!0", "1"),
        ('"01" = 1', "0"),
        ("01 = 1", "1"),
        ("abc = abc", "1"),
        (r'"a\"b" = "a\"b"', "1"),
    ],
)
def test_expressions(text: str, value: str) -> None:
    assert evaluate(text) == value


@pytest.mark.parametrize("text", ["", " = 1", "1 +", "(1", "1 2", '"open', "a : b", "1 ? 2"])
def test_what_asterisk_would_warn_about_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text)


class _Names:
    values = {"EXTEN": "+4930", "INNER": "EXTEN", "TRICK": "${EXTEN}", "COMMA": "a,b"}  # noqa: RUF012

    def variable(self, name: str) -> str:
        return self.values.get(name, "")

    def function(self, name: str, argument: str) -> str:
        return f"<{name}:{argument}>"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("to ${EXTEN}!", "to +4930!"),
        ("${${INNER}}", "+4930"),
        ("${EXTEN:1}", "4930"),
        ("${EXTEN:-2}", "30"),
        ("${EXTEN:1:2}", "49"),
        ("${TRICK}", "${EXTEN}"),
        ("${F(${EXTEN},${NONE})}", "<F:+4930,>"),
        ("$[1 + ${EXTEN:1:1}]", "5"),
        ("100$ ${NONE}", "100$ "),
        ("$[${F(a)}x] = 1", None),
    ],
)
def test_substitution(text: str, value: str | None) -> None:
    if value is None:
        with pytest.raises(ExpressionError):
            substitute(text, _Names(), evaluate)
    else:
        assert substitute(text, _Names(), evaluate) == value


def test_an_open_brace_is_an_error() -> None:
    with pytest.raises(SubstitutionError):
        substitute("${EXTEN", _Names(), evaluate)


def test_a_value_with_a_quote_changes_the_expression_as_it_does_in_asterisk() -> None:
    with pytest.raises(ExpressionError):
        substitute('$["${F(")}" = "x"]', _Names(), evaluate)


def test_arguments_split_outside_parentheses_and_quotes() -> None:
    assert split_arguments("ctx,s,1(a,b)") == ["ctx", "s", "1(a,b)"]
    assert split_arguments('"a,b",c') == ["a,b", "c"]
    assert split_arguments(r"a\,b,c") == ["a,b", "c"]
    assert split_arguments("yes:no", ":") == ["yes", "no"]
    assert split_arguments(substitute("x,${COMMA}", _Names(), evaluate)) == ["x", "a", "b"]
