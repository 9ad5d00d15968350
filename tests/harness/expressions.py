"""Dialplan expressions, ``$[ ... ]``, after Asterisk's ``ast_expr2``.

Values were already inserted as text when an expression is evaluated, exactly as Asterisk does it,
so a value that carries quotes or operators changes the expression here too. Two operands compare
as numbers when neither is quoted and both are numeric, else as strings.
"""

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<quoted>"(?:\\.|[^"\\])*")
      | (?P<operator>==|!=|>=|<=|[|&=<>+\-*/%()!])
      | (?P<word>[^\s"|&=<>+\-*/%()!?:]+)
    )""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"\d*\.?\d+|\d+\.")
_COMPARISONS = frozenset({"=", "==", "!=", ">", "<", ">=", "<="})


class ExpressionError(ValueError):
    """The text is no expression that is simulated."""


@dataclass(frozen=True, slots=True)
class _Value:
    text: str
    quoted: bool = False

    @property
    def number(self) -> float | None:
        if self.quoted or not _NUMBER.fullmatch(self.text.lstrip("-")):
            return None
        return float(self.text)

    @property
    def truthy(self) -> bool:
        return self.text != "" and self.number != 0


def evaluate(text: str) -> str:
    """The value of an expression's text; raises ExpressionError."""
    parser = _Parser(_tokens(text))
    value = parser.parse_or()
    if parser.tokens:
        raise ExpressionError(f"unexpected {parser.tokens[0][1]!r} in $[{text}]")
    return value.text


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"cannot read {stripped[position:]!r} in $[{text}]")
        tokens.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return tokens


def _integer(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens

    def _operator(self, *wanted: str) -> str | None:
        if self.tokens and self.tokens[0][0] == "operator" and self.tokens[0][1] in wanted:
            return self.tokens.pop(0)[1]
        return None

    def parse_or(self) -> _Value:
        left = self._and()
        while self._operator("|"):
            right = self._and()
            left = left if left.truthy else (right if right.truthy else _Value("0"))
        return left

    def _and(self) -> _Value:
        left = self._comparison()
        while self._operator("&"):
            right = self._comparison()
            left = left if left.truthy and right.truthy else _Value("0")
        return left

    def _comparison(self) -> _Value:
        left = self._sum()
        while operator := self._operator(*_COMPARISONS):
            left = _compare(left, operator, self._sum())
        return left

    def _sum(self) -> _Value:
        left = self._product()
        while operator := self._operator("+", "-"):
            one, two = _numeric(left), _numeric(self._product())
            left = _Value(_integer(one + two if operator == "+" else one - two))
        return left

    def _product(self) -> _Value:
        left = self._unary()
        while operator := self._operator("*", "/", "%"):
            one, two = _numeric(left), _numeric(self._unary())
            if operator != "*" and two == 0:
                raise ExpressionError("division by zero")
            result = one * two if operator == "*" else one / two if operator == "/" else one % two
            left = _Value(_integer(result))
        return left

    def _unary(self) -> _Value:
        if self._operator("-"):
            return _Value(_integer(-_numeric(self._unary())))
        if self._operator("!"):
            return _Value("0" if self._unary().truthy else "1")
        if self._operator("("):
            value = self.parse_or()
            if not self._operator(")"):
                raise ExpressionError("a parenthesis is not closed")
            return value
        if not self.tokens or self.tokens[0][0] == "operator":
            raise ExpressionError("an operand is missing")
        kind, text = self.tokens.pop(0)
        if kind == "quoted":
            return _Value(re.sub(r"\\(.)", r"\1", text[1:-1]), quoted=True)
        return _Value(text)


def _numeric(value: _Value) -> float:
    # Asterisk takes text that is no number as 0 in arithmetic, with a warning.
    return value.number or 0.0


def _compare(left: _Value, operator: str, right: _Value) -> _Value:
    one, two = left.number, right.number
    order: float
    if one is not None and two is not None:
        order = one - two
    else:
        order = (left.text > right.text) - (left.text < right.text)
    holds = {
        "=": order == 0,
        "==": order == 0,
        "!=": order != 0,
        ">": order > 0,
        "<": order < 0,
        ">=": order >= 0,
        "<=": order <= 0,
    }[operator]
    return _Value("1" if holds else "0")
