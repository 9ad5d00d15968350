"""Lists of opt-outs as files: ``optout import`` and ``optout export``."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from callguard.cli.surroundings import CommandError, actor, require_tenant
from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.optout.bulk import Tally, Terms, enter, note, subject_key
from callguard.optout.events import OptOutError
from callguard.optout.export import Format, exported
from callguard.optout.lines import Asked, Entry, Fault, Layout, entries, layout_of
from callguard.optout.standing import Wish, every
from callguard.policy.tables import plain
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.schema import tenants

HEAD = 65_536
"""How much of a file is looked at to see how it is made."""

MAX_NAME = 120
"""Most characters of a file's name that are kept with each opt-out."""


class Import:
    """One file, opened, with what is asked of it. Raises CommandError, OptOutError, OSError."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        source: BufferedReader,
        name: str,
        asked: Asked,
        *,
        tenant: str | None,
        everyone: bool,
        purposes: frozenset[str],
        channels: frozenset[str],
        reason: str,
    ) -> None:
        self._database = database
        self._source = source
        self.tally = Tally()
        with database.reading() as connection:
            if tenant is not None:
                require_tenant(connection, tenant)
            found = connection.execute(select(tenants.c.id, tenants.c.settings)).all()
        regions: dict[str | None, str] = {row.id: str(row.settings["home_region"]) for row in found}
        regions[None] = settings.home_region
        region = regions[tenant]
        head = source.read(HEAD)
        if len(head) == HEAD:
            head = head[: head.rfind(b"\n") + 1] or head
        self._reads = lambda text: bool(subject_key(text, region))
        layout = layout_of(head, asked, self._reads)
        places = dict(layout.places)
        if tenant is not None or everyone:
            places.pop("tenant", None)
        elif "tenant" not in places:
            raise CommandError("say whose calls are not wanted: --tenant, or --all-tenants")
        self.layout = Layout(layout.delimiter, places, layout.names)
        shown = os.fsencode(name).decode("utf-8", "replace")
        self.terms = Terms(
            regions,
            tenant,
            "tenant" in places,
            purposes,
            channels,
            plain(shown)[-MAX_NAME:],
            _digest(source),
            actor(),
            reason.strip() or None,
        )

    def run(self, *, dry: bool) -> None:
        """Enters what is new. Raises CommandError, with how far it came, where the database
        fails or the file changes meanwhile."""
        clock = SystemClock()
        try:
            enter(self._database, self._entries(), self.terms, self.tally, clock.now, dry=dry)
            if not dry:
                with self._database.writing() as connection:
                    note(connection, self.terms, self.tally, clock.now())
        except SQLAlchemyError as error:
            done = self.tally.new + self.tally.widened
            raise CommandError(
                f"{one_line(error)}; {done} opt-outs before that are entered: import the file again"
            ) from error
        if _digest(self._source) != self.terms.digest:
            raise CommandError("the file was changed while it was read: import it again")

    def _entries(self) -> Iterator[Entry | Fault]:
        """With a progress bar on a terminal."""
        source, console = self._source, Console(stderr=True)
        source.seek(0)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("opt-outs", total=os.fstat(source.fileno()).st_size)
            for n, entry in enumerate(entries(source, self.layout, self._reads)):
                if n % 1_000 == 0:
                    bar.update(task, completed=source.tell())
                yield entry

    def report(self, *, dry: bool) -> dict[str, object]:
        """What it came to, for a program."""
        return {
            "file": self.terms.file,
            "sha256": self.terms.digest,
            "dry_run": dry,
            **self.tally.counts(),
            "header": list(self.layout.names),
            "column": self.layout.places["number"] + 1,
            "faults": [{"line": f.line, "fault": f.told} for f in self.tally.faults],
        }

    def told(self, *, dry: bool) -> list[str]:
        """The same for people."""
        tally, place = self.tally, self.layout.places["number"]
        named = f" ({self.layout.names[place]})" if self.layout.names else ", no line of names"
        lines = ["a dry run: nothing is entered"] if dry else []
        lines += [
            f"read: {tally.read}, from column {place + 1}{named}",
            f"new: {tally.new}, widened: {tally.widened}, already there: {tally.there}",
        ]
        if tally.lifted:
            lines.append(f"older than a re-consent, left as they are: {tally.lifted}")
        if tally.undated:
            lines.append(f"entered as of now, for want of a date in the past: {tally.undated}")
        lines.append(f"bad, not entered: {tally.bad}")
        lines += [f"line {fault.line}: {fault.told}" for fault in tally.faults]
        if (more := tally.bad + tally.undated - len(tally.faults)) > 0:
            lines.append(f"and {more} more")
        return [plain(line) for line in lines]


def named_columns(
    number: str, purpose: str, channel: str, date: str, tenant: str, delimiter: str
) -> Asked:
    """The options that say where things are. Raises CommandError."""
    signs = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";"}
    sign = signs.get(delimiter.lower(), delimiter)
    if len(sign) > 1 or sign in ('"', "\r", "\n"):
        raise CommandError(f"{delimiter!r} is no delimiter: give one sign, or tab")
    given = {
        "number": number,
        "purposes": purpose,
        "channels": channel,
        "since": date,
        "tenant": tenant,
    }
    return Asked({what: name for what, name in given.items() if name.strip()}, sign)


@contextmanager
def opened_list(file: Path) -> Iterator[BufferedReader]:
    """The file, which is read more than once. Raises CommandError, OSError."""
    if not file.is_file():
        raise CommandError(f"there is no file {str(file)!r}")
    with file.open("rb") as source:
        try:
            yield source
        except OptOutError as error:
            raise CommandError(f"{file}: {error}") from error


def export(database: Database, tenant: str | None, how: Format, file: Path | None) -> int:
    """Writes what stands, to a new file of its owner alone or to standard output; how many.
    Raises OSError, and what the database raises; then there is no file."""
    found = (
        w for w in every(database.reading) if tenant is None or w.event.tenant in (tenant, None)
    )
    wishes = _Counted(found)
    if file is None:
        for line in exported(wishes, how):
            typer.echo(line, nl=False)
        return wishes.count
    with open(file, "x", encoding="utf-8", opener=_private) as target:
        try:
            target.writelines(exported(wishes, how))
            target.flush()
            os.fsync(target.fileno())
        except BaseException:
            file.unlink()
            raise
    return wishes.count


class _Counted:
    def __init__(self, wishes: Iterable[Wish]) -> None:
        self._wishes = wishes
        self.count = 0

    def __iter__(self) -> Iterator[Wish]:
        for wish in self._wishes:
            self.count += 1
            yield wish


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _digest(source: BufferedReader) -> str:
    source.seek(0)
    return hashlib.file_digest(source, "sha256").hexdigest()
