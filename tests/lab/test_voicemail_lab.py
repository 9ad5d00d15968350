"""Voice messages that a real Asterisk keeps in files, and callguard takes when their time has come:
what Asterisk counts, how it numbers on, and that both use one lock.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from callguard.config import Folder, Settings
from callguard.policy.span import Span
from callguard.retention.folders.governing import ManagedFolders
from callguard.retention.folders.locking import locked
from callguard.storage.database import Database
from callguard.tenants.tenant import Tenant, TenantSettings
from tests.clock import HandClock
from tests.databases import add_tenant
from tests.lab import config
from tests.lab.asterisk import Asterisk
from tests.lab.guarded import eventually
from tests.schema import upgrade

pytestmark = pytest.mark.lab

T = TypeVar("T")

VOICEMAIL = """[general]
format=wav|ulaw
minsecs=0
maxsecs=1
maxsilence=0
pollmailboxes=yes
pollfreq=1
[default]
100 => 1234,One
101 => 1234,Two
"""

DIALPLAN = """[general]
[leave]
exten => _X.,1,Answer()
 same => n,Set(CALLERID(num)=33612345678)
 same => n,VoiceMail(${EXTEN}@default,st())
 same => n,Hangup()
[hear]
exten => _X.,1,Answer()
 same => n,VoiceMailMain(${EXTEN}@default,s)
 same => n,Hangup()
"""


@pytest.fixture(scope="module")
def mailboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asterisk]:
    modules = config.modules_conf() + "".join(
        f"load = {name}.so\n"
        for name in ("res_clioriginate", "res_adsi", "res_smdi", "app_voicemail")
    )
    files = {
        "voicemail.conf": VOICEMAIL,
        "extensions.conf": DIALPLAN,
        "modules.conf": modules,
        "smdi.conf": "[interfaces]\n",
        "adsi.conf": "[intro]\n",
    }
    with Asterisk(tmp_path_factory.mktemp("mailboxes"), files=files) as running:
        yield running


@pytest.fixture
def folders(mailboxes: Asterisk, tmp_path: Path) -> Iterator[ManagedFolders]:
    """callguard's view of them: messages are kept for 30 days."""
    database = Database(f"sqlite:///{tmp_path / 'callguard.db'}")
    upgrade(database)
    add_tenant(database, HandClock())
    spool = mailboxes.folder / "spool" / "voicemail"
    owners = {"default": "acme"}
    folder = Folder(
        name="voicemail",
        path=spool,
        data_class="voicemail",
        tenants=owners,
        layout="voicemail",
        quiet_s=0,
    )
    settings = Settings(data=tmp_path / "data", folders=(folder,))
    acme = Tenant("acme", "acme", TenantSettings(), (), {"voicemail": Span(days=30)})

    async def write(work: Callable[[Connection], T], /) -> T:
        with database.writing() as connection:
            return work(connection)

    yield ManagedFolders(settings, database, write, {"acme": acme}.get, HandClock(), actor="test")
    database.close()


def inbox(pbx: Asterisk, mailbox: int = 100) -> Path:
    return pbx.folder / "spool" / "voicemail" / "default" / str(mailbox) / "INBOX"


def messages(folder: Path) -> list[str]:
    """The messages that are whole."""
    return sorted(path.stem for path in folder.glob("msg*.txt"))


def begin(pbx: Asterisk, mailbox: int = 100) -> None:
    """Somebody begins to speak to a mailbox."""
    pbx.cli(f"channel originate Local/{mailbox}@leave application Milliwatt")


def arrived(pbx: Asterisk, mailbox: int, had: list[str]) -> bool:
    return messages(inbox(pbx, mailbox)) != had


def leave(pbx: Asterisk, *mailboxes: int) -> None:
    """Somebody leaves a message in each."""
    before = [messages(inbox(pbx, one)) for one in mailboxes]
    for one in mailboxes:
        begin(pbx, one)
    for one, had in zip(mailboxes, before, strict=True):
        eventually(partial(arrived, pbx, one, had))
    eventually(lambda: not pbx.channels())


def counted(pbx: Asterisk, mailbox: int = 100) -> int:
    """How many new messages Asterisk counts."""
    for line in pbx.cli("voicemail show users for default").splitlines():
        words = line.split()
        if words[:2] == ["default", str(mailbox)]:
            return int(words[-1])
    raise AssertionError("no such mailbox")


def age(folder: Path, name: str, days: int) -> None:
    """As if it had been left so long ago."""
    text = folder / f"{name}.txt"
    then = datetime.now(UTC) - timedelta(days=days)
    lines = [
        f"origtime={int(then.timestamp())}" if line.startswith("origtime=") else line
        for line in text.read_text().splitlines()
    ]
    text.write_text("\n".join(lines) + "\n")
    for path in folder.glob(f"{name}.*"):
        os.utime(path, (then.timestamp(),) * 2)


async def test_a_message_goes_and_asterisk_counts_and_numbers_on(
    mailboxes: Asterisk, folders: ManagedFolders
) -> None:
    pbx, now = mailboxes, datetime.now(UTC) + timedelta(minutes=5)
    await asyncio.to_thread(leave, pbx, 100, 101)
    await asyncio.to_thread(leave, pbx, 100)
    folder = inbox(pbx)
    assert messages(folder) == ["msg0000", "msg0001"]
    assert len({path.suffix for path in folder.glob("msg0000.*")}) == 3
    assert await folders.take(now) == {"voicemail": 0}
    age(folder, "msg0000", 31)
    assert counted(pbx) == 2
    assert [due.count for due in await folders.due(now)] == [1]
    assert await folders.take(now) == {"voicemail": 1}
    assert {path.stem for path in folder.iterdir()} == {"msg0001"}
    assert counted(pbx) == 1
    # Asterisk goes on after the highest number, and closes the gap when the mailbox is opened.
    await asyncio.to_thread(leave, pbx, 100)
    assert messages(folder) == ["msg0001", "msg0002"]
    kept = (folder / "msg0001.txt").read_text()
    pbx.cli("channel originate Local/100@hear application Wait 2")
    await asyncio.to_thread(eventually, lambda: messages(folder) == ["msg0000", "msg0001"])
    assert (folder / "msg0000.txt").read_text() == kept
    assert counted(pbx) == 2
    assert folders.alarms == ()


async def test_both_use_one_lock(mailboxes: Asterisk, folders: ManagedFolders) -> None:
    pbx, folder = mailboxes, inbox(mailboxes, 101)
    if not folder.exists():
        await asyncio.to_thread(leave, pbx, 101)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with locked(fd, 0):
            begin(pbx, 101)
            # It has spoken, and Asterisk stands at callguard's lock with a file to link.
            waiting = folder.glob
            await asyncio.to_thread(
                eventually,
                lambda: any(not p.name.startswith(".lock-callguard") for p in waiting(".lock-*")),
            )
            assert messages(folder) == ["msg0000"]
        await asyncio.to_thread(eventually, lambda: messages(folder) == ["msg0000", "msg0001"])
    finally:
        os.close(fd)
    assert "Failed to lock path" not in pbx.last_words(200)
