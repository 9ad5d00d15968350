"""``${variables}``, ``${FUNCTIONS(...)}`` and ``$[expressions]`` in a line of dialplan.

As in Asterisk a line is substituted once, before the application splits its arguments: a value
that holds a comma becomes two arguments. What a variable holds is not substituted again.
"""

import re
from collections.abc import Callable
from typing import Protocol

_NAME = re.compile(r"\w+")


class SubstitutionError(ValueError):
    """The text is malformed, or names a function that is not simulated."""


class Names(Protocol):
    """What a line of dialplan may name."""

    def variable(self, name: str) -> str:
        """The value, empty when there is none."""
        ...

    def function(self, name: str, argument: str) -> str:
        """The value; raises SubstitutionError when the function is not simulated."""
        ...


def substitute(text: str, names: Names, evaluate: Callable[[str], str]) -> str:
    """The text with every variable, function and expression replaced by its value."""
    out: list[str] = []
    position = 0
    while True:
        start = text.find("$", position)
        if start < 0 or start + 1 >= len(text):
            out.append(text[position:])
            return "".join(out)
        opening = text[start + 1]
        if opening not in "{[":
            out.append(text[position : start + 1])
            position = start + 1
            continue
        out.append(text[position:start])
        end = _closing(text, start + 1, opening, "}" if opening == "{" else "]")
        inner = substitute(text[start + 2 : end], names, evaluate)
        out.append(_value(inner, names) if opening == "{" else evaluate(inner))
        position = end + 1


def _closing(text: str, start: int, opening: str, closing: str) -> int:
    depth = 0
    for index in range(start, len(text)):
        if text[index] == opening:
            depth += 1
        elif text[index] == closing:
            depth -= 1
            if depth == 0:
                return index
    raise SubstitutionError(f"{opening!r} is not closed in {text!r}")


def _value(inner: str, names: Names) -> str:
    match = _NAME.match(inner)
    if match is None:
        raise SubstitutionError(f"no name in ${{{inner}}}")
    name, rest = match[0], inner[match.end() :]
    if rest.startswith("("):
        end = rest.rfind(")")
        if end < 0:
            raise SubstitutionError(f"a parenthesis is not closed in ${{{inner}}}")
        value, rest = names.function(name, rest[1:end]), rest[end + 1 :]
    else:
        value = names.variable(name)
    if not rest:
        return value
    bounds = rest.split(":")
    if bounds[0] or len(bounds) > 3:
        raise SubstitutionError(f"cannot read ${{{inner}}}")
    return _substring(value, int(bounds[1]), int(bounds[2]) if len(bounds) == 3 else None)


def _substring(value: str, offset: int, length: int | None) -> str:
    rest = value[offset:] if offset >= 0 else value[max(0, len(value) + offset) :]
    return rest if length is None else rest[:length]


def split_arguments(data: str, separator: str = ",", *, unquote: bool = True) -> list[str]:
    """Split as ``AST_APP_ARGS`` does: parentheses, brackets and quotes protect a separator.

    Quotes and backslashes are removed on the way unless ``unquote`` is false.
    """
    arguments, current = [], ""
    depth, quoted, index = 0, False, 0
    while index < len(data):
        character = data[index]
        if character == "\\" and index + 1 < len(data):
            current += data[index + 1] if unquote else data[index : index + 2]
            index += 2
            continue
        if character == '"':
            quoted = not quoted
            current += "" if unquote else character
        elif character == separator and depth == 0 and not quoted:
            arguments.append(current)
            current = ""
        else:
            if not quoted:
                depth += (character in "([") - (character in ")]" and depth > 0)
            current += character
        index += 1
    return [*arguments, current]
