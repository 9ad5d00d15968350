"""Voice messages as Asterisk's app_voicemail keeps them in files: CONTEXT/MAILBOX/FOLDER/, in which
``msg0000.txt`` says what ``msg0000.wav`` (and other formats of it) is. Pure.

A message goes as a whole. What follows it keeps its number: Asterisk 22 appends after the highest
(``last_message_index``), counts by looking (``count_messages``), and closes a gap itself, under its
own lock, when the mailbox is opened next (``open_mailbox``, "Resequencing Mailbox"). Renumbering
here would be harmful: a session that has the mailbox open knows its messages by number, and would
delete another one than its owner heard; at a gap it stops (``close_mailbox``).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from callguard.retention.folders.age import Age, age_of, believable, moment
from callguard.retention.folders.walk import File

HALF_MADE = "tmp"
"""Where Asterisk records a message before it is one: what lies there long was left by a crash."""

_NAME = re.compile(r"msg([0-9]{4}|[1-9][0-9]{4})(?:intro|-bak)?(?:\.[A-Za-z0-9_-]{1,10}){1,2}")
_LINE = re.compile(r"^\s*([a-z_]{1,32})\s*=>?\s*(.{0,512}?)\s*$", re.MULTILINE)
_CALLERS = ("callerid", "rdnis")
_ABOUT = (*_CALLERS, "callerchan", "exten", "origmailbox")

TEXT_BYTES = 64 * 1024
"""Most that is read of what is said about a message."""


@dataclass(frozen=True, slots=True)
class Message:
    """The files of one message, its text last: so the message is known by it until all is gone."""

    number: int
    files: tuple[File, ...]
    text: File | None


def number_of(name: str) -> int | None:
    """The number of the message that a file belongs to; None where it is of none: a greeting, a
    password, a lock."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else None


def messages_of(files: Sequence[File]) -> list[Message]:
    """The messages of a folder, by their numbers."""
    together: dict[int, list[File]] = {}
    for file in files:
        if (number := number_of(file.name)) is not None:
            together.setdefault(number, []).append(file)
    return [_message(number, together[number]) for number in sorted(together)]


def _message(number: int, files: list[File]) -> Message:
    text = next((one for one in files if one.name == f"msg{number:04d}.txt"), None)
    rest = sorted((one for one in files if one is not text), key=lambda one: one.name)
    return Message(number, (*rest, *([text] if text else [])), text)


def read_text(data: bytes) -> dict[str, str]:
    """What the text of a message says; nothing where it is none. The first of a name counts."""
    found: dict[str, str] = {}
    for name, value in _LINE.findall(data[:TEXT_BYTES].decode("utf-8", errors="replace")):
        found.setdefault(name, value)
    return found


def age_of_message(message: Message, said: dict[str, str], now: datetime) -> Age:
    """From when its caller began to speak, as the text has it: it stays the same when the message
    is moved to another folder, which copies its files. Without that, by the newest of its files."""
    text = said.get("origtime", "")
    if re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        begun = moment(int(text) * 10**9)
        if believable(begun, now):
            return Age(begun)
    newest = max(message.files, key=lambda one: one.mtime)
    return age_of(newest.mtime, max(one.ctime for one in message.files), now)


def callers(said: dict[str, str]) -> tuple[str, ...]:
    """Who spoke, and who had sent the call there."""
    return tuple(said[name] for name in _CALLERS if name in said)


def about(said: dict[str, str]) -> tuple[str, ...]:
    """Whom it is about: where numbers stand in its text."""
    return tuple(said[name] for name in _ABOUT if name in said)
