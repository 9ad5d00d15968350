"""Packs: files of rules for one jurisdiction, and of limits to how long records are kept, in TOML.

What is wrong is told as ``file:line: what``, so that an editor finds it.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from callguard.policy.kinds import KINDS
from callguard.policy.limits import RetentionLimit
from callguard.policy.lines import line_of
from callguard.policy.retention_table import read_limit
from callguard.policy.rules import KindSettings, Rule
from callguard.policy.tables import (
    PackTable,
    RuleTable,
    ScopeTable,
    key_of,
    plain,
    read_settings,
    told_of,
)

MAX_PACK = 256 * 1024
"""Most characters of a pack."""

MAX_LINE = 1_000
"""Most characters of a line: a TOML reader takes the square of a dotted key's length."""

Entry = Rule | RetentionLimit

BASE = "base"
"""The pack that nobody leaves out: emergencies, opt-outs, restrictions."""


class PackError(ValueError):
    """Packs that cannot be used. ``faults`` are all that was found, one line each."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults[0])


@dataclass(frozen=True, slots=True)
class Pack:
    """One jurisdiction's rules and limits. ``shipped`` is whether it came with callguard; ``lines``
    are those of the file in which its rules begin, ``limit_lines`` in which its limits do."""

    name: str
    title: str
    rules: tuple[Rule, ...]
    file: str
    shipped: bool = True
    lines: tuple[int, ...] = field(default=(), repr=False, compare=False)
    limits: tuple[RetentionLimit, ...] = ()
    limit_lines: tuple[int, ...] = field(default=(), repr=False, compare=False)

    def where(self, rule: int) -> str:
        """``file:line`` of its n-th rule."""
        return f"{self.file}:{self.lines[rule]}"

    def where_limit(self, limit: int) -> str:
        """``file:line`` of its n-th limit."""
        return f"{self.file}:{self.limit_lines[limit]}"


def limits_of(packs: Iterable[Pack]) -> tuple[RetentionLimit, ...]:
    """The floors and ceilings of all of them."""
    return tuple(limit for pack in packs for limit in pack.limits)


def parse_pack(name: str, text: str, file: str = "", *, shipped: bool = True) -> Pack:
    """Reads one pack. Its ``regions`` are those of every rule and limit that names none itself.

    Raises PackError with every fault.
    """
    file = file or f"{name}.toml"
    data = _read_toml(file, text)
    try:
        table = PackTable.model_validate(data)
    except ValidationError as error:
        raise PackError(_faults(file, text, None, error)) from error
    seen: dict[str, str] = {}
    faults: list[str] = []
    entries = partial(_entries, file, text, seen, faults)
    rules = entries("rule", table.rule, partial(_rule, regions=table.regions))
    limits = entries("retention", table.retention, partial(read_limit, regions=table.regions))
    if faults:
        raise PackError(faults)
    return Pack(
        name,
        table.title,
        tuple(rule for rule, _ in rules if isinstance(rule, Rule)),
        file,
        shipped,
        tuple(line for _, line in rules),
        tuple(limit for limit, _ in limits if isinstance(limit, RetentionLimit)),
        tuple(line for _, line in limits),
    )


def _entries(
    file: str,
    text: str,
    seen: dict[str, str],
    faults: list[str],
    kind: str,
    tables: Sequence[Mapping[str, object]],
    read: Callable[[Mapping[str, object]], Entry],
) -> list[tuple[Entry, int]]:
    """All tables of one kind, each with its line. ``seen`` is where each id stands; it and
    ``faults`` grow."""
    found: list[tuple[Entry, int]] = []
    for index, table in enumerate(tables):
        try:
            entry = read(table)
        except ValidationError as error:
            faults.extend(_faults(file, text, index, error, kind))
            continue
        line = line_of(text, index, ("id",), kind)
        if entry.id in seen:
            faults.append(_twice(entry, f"{file}:{line}", seen[entry.id]))
        seen.setdefault(entry.id, f"{file}:{line}")
        found.append((entry, line))
    return found


def _read_toml(file: str, text: str) -> dict[str, object]:
    if len(text) > MAX_PACK:
        raise PackError([f"{file}:1: a pack has at most {MAX_PACK} characters"])
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_LINE:
            raise PackError([f"{file}:{number}: a line has at most {MAX_LINE} characters"])
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and what it lets pass of int and date
        raise PackError([f"{file}:{_line_told(error, text)}: {plain(str(error))}"]) from error
    except RecursionError as error:
        raise PackError([f"{file}:1: too many brackets within one another"]) from error


def shipped_packs() -> tuple[Pack, ...]:
    """The packs that come with callguard, by name."""
    return tuple(_read(file, f"packs/{file.name}") for file in _shipped())


def all_packs(folder: Path | None = None, leave_out: Iterable[str] = ()) -> tuple[Pack, ...]:
    """The shipped packs but for those left out, and the operator's own of ``folder``.

    Raises PackError with every fault of every file.
    """
    faults: list[str] = []
    shipped = {file.name.removesuffix(".toml"): file for file in _shipped()}
    for name in dict.fromkeys(leave_out):
        if name == BASE:
            faults.append(f"pack {BASE} cannot be left out")
        elif shipped.pop(name, None) is None:
            faults.append(f"there is no pack {name!r}; known: {', '.join(shipped)}")
    files: list[tuple[Traversable, str, bool]] = [
        (file, f"packs/{file.name}", True) for file in shipped.values()
    ]
    if folder is not None:
        if not folder.is_dir():
            faults.append(f"{plain(str(folder))}: there is no such folder of packs")
        files += [(file, str(file), False) for file in sorted(folder.glob("*.toml"))]
    packs: list[Pack] = []
    for file, told, ours in files:
        try:
            packs.append(_read(file, told, shipped=ours))
        except PackError as error:
            faults += error.faults
    faults += _duplicates(packs)
    if faults:
        raise PackError(faults)
    return tuple(packs)


def _shipped() -> list[Traversable]:
    folder = resources.files("callguard.policy").joinpath("packs")
    return sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)


def _read(file: Traversable, told: str, *, shipped: bool = True) -> Pack:
    told = plain(told)
    try:
        if not file.is_file():  # a pipe would never end
            raise PackError([f"{told}:1: it is no file"])
        data = file.read_bytes()
    except OSError as error:
        raise PackError([f"{told}:1: {error.strerror}"]) from error
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PackError([f"{told}:{line}: it is not in UTF-8: {error.reason}"]) from error
    return _remembered(file.name.removesuffix(".toml"), text, told, shipped)


@lru_cache(maxsize=64)
def _remembered(name: str, text: str, file: str, shipped: bool) -> Pack:
    """A text that was read before is the same pack."""
    return parse_pack(name, text, file, shipped=shipped)


def _duplicates(packs: Iterable[Pack]) -> Iterator[str]:
    first: dict[str, str] = {}
    for pack in packs:
        entries: list[tuple[Entry, str]] = [
            *((rule, pack.where(index)) for index, rule in enumerate(pack.rules)),
            *((limit, pack.where_limit(index)) for index, limit in enumerate(pack.limits)),
        ]
        for entry, where in entries:
            if entry.id in first:
                yield _twice(entry, where, first[entry.id])
            first.setdefault(entry.id, where)


def _twice(entry: Entry, second: str, first: str) -> str:
    what = "rule" if isinstance(entry, Rule) else "limit"
    return f"{second}: {what} {entry.id} is there already: {first}"


def _rule(entry: Mapping[str, object], regions: frozenset[str]) -> Rule:
    """Raises ValidationError whose places are those of the file."""
    table = RuleTable.model_validate(entry)
    scope = ScopeTable.model_validate({"scope": {"regions": regions, **table.scope}}).scope
    return Rule(
        id=table.id,
        kind=table.kind,
        title=table.title,
        citation=table.citation,
        effective_from=table.effective_from,
        effective_to=table.effective_to,
        status=table.status,
        verified_on=table.verified_on,
        source=table.source,
        series=table.series,
        on_unknown=table.on_unknown,
        cause=table.cause,
        prompt=table.prompt,
        settings=_checked(KINDS[table.kind].settings, table.settings),
        scope=scope,
        exemption=table.unless,
    )


def _checked(settings: type[KindSettings], values: Mapping[str, object]) -> KindSettings:
    try:
        return read_settings(settings, values)
    except ValidationError as error:
        lines: list[InitErrorDetails] = [
            {
                "type": PydanticCustomError("setting", "{told}", {"told": told_of(fault)}),
                "loc": ("settings", *fault["loc"]),
                "input": fault["input"],
            }
            for fault in error.errors()
        ]
        raise ValidationError.from_exception_data(settings.__name__, lines) from error


def _faults(
    file: str, text: str, index: int | None, error: ValidationError, kind: str = "rule"
) -> list[str]:
    """One line for each thing that a table has wrong."""
    return [
        f"{file}:{_line(text, index, fault['loc'], kind)}: "
        f"{key_of(fault) or kind}: {told_of(fault)}"
        for fault in error.errors(include_url=False)
    ]


def _line(text: str, index: int | None, place: tuple[int | str, ...], kind: str) -> int:
    path = [part for part in place if isinstance(part, str)]
    if index is None and path[:1] in (["rule"], ["retention"]):
        kind, index, path = path[0], next((n for n in place if isinstance(n, int)), None), path[1:]
        path = path if index is not None else [kind, *path]
    return line_of(text, index, path, kind)


def _line_told(error: ValueError, text: str) -> int:
    found = re.search(r"at line ([0-9]+)", str(error))
    if found:
        return int(found[1])
    return text.count("\n") + 1 if "end of document" in str(error) else 1
