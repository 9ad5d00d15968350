"""Packs: files of rules for one jurisdiction, in TOML."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from types import MappingProxyType

from callguard.policy.kinds import KINDS
from callguard.policy.rules import CALL_REJECTED, Rule


class PackError(ValueError):
    """A pack that cannot be used; says which file, which rule and what is wrong."""


@dataclass(frozen=True, slots=True)
class Pack:
    """One jurisdiction's rules."""

    name: str
    title: str
    rules: tuple[Rule, ...]


_KEYS = frozenset(
    {
        "id",
        "kind",
        "title",
        "citation",
        "effective_from",
        "effective_to",
        "status",
        "verified_on",
        "on_unknown",
        "cause",
        "settings",
    }
)


def parse_pack(name: str, text: str) -> Pack:
    """Reads one pack. Raises PackError, in one line."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PackError(f"pack {name}: {error}") from error
    rules = tuple(_rule(name, entry) for entry in data.get("rule", []))
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            raise PackError(f"pack {name}: two rules have the id {rule.id}")
        seen.add(rule.id)
    return Pack(name, str(data.get("title", name)), rules)


def shipped_packs() -> tuple[Pack, ...]:
    """The packs that come with callguard, by name."""
    folder = resources.files("callguard.policy").joinpath("packs")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return tuple(parse_pack(f.name[:-5], f.read_text(encoding="utf-8")) for f in files)


def _rule(pack: str, entry: Mapping[str, object]) -> Rule:
    where = f"pack {pack}, rule {entry.get('id', '?')}"
    for key in entry:
        if key not in _KEYS:
            raise PackError(f"{where}: unknown key {key!r}")
    for key in ("id", "kind", "title", "citation"):
        if not isinstance(entry.get(key), str):
            raise PackError(f"{where}: {key} is missing or no text")
    kind = str(entry["kind"])
    if kind not in KINDS:
        raise PackError(f"{where}: no kind of rule is called {kind!r}")
    since, until = entry.get("effective_from"), entry.get("effective_to")
    if not isinstance(since, date) or not (until is None or isinstance(until, date)):
        raise PackError(f"{where}: effective_from and effective_to are dates")
    if until is not None and until < since:
        raise PackError(f"{where}: effective_to is before effective_from")
    status, verified = entry.get("status", "unverified"), entry.get("verified_on")
    if status not in ("verified", "unverified"):
        raise PackError(f"{where}: status is verified or unverified")
    if not (verified is None or isinstance(verified, date)):
        raise PackError(f"{where}: verified_on is a date")
    if status == "verified" and verified is None:
        raise PackError(f"{where}: a verified rule says when (verified_on)")
    on_unknown = entry.get("on_unknown", "block")
    if on_unknown not in ("pass", "block"):
        raise PackError(f"{where}: on_unknown is pass or block")
    cause, settings = entry.get("cause", CALL_REJECTED), entry.get("settings", {})
    if not isinstance(cause, int) or not 1 <= cause <= 127:
        raise PackError(f"{where}: cause is a Q.850 cause, 1 to 127")
    if not isinstance(settings, dict):
        raise PackError(f"{where}: settings is a table")
    return Rule(
        id=str(entry["id"]),
        kind=kind,
        title=str(entry["title"]),
        citation=str(entry["citation"]),
        effective_from=since,
        effective_to=until,
        status=status,
        verified_on=verified,
        on_unknown=on_unknown,
        cause=cause,
        settings=MappingProxyType(settings),
    )
