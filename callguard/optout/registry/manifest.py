"""The manifest of a snapshot, canonical JSON (docs/formats.md): one way to write it, read
strictly."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import NoReturn

from callguard.optout.registry.calling_codes import CODES
from callguard.optout.registry.contract import Coverage, Manifest, RegistryError

VERSION = 1
MOST_BYTES = 4 << 20

_KEYS = {
    "base",
    "count",
    "counts",
    "coverage",
    "files",
    "imported_at",
    "list_date",
    "registry",
    "sources",
    "version",
}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")
_BITS_FILES = frozenset(f"{code}.bits" for code in CODES)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def canonical(value: object) -> bytes:
    """JSON in its one form. Raises ValueError or TypeError for what has none."""
    text = json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return text.encode()


def encode(manifest: Manifest) -> tuple[bytes, Manifest]:
    """The bytes, and the manifest with their digest. Raises RegistryError for one that could not
    be read back."""
    value = {
        "version": VERSION,
        "registry": manifest.registry,
        "list_date": manifest.list_date.isoformat(),
        "imported_at": manifest.imported_at,
        "count": manifest.count,
        "coverage": list(manifest.coverage.prefixes),
        "counts": manifest.counts,
        "sources": list(manifest.sources),
        "files": manifest.files,
        "base": manifest.base,
    }
    where = Path("manifest.json")
    try:
        data = canonical(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise RegistryError(f"{where}: cannot be written: {error}") from None
    return data, replace(parse(data, where), sources=manifest.sources)


def parse(data: bytes, path: Path) -> Manifest:
    """Read a manifest. ``path`` is for the error. Raises RegistryError for every deviation."""

    def refuse(what: str) -> NoReturn:
        raise RegistryError(f"{path}: {what}")

    if len(data) > MOST_BYTES:
        refuse(f"is longer than {MOST_BYTES} bytes")
    try:
        value = json.loads(data)
        same = canonical(value) == data
    except (ValueError, RecursionError):
        refuse("is no JSON")
    if not same:
        refuse("is not in the canonical form")
    if not isinstance(value, dict):
        refuse("is no object")
    if wrong := sorted(_KEYS ^ value.keys()):
        missing = "is missing" if wrong[0] in _KEYS else "is not known"
        refuse(f"key {wrong[0][:40]!r} {missing}")
    if type(value["version"]) is not int or value["version"] != VERSION:
        refuse("is of a version that is not known here")
    name, list_date, imported_at = value["registry"], value["list_date"], value["imported_at"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        refuse("'registry' is no name")
    if not isinstance(list_date, str) or not _DATE.fullmatch(list_date):
        refuse("'list_date' is no date")
    try:
        day = date.fromisoformat(list_date)
    except ValueError:
        refuse("'list_date' is no date")
    if not isinstance(imported_at, str) or not 1 <= len(imported_at) <= 64:
        refuse("'imported_at' is no time")
    if not _is_count(value["count"]):
        refuse("'count' is no count")
    coverage, counts = value["coverage"], value["counts"]
    if (
        not isinstance(coverage, list)
        or not all(isinstance(each, str) and _PREFIX.fullmatch(each) for each in coverage)
        or coverage != sorted(set(coverage))
    ):
        refuse("'coverage' is no sorted list of prefixes")
    if (
        not isinstance(counts, dict)
        or sorted(counts) != coverage
        or not all(_is_count(each) and each <= value["count"] for each in counts.values())
    ):
        refuse("'counts' does not give a count for each covered prefix")
    sources, files, base = value["sources"], value["files"], value["base"]
    if not isinstance(sources, list) or not all(isinstance(each, dict) for each in sources):
        refuse("'sources' is no list of objects")
    if not isinstance(files, dict) or not all(
        key in _BITS_FILES and isinstance(digest, str) and _DIGEST.fullmatch(digest)
        for key, digest in files.items()
    ):
        refuse("'files' does not give a digest for each bits file")
    if base is not None and not (isinstance(base, str) and _DIGEST.fullmatch(base)):
        refuse("'base' is no digest")
    return Manifest(
        registry=name,
        list_date=day,
        imported_at=imported_at,
        count=value["count"],
        counts=counts,
        coverage=Coverage(tuple(coverage)),
        sources=tuple(sources),
        files=files,
        base=base,
        digest=hashlib.sha256(data).hexdigest(),
    )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 10**15
