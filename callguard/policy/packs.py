"""Packs: files of rules for one jurisdiction, in TOML.

What is wrong is told as ``file:line: what``, so that an editor finds it.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from callguard.policy.exemption import Exemption
from callguard.policy.kinds import KINDS
from callguard.policy.lines import line_of
from callguard.policy.rules import CALL_REJECTED, KindSettings, OnUnknown, Rule, Status
from callguard.policy.scope import Scope


class PackError(ValueError):
    """Packs that cannot be used. ``faults`` are all that was found, one line each."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults[0])


@dataclass(frozen=True, slots=True)
class Pack:
    """One jurisdiction's rules. ``shipped`` is whether it came with callguard."""

    name: str
    title: str
    rules: tuple[Rule, ...]
    file: str
    shipped: bool = True


_Text = Annotated[str, Field(min_length=1)]


class _RuleTable(BaseModel):
    """One ``[[rule]]`` as it stands in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)+$")]
    kind: _Text
    title: _Text
    citation: _Text
    effective_from: date
    effective_to: date | None = None
    status: Status = "unverified"
    verified_on: date | None = None
    source: str = ""
    series: str = ""
    on_unknown: OnUnknown = "block"
    cause: Annotated[int, Field(ge=1, le=127)] = CALL_REJECTED
    prompt: Annotated[str, Field(pattern=r"^[a-z0-9-]*$")] = "blocked"
    scope: dict[str, object] = {}
    unless: Exemption | None = None
    settings: dict[str, object] = {}

    @model_validator(mode="after")
    def _makes_sense(self) -> "_RuleTable":
        if self.kind not in KINDS:
            raise ValueError(f"no kind of rule is called {self.kind!r}")
        if self.effective_to is not None and self.effective_to < self.effective_from:
            raise ValueError("effective_to is before effective_from")
        if self.status == "verified" and not (self.verified_on and self.source):
            raise ValueError("a verified rule says when and where (verified_on, source)")
        return self


class _ScopeTable(BaseModel):
    scope: Scope


class _PackTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    title: _Text
    regions: frozenset[str] = frozenset()
    rule: list[dict[str, object]] = []


def parse_pack(name: str, text: str, file: str = "", *, shipped: bool = True) -> Pack:
    """Reads one pack. Its ``regions`` are those of every rule that names none itself.

    Raises PackError with every fault.
    """
    file = file or f"{name}.toml"
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PackError([f"{file}:{_line_told(error)}: {error}"]) from error
    try:
        table = _PackTable.model_validate(data)
    except ValidationError as error:
        raise PackError(_faults(file, text, None, error)) from error
    rules: list[Rule] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    for index, entry in enumerate(table.rule):
        try:
            rule = _rule(entry, table.regions)
        except ValidationError as error:
            faults += _faults(file, text, index, error)
            continue
        if rule.id in seen:
            line = line_of(text, index, ("id",))
            faults.append(f"{file}:{line}: rule {rule.id} stands in line {seen[rule.id]} already")
        seen.setdefault(rule.id, line_of(text, index, ("id",)))
        rules.append(rule)
    if faults:
        raise PackError(faults)
    return Pack(name, table.title, tuple(rules), file, shipped)


def shipped_packs() -> tuple[Pack, ...]:
    """The packs that come with callguard, by name."""
    folder = resources.files("callguard.policy").joinpath("packs")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return tuple(
        parse_pack(f.name[:-5], f.read_text(encoding="utf-8"), f"packs/{f.name}") for f in files
    )


def all_packs(folder: Path | None = None, leave_out: Iterable[str] = ()) -> tuple[Pack, ...]:
    """The shipped packs but for those left out, and the operator's own of ``folder``.

    Raises PackError with every fault of every file.
    """
    faults: list[str] = []
    shipped = {pack.name: pack for pack in shipped_packs()}
    for name in leave_out:
        if name not in shipped:
            faults.append(f"there is no pack {name!r}; known: {', '.join(shipped)}")
        shipped.pop(name, None)
    packs = list(shipped.values())
    for file in sorted(folder.glob("*.toml")) if folder is not None else ():
        try:
            text = file.read_text(encoding="utf-8")
            packs.append(parse_pack(file.stem, text, str(file), shipped=False))
        except PackError as error:
            faults += error.faults
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{file}: {error}")
    if folder is not None and not folder.is_dir():
        faults.append(f"{folder}: there is no such folder of packs")
    owners: dict[str, Pack] = {}
    for pack in packs:
        for rule in pack.rules:
            if rule.id in owners:
                faults.append(f"{pack.file}: rule {rule.id} is one of {owners[rule.id].file}")
            owners.setdefault(rule.id, pack)
    if faults:
        raise PackError(faults)
    return tuple(packs)


def _rule(entry: Mapping[str, object], regions: frozenset[str]) -> Rule:
    """Raises ValidationError whose places are those of the file."""
    table = _RuleTable.model_validate(entry)
    scope = _ScopeTable.model_validate({"scope": {"regions": regions, **table.scope}}).scope
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
        return settings.model_validate(values)
    except ValidationError as error:
        lines: list[InitErrorDetails] = [
            {
                "type": PydanticCustomError("setting", "{told}", {"told": _told(fault)}),
                "loc": ("settings", *fault["loc"]),
                "input": fault["input"],
            }
            for fault in error.errors()
        ]
        raise ValidationError.from_exception_data(settings.__name__, lines) from error


def _faults(file: str, text: str, index: int | None, error: ValidationError) -> list[str]:
    """One line for each thing that a table has wrong."""
    return [
        f"{file}:{_line(text, index, fault['loc'])}: {'.'.join(map(str, fault['loc'])) or 'rule'}: "
        f"{_told(fault)}"
        for fault in error.errors()
    ]


def _line(text: str, index: int | None, place: tuple[int | str, ...]) -> int:
    path = [part for part in place if isinstance(part, str)]
    if index is None and path[:1] == ["rule"] and len(place) > 1 and isinstance(place[1], int):
        return line_of(text, place[1], path[1:])
    return line_of(text, index, path)


def _told(fault: ErrorDetails) -> str:
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return "there is no such key"
    return fault["msg"].removeprefix("Value error, ")


def _line_told(error: tomllib.TOMLDecodeError) -> int:
    found = re.search(r"at line ([0-9]+)", str(error))
    return int(found[1]) if found else 1
