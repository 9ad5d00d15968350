"""The variables of a channel: a stack for each name, with Asterisk's inheritance marks."""

from dataclasses import dataclass


@dataclass(slots=True)
class _Variable:
    value: str
    reach: int  # 0: this channel, 1: the channels it dials, 2: those and all after them


class Variables:
    """Channel variables; ``_NAME`` is inherited once, ``__NAME`` for ever."""

    def __init__(self) -> None:
        self._stacks: dict[str, list[_Variable]] = {}

    def get(self, name: str) -> str | None:
        """The value, or None when the variable is not set."""
        stack = self._stacks.get(name)
        return stack[-1].value if stack else None

    def set(self, name: str, value: str) -> None:
        """Set, and take over the inheritance that the name's underscores ask for."""
        plain, variable = _parse(name, value)
        stack = self._stacks.setdefault(plain, [])
        if stack:
            stack[-1] = variable
        else:
            stack.append(variable)

    def push(self, name: str, value: str) -> None:
        """Hide the value until ``pop`` (what Gosub does to ARG1 and LOCAL)."""
        plain, variable = _parse(name, value)
        self._stacks.setdefault(plain, []).append(variable)

    def pop(self, name: str) -> None:
        """Bring back what ``push`` hid."""
        if stack := self._stacks.get(name):
            stack.pop()

    def inherited(self) -> "Variables":
        """What a channel that this one dials starts with."""
        child = Variables()
        for name, stack in self._stacks.items():
            if stack and stack[-1].reach:
                reach = 2 if stack[-1].reach == 2 else 0
                child._stacks[name] = [_Variable(stack[-1].value, reach)]
        return child

    def snapshot(self) -> dict[str, str]:
        """Every variable and its value."""
        return {name: stack[-1].value for name, stack in self._stacks.items() if stack}


def _parse(name: str, value: str) -> tuple[str, _Variable]:
    reach = 2 if name.startswith("__") else 1 if name.startswith("_") else 0
    return name[reach:], _Variable(value, reach)
