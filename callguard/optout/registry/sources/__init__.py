"""The files of public lists: opened, checked and read as numbers, one module a format.

Formats: ``us-dnc`` (us_dnc.py), ``uk-tps`` (uk_tps.py), ``e164`` (e164.py), ``csv`` and
``changes`` (tables.py).
"""

from collections.abc import Generator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TypeVar

from callguard.config import RegistryList
from callguard.optout.registry.contract import Format, RegistryError
from callguard.optout.registry.sources.e164 import E164
from callguard.optout.registry.sources.layout import Layout
from callguard.optout.registry.sources.lines import BLOCK
from callguard.optout.registry.sources.opening import ListFile, reason, shown_name
from callguard.optout.registry.sources.reading import TextSource
from callguard.optout.registry.sources.tables import Changes, Csv
from callguard.optout.registry.sources.uk_tps import UkTps
from callguard.optout.registry.sources.us_dnc import UsDnc, code_in, date_in

_T = TypeVar("_T")

_REGIONS = {"us-dnc": "US", "uk-tps": "GB"}
"""Whose national numbers the changes to a list are, by the list's own format."""


def open_sources(
    paths: Sequence[Path],
    settings: RegistryList,
    format: Format,  # noqa: A002 - the word of the setting
    block: int = BLOCK,
) -> Generator[TextSource, None, None]:
    """The texts in the files of one list, in their order; only the file of the one at hand is
    open. ``settings.covers`` bounds what the formats without country codes of their own take.
    ``block`` is about how many bytes of text make a batch.

    Raises RegistryError, at once for a file named twice and for two named for one area code, and
    otherwise when the file's turn comes; a file whose bytes or area code were there before is
    refused when it was read."""
    if not paths:
        raise RegistryError("no file is named")
    seen = _Seen(format)
    for path in paths:
        seen.path(path)
    return _opened(paths, settings, format, block, seen)


def _opened(
    paths: Sequence[Path], settings: RegistryList, form: Format, block: int, seen: "_Seen"
) -> Generator[TextSource, None, None]:
    for path in paths:
        file = ListFile(path)
        try:
            for member in file.members():
                own, outer = member.own, path.name
                code = _agreed(file.name, code_in(own), code_in(outer), "area code")
                listed = _agreed(file.name, *_dates(file.name, own, outer), "date")
                layout = layout_of(form, settings, code)
                source = TextSource(
                    file, member, layout, listed, partial(seen.read, path=path), block
                )
                seen.text(source, path)
                yield source
        finally:
            file.close()


def layout_of(form: Format, settings: RegistryList, code: str | None = None) -> Layout:
    """How lines of a format are read, as the settings say; ``code`` is the area code in the name
    of a file of ``us-dnc``."""
    match form:
        case "us-dnc":
            return UsDnc(code)
        case "uk-tps":
            return UkTps()
        case "e164":
            return E164(settings.covers)
        case "csv":
            return Csv(settings.number, settings.region, settings.covers, settings.delimiter)
        case "changes":
            return Changes(
                settings.number,
                settings.action,
                settings.add,
                settings.remove,
                settings.region or _REGIONS.get(settings.format or ""),
                settings.covers,
                settings.delimiter,
            )


def _dates(name: str, own: str, outer: str) -> tuple[date | None, date | None]:
    try:
        return date_in(own), date_in(outer)
    except ValueError as error:
        raise RegistryError(f"{name}: its name bears a date that no calendar has") from error


def _agreed(name: str, own: _T | None, outer: _T | None, what: str) -> _T | None:
    """What a file's own name says, or that of its archive; they must not differ."""
    if own is not None and outer is not None and own != outer:
        raise RegistryError(f"{name}: its name says {what} {outer}, the file in it {own}")
    return own if own is not None else outer


class _Seen:
    """What was given already."""

    def __init__(self, form: Format) -> None:
        self._by_area = form == "us-dnc"
        self._files: set[tuple[int, int]] = set()
        self._named: dict[str, Path] = {}
        self._areas: dict[str, tuple[Path, str]] = {}
        self._digests: dict[str, Path] = {}

    def path(self, path: Path) -> None:
        """Is told of each path before anything is opened."""
        try:
            found = path.stat()
        except (OSError, ValueError) as error:
            raise RegistryError(f"{shown_name(path.name)}: {reason(error)}") from error
        if (found.st_dev, found.st_ino) in self._files:
            raise RegistryError(f"{shown_name(path.name)}: is given twice")
        self._files.add((found.st_dev, found.st_ino))
        code = code_in(path.name)
        if self._by_area and code:
            self._claim(f"+1{code}", path, shown_name(path.name))

    def text(self, source: TextSource, path: Path) -> None:
        """Is told of each text before it is read and, as then its lines may have told what it is
        about, again behind it."""
        for prefix in source.covers if self._by_area else ():
            self._claim(prefix, path, source.name)
            there = self._areas.setdefault(prefix, (path, source.name))
            if there != (path, source.name):
                raise RegistryError(f"{source.name}: is for {prefix}, as is {there[1]}")

    def read(self, source: TextSource, path: Path) -> None:
        """Is told of each text once it was read."""
        self.text(source, path)
        other = self._digests.setdefault(source.digest(), path)
        if other != path:
            raise RegistryError(f"{source.name}: is the same file as {shown_name(other.name)}")

    def _claim(self, prefix: str, path: Path, name: str) -> None:
        other = self._named.setdefault(prefix, path)
        if other != path:
            raise RegistryError(f"{name}: is for {prefix}, as is {shown_name(other.name)}")
