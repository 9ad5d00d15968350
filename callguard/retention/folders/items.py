"""What a managed folder holds, one thing at a time: a file, or a voice message with all of its."""

import fnmatch
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from callguard.config import Folder
from callguard.retention.folders import voicemail
from callguard.retention.folders.age import Age, age_of, is_quiet
from callguard.retention.folders.locking import LOCK, is_lock, take_away_left
from callguard.retention.folders.pace import Pace
from callguard.retention.folders.root import FolderError, Root, reached
from callguard.retention.folders.unread import LiveFile
from callguard.retention.folders.walk import File, Listing, Report, walk
from callguard.retention.holds.files import LEAST

LOCKED_S = 60.0
"""Nobody locks a folder of messages for so long and lives."""


@dataclass(frozen=True, slots=True)
class Item:
    """``about`` are texts in which numbers may stand that it is about; ``named`` is whether one
    does. ``message`` is whether it goes under Asterisk's lock; ``blocked`` why it may not go yet,
    whatever its age."""

    where: tuple[str, ...]
    files: tuple[File, ...]
    tenant: str | None
    age: Age
    about: tuple[str, ...]
    named: bool
    message: bool = False
    blocked: str | None = None

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def mark(self) -> str:
        """By which it is known again after a crash, with whatever of it is left: the digest of the
        file that goes last."""
        return digest(self.where, self.files[-1]).hex()


def digest(where: Sequence[str], file: File) -> bytes:
    """SHA-256 of the path below the root, the size and the time: not the name, which may hold a
    number."""
    path = os.fsencode("/".join((*where, file.name)))
    return hashlib.sha256(b"%b\0%d\0%d" % (path, file.size, file.mtime)).digest()


@dataclass(frozen=True, slots=True)
class Looker:
    """Looks through one folder. ``everything`` is whether what is kept regardless of its age (the
    greetings of a mailbox) counts too, as at the end of a contract."""

    folder: Folder
    root: Root
    live: Sequence[LiveFile]
    now: datetime
    report: Report
    pace: Pace
    everything: bool = False
    unknown: set[str] = field(default_factory=set)

    def items(self) -> Iterator[Item]:
        """All that lies there and is governed, as it comes."""
        together = self.folder.layout == "voicemail"
        for listing in walk(self.root, self.report, together=together):
            if together and listing.where[-1:] != (voicemail.HALF_MADE,):
                yield from self._messages(listing)
            else:
                yield from self._files(listing)

    def _files(self, listing: Listing) -> Iterator[Item]:
        folder = self._identity(listing.where)
        if folder is None:
            return
        for file in listing.files:
            self.pace.step()
            if not any(fnmatch.fnmatchcase(file.name, one) for one in self.folder.files):
                continue
            path = "/".join((*listing.where, file.name))
            blocked = self._blocked((file,))
            if any(one.keeps(folder, file) for one in self.live):
                blocked = "its call records are not all read yet"
            age = age_of(file.mtime, file.ctime, self.now)
            if age.fault:
                self.report((*listing.where, file.name), age.fault)
            yield Item(
                listing.where,
                (file,),
                self._whose(listing.where),
                age,
                (path,),
                _names_any((path,)),
                blocked=blocked,
            )

    def _messages(self, listing: Listing) -> Iterator[Item]:
        left = [one.name for one in listing.files if is_lock(one.name)]
        messages = voicemail.messages_of(listing.files)
        with_text = [one for one in messages if one.text is not None]
        said: dict[int, dict[str, str]] = {}
        if with_text or left:
            try:
                with reached(self.root, listing.where) as fd:
                    if left and take_away_left(fd, left):
                        self.report(listing.where, "a lock of a killed process was taken away")
                    elif any(
                        one.name == LOCK and is_quiet(one.ctime, self.now, LOCKED_S)
                        for one in listing.files
                    ):
                        self.report(listing.where, "a lock was left, so no message is kept there")
                    for message in with_text:
                        self.pace.step()
                        assert message.text is not None
                        said[message.number] = voicemail.read_text(_read(fd, message.text))
            except (OSError, FolderError):
                return  # it is no longer there as it was; the next look sees what is
        for message in messages:
            self.pace.step()
            words = said.get(message.number, {})
            age = voicemail.age_of_message(message, words, self.now)
            if age.fault:
                self.report((*listing.where, message.files[-1].name), age.fault)
            yield Item(
                listing.where,
                message.files,
                self._whose(listing.where),
                age,
                ("/".join(listing.where), *voicemail.about(words)),
                _names_any(voicemail.callers(words)),
                message=True,
                blocked=self._blocked(message.files),
            )
        if self.everything:
            known = {file.name for message in messages for file in message.files}
            rest = tuple(
                one for one in listing.files if one.name not in known and one.name not in left
            )
            yield from self._files(Listing(listing.where, rest))

    def _blocked(self, files: Sequence[File]) -> str | None:
        if all(is_quiet(one.ctime, self.now, self.folder.quiet_s) for one in files):
            return None
        return "it was changed a short while ago"

    def _whose(self, where: tuple[str, ...]) -> str | None:
        """The id of the tenant; None where the folder names none for it, which is reported."""
        if self.folder.tenant is not None:
            return self.folder.tenant
        owner = self.folder.tenants.get(where[0]) if where else None
        if owner is None and (name := where[0] if where else ".") not in self.unknown:
            self.unknown.add(name)
            self.report(where[:1], "the settings do not say which tenant's it is")
        return owner

    def _identity(self, where: tuple[str, ...]) -> tuple[int, int] | None:
        """Which folder it is; None where it is no longer there."""
        if not self.live:
            return (0, 0)
        try:
            with reached(self.root, where) as fd:
                status = os.fstat(fd)
                return status.st_dev, status.st_ino
        except (OSError, FolderError):
            return None


_DATED = re.compile(
    r"(?<!\d)(?:19|20)\d\d[-_./]?(?:0[1-9]|1[0-2])[-_./]?(?:0[1-9]|[12]\d|3[01])"
    r"(?:[-_./T ]?(?:[01]\d|2[0-3])[-_.:]?[0-5]\d(?:[-_.:]?[0-5]\d)?)?(?!\d)"
)
"""A day, and perhaps a time of it, as files are named by."""


def _names_any(texts: Sequence[str]) -> bool:
    """Whether digits stand there by which somebody or a call may be known: a day names nobody."""
    plain = (_DATED.sub(" ", text) for text in texts)
    return sum(one.isdigit() for text in plain for one in text) >= LEAST


def _read(fd: int, file: File) -> bytes:
    """The text of a message; nothing where it cannot be read."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        opened = os.open(file.name, flags, dir_fd=fd)
    except OSError:
        return b""
    try:
        return os.read(opened, voicemail.TEXT_BYTES) if file.is_same(os.fstat(opened)) else b""
    finally:
        os.close(opened)
