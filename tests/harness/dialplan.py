"""extensions.conf: read the real file, find an extension as Asterisk does.

What the file may contain is what the simulator can run; anything else is a ``DialplanError`` that
names file and line, so that the real dialplan cannot drift away from what is simulated.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

_EXTEN = re.compile(r"exten\s*=>?\s*([^,]+),\s*([^,]+),\s*(.*)", re.IGNORECASE)
_SAME = re.compile(r"same\s*=>?\s*([^,]+),\s*(.*)", re.IGNORECASE)
_PRIORITY = re.compile(r"(n|\d+)\s*(?:\((\w[\w-]*)\))?", re.IGNORECASE)
_APPLICATION = re.compile(r"(\w+)\s*(?:\((.*)\))?", re.DOTALL)
_FUNCTION = re.compile(r"\$\{(\w+)\(")
_CONTEXT = re.compile(r"\[([\w-]+)\]")
_RANKS = {"N": 8, "Z": 9, "X": 10, ".": 1000, "!": 2000}


class DialplanError(ValueError):
    """The dialplan says something that Asterisk or the simulator would not understand."""


@dataclass(frozen=True, slots=True)
class Step:
    """One priority: an application and its unsubstituted data."""

    application: str
    data: str
    where: str


@dataclass(slots=True)
class Extension:
    """A name or pattern, its steps by priority, its labels."""

    pattern: str
    steps: dict[int, Step] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)

    def priority(self, name: str) -> int | None:
        """The number of a priority given as a number or a label."""
        number = int(name) if name.isdigit() else self.labels.get(name, -1)
        return number if number in self.steps else None


@dataclass(slots=True)
class Context:
    """A context: extensions and the contexts it includes, in order."""

    name: str
    extensions: dict[str, Extension] = field(default_factory=dict)
    includes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Dialplan:
    """All contexts, and the globals that the files set."""

    contexts: dict[str, Context] = field(default_factory=dict)
    globals: dict[str, str] = field(default_factory=dict)

    def find(self, context: str, exten: str) -> Extension | None:
        """The extension that a call to ``exten`` in ``context`` reaches: exact before pattern,
        the more specific pattern first, then the included contexts in their order."""
        return self._find(context, exten, set())

    def _find(self, name: str, exten: str, seen: set[str]) -> Extension | None:
        context = self.contexts.get(name)
        if context is None or name in seen:
            return None
        seen.add(name)
        if exten in context.extensions and not exten.startswith("_"):
            return context.extensions[exten]
        matching = [
            extension
            for pattern, extension in context.extensions.items()
            if pattern.startswith("_") and matches(pattern, exten)
        ]
        if matching:
            return min(matching, key=lambda extension: _specificity(extension.pattern))
        for included in context.includes:
            found = self._find(included, exten, seen)
            if found is not None:
                return found
        return None

    def check(self, applications: Collection[str], functions: Collection[str]) -> None:
        """Refuse what is not simulated, and includes and plain jumps that lead nowhere."""
        known = {name.lower() for name in applications}
        for context in self.contexts.values():
            for included in context.includes:
                if included not in self.contexts:
                    raise DialplanError(f"[{context.name}] includes [{included}]: not there")
            for extension in context.extensions.values():
                for step in extension.steps.values():
                    self._check(step, known, functions)
                    _check_labels(step, extension)

    def _check(self, step: Step, applications: Collection[str], functions: Collection[str]) -> None:
        if step.application.lower() not in applications:
            raise DialplanError(f"{step.where}: {step.application}() is not simulated")
        for function in _FUNCTION.findall(step.data):
            if function not in functions:
                raise DialplanError(f"{step.where}: function {function}() is not simulated")
        if step.application.lower() in {"gosub", "goto"} and "$" not in step.data:
            target = step.data.split("(")[0].split(",")
            if len(target) == 3:
                found = self.find(target[0], target[1])
                if found is None or found.priority(target[2].strip()) is None:
                    raise DialplanError(f"{step.where}: {step.data} leads nowhere")


def _check_labels(step: Step, extension: Extension) -> None:
    if step.application.lower() != "gotoif":
        return
    for label in step.data.rpartition("?")[2].split(":"):
        if label and "$" not in label and "," not in label and extension.priority(label) is None:
            raise DialplanError(f"{step.where}: there is no label {label!r}")


def matches(pattern: str, exten: str) -> bool:
    """Whether a pattern (with its leading ``_``) matches the whole of ``exten``."""
    return _regex(pattern).fullmatch(exten) is not None


def _elements(pattern: str) -> list[str]:
    elements = re.findall(r"\[[^\]]*\]|.", pattern[1:])
    return [element for element in elements if element not in {"-", " "}]


def _regex(pattern: str) -> re.Pattern[str]:
    classes = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]", ".": ".+", "!": ".*"}
    out = ""
    for element in _elements(pattern):
        if element.startswith("["):
            out += "[" + re.sub(r"([\\^\[])", r"\\\1", element[1:-1]) + "]"
        else:
            out += classes.get(element.upper(), re.escape(element))
        if element in ".!":
            break
    return re.compile(out, re.DOTALL)


def _specificity(pattern: str) -> list[int]:
    ranks = []
    for element in _elements(pattern):
        if element.startswith("["):
            ranks.append(len(re.findall(r"(?!.-)[\x20-\x7e]", element[1:-1])) + 1)
        else:
            ranks.append(_RANKS.get(element.upper(), 1))
    return ranks


def load(*files: Path) -> Dialplan:
    """Read files into one dialplan; ``#include`` is relative to the including file."""
    reader = _Reader()
    for file in files:
        reader.read(file)
    return reader.dialplan


class _Reader:
    def __init__(self) -> None:
        self.dialplan = Dialplan()
        self._section: str | None = None
        self._extension: Extension | None = None
        self._last = 0

    def read(self, file: Path) -> None:
        comment = False
        for number, raw in enumerate(file.read_text("utf-8").splitlines(), 1):
            where = f"{file.name}:{number}"
            if raw.strip().startswith(";--") and not raw.strip().startswith(";---"):
                comment = True
            if comment:
                comment = "--;" not in raw
                continue
            line = re.sub(r"(?<!\\);.*", "", raw).replace("\\;", ";").strip()
            if not line:
                continue
            if line.startswith("#include"):
                self.read(file.parent / line.split(None, 1)[1].strip('"<> '))
            elif line.startswith("["):
                self._enter(line, where)
            else:
                self._line(line, where)

    def _enter(self, line: str, where: str) -> None:
        match = _CONTEXT.fullmatch(line)
        if match is None:
            raise DialplanError(f"{where}: section {line} (templates are not simulated)")
        self._section, self._extension = match[1], None
        if match[1] not in {"general", "globals"}:
            self.dialplan.contexts.setdefault(match[1], Context(match[1]))

    def _line(self, line: str, where: str) -> None:
        if self._section is None:
            raise DialplanError(f"{where}: {line!r} stands before any section")
        if self._section == "general":
            return
        if self._section == "globals":
            name, equals, value = line.replace("=>", "=", 1).partition("=")
            if not equals:
                raise DialplanError(f"{where}: cannot read {line!r}")
            self.dialplan.globals[name.strip()] = value.strip()
            return
        context = self.dialplan.contexts[self._section]
        if line.lower().startswith("include"):
            context.includes.append(line.split("=", 1)[1].lstrip("> ").strip())
        elif match := _EXTEN.fullmatch(line):
            pattern = match[1].strip()
            self._extension = context.extensions.setdefault(pattern, Extension(pattern))
            self._add(match[2], match[3], where)
        elif match := _SAME.fullmatch(line):
            self._add(match[1], match[2], where)
        else:
            raise DialplanError(f"{where}: cannot read {line!r}")

    def _add(self, priority: str, call: str, where: str) -> None:
        extension = self._extension
        if extension is None:
            raise DialplanError(f"{where}: `same` without an extension above it")
        place, application = _PRIORITY.fullmatch(priority.strip()), _APPLICATION.fullmatch(call)
        if place is None or application is None:
            raise DialplanError(f"{where}: cannot read {priority},{call}")
        number = max(extension.steps, default=0) + 1 if place[1].lower() == "n" else int(place[1])
        if place[1].lower() == "n" and not extension.steps:
            raise DialplanError(f"{where}: the first priority cannot be n")
        if number in extension.steps or place[2] in extension.labels:
            raise DialplanError(f"{where}: priority {priority} is there already")
        extension.steps[number] = Step(application[1], application[2] or "", where)
        if place[2]:
            extension.labels[place[2]] = number
