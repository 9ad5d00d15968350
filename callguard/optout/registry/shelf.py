"""The shelf: the registries in use. A new snapshot is taken up while calls are decided.

What lies in the registries' folder is the only truth. A look at it costs a few ``stat``; whatever
takes longer happens in a thread, and what it found is put on the shelf in one step, so that a call
is answered by the snapshots of before or by those of after.
"""

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType

import structlog

from callguard.optout.registry.contract import Manifest, RegistryError
from callguard.optout.registry.snapshot import Snapshot, current
from callguard.policy.facts import RegistryAnswer
from callguard.policy.numbers import Number

log = structlog.get_logger(__name__)

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""What a registry may be called; any other folder is none."""

DAMAGED = "the snapshot is damaged"
UNREADABLE = "the snapshot cannot be read"
CHANGED = "the snapshot was changed and is being verified"
OUTSIDE = "the number is outside its coverage"

_Stamp = tuple[int, ...]
"""A file as ``stat`` tells it; one that was written anew or cut has another. Empty where there is
none."""


@dataclass(frozen=True, slots=True)
class RegistryStatus:
    """A registry on the shelf.

    ``fault`` is why it can say nothing of any number, ``trouble`` why the snapshot that was to
    replace this one is not used. Without a snapshot there is no date and no digest. ``verified``
    is whether every file was found to be as its digest says since it was opened.
    """

    name: str
    list_date: date | None
    count: int
    coverage: tuple[str, ...]
    digest: str | None
    imported_at: str
    verified: bool
    fault: str
    trouble: str


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """What the gate needs of a registry. The answers are made beforehand; there are only three,
    or one where it can say nothing."""

    holds: Callable[[int], bool]
    covers: Callable[[str], bool]
    listed: RegistryAnswer
    clear: RegistryAnswer
    outside: RegistryAnswer
    silent: RegistryAnswer | None


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A registry as it was found. ``pointer`` and ``files`` are how its files looked just before
    they were opened."""

    name: str
    pointer: _Stamp
    manifest: Manifest | None = None
    snapshot: Snapshot | None = None
    files: tuple[_Stamp, ...] = ()
    verified: bool = False
    fault: str = ""
    detail: str = ""
    trouble: str = ""

    @property
    def digest(self) -> str | None:
        return self.manifest.digest if self.manifest is not None else None

    @property
    def unopened(self) -> bool:
        return self.snapshot is None and self.fault in (CHANGED, UNREADABLE)

    def asked(self) -> _Asked:
        listed_on = self.manifest.list_date if self.manifest is not None else None
        clear = RegistryAnswer(self.name, False, listed_on, self.digest)
        outside = replace(clear, listed=None, reason=OUTSIDE)
        silent = replace(outside, reason=self.fault or UNREADABLE)
        listed = replace(clear, listed=True)
        if self.snapshot is None or self.fault:
            return _Asked(_nothing, _nothing, listed, clear, outside, silent)
        holds, covers = self.snapshot.holds, self.snapshot.covers
        return _Asked(holds, covers, listed, clear, outside, None)

    def status(self) -> RegistryStatus:
        manifest = self.manifest
        return RegistryStatus(
            name=self.name,
            list_date=manifest.list_date if manifest else None,
            count=manifest.count if manifest else 0,
            coverage=manifest.coverage.prefixes if manifest else (),
            digest=self.digest,
            imported_at=manifest.imported_at if manifest else "",
            verified=self.verified,
            fault=self.fault,
            trouble=self.trouble,
        )

    def alarms(self) -> tuple[str, ...]:
        named = f"registry {self.name}"
        said = []
        if self.fault:
            told = f"{self.fault}: {self.detail}" if self.detail else self.fault
            said.append(f"{named} can clear no number: {told}")
        if self.trouble:
            said.append(f"{named} stays as it is, a newer snapshot cannot be used: {self.trouble}")
        return tuple(said)


def _nothing(_asked: object) -> bool:
    return False


class Shelf:
    """The registries under one folder, opened at once; a folder that is not there is an empty
    shelf. Never raises: what cannot be used is an alarm, and answers that it cannot tell."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, _Held] = {}
        self._asked: tuple[_Asked, ...] = ()
        self._gone: set[str] = set()
        self._unread = ""
        self._told: frozenset[str] = frozenset()
        self._opening: asyncio.Task[None] | None = None
        self._verifying: asyncio.Task[None] | None = None
        pointers = self._pointers()
        if pointers is not None:
            self._put(_opened_all(folder, pointers, {}))

    def answers(self, subject: Number) -> tuple[RegistryAnswer, ...]:
        """What each registry says of a number; nothing of what is no number of the world."""
        e164 = subject.e164
        if e164 is None:
            return ()
        number = int(e164[1:])
        # Who is listed is listed, whatever the list says that it covers.
        try:
            return tuple(
                [
                    one.silent
                    or (
                        one.listed
                        if one.holds(number)
                        else one.clear
                        if one.covers(e164)
                        else one.outside
                    )
                    for one in self._asked
                ]
            )
        except RegistryError as error:  # one was closed by whoever borrowed it
            log.error("registries_unreadable", reason=str(error))
            return tuple(replace(one.outside, reason=UNREADABLE) for one in self._asked)

    def snapshots(self) -> Mapping[str, Snapshot]:
        """Those that can answer, by registry. They stay open for as long as they are held."""
        usable = {n: h.snapshot for n, h in self._held.items() if h.snapshot and not h.fault}
        return MappingProxyType(usable)

    def status(self) -> tuple[RegistryStatus, ...]:
        """Every registry, in order of their names."""
        return tuple(held.status() for held in self._held.values())

    @property
    def alarms(self) -> tuple[str, ...]:
        """What needs a person's eye, a line each."""
        said = [f"the registries cannot be looked at: {self._unread}"] if self._unread else []
        said += [f"registry {name} was taken away since the start" for name in sorted(self._gone)]
        return (*said, *(line for held in self._held.values() for line in held.alarms()))

    def follow(self) -> None:
        """Looks once whether anything lies there otherwise than before, and has it opened and
        verified. For the event loop: waits for nothing."""
        if self._opening is None or self._opening.done():
            pointers = self._pointers()
            self._suspect()
            if pointers is not None and self._differs(pointers):
                self._opening = asyncio.create_task(self._open(pointers), name="registries-open")
        if self._verifying is None or self._verifying.done():
            unproven = (h for h in self._held.values() if h.snapshot and not h.verified)
            if (held := next(unproven, None)) is not None:
                self._verifying = asyncio.create_task(self._verify(held), name="registries-verify")
        self._tell()

    async def close(self) -> None:
        """Ends what is under way and closes every snapshot. Who still holds one gets an error."""
        under_way = [task for task in (self._opening, self._verifying) if task is not None]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        for held in self._held.values():
            if held.snapshot is not None:
                held.snapshot.close()
        self._held, self._asked = {}, ()

    def _pointers(self) -> dict[str, _Stamp] | None:
        """The registries that lie there, with how what names the snapshot in use looks; None where
        that cannot be seen, which changes nothing."""
        try:
            with os.scandir(self._folder) as entries:
                names = sorted(e.name for e in entries if NAME.fullmatch(e.name) and e.is_dir())
        except FileNotFoundError:
            names = []
        except OSError as error:
            self._unread = f"{self._folder}: {error.strerror}"
            return None
        self._unread = ""
        found = {name: _stamp(self._folder / name / "current") for name in names}
        return {name: pointer for name, pointer in found.items() if pointer}

    def _suspect(self) -> None:
        """What was changed after it was opened is asked no more: a file that was cut cannot even
        be looked into."""
        held = {
            name: replace(one, snapshot=None, verified=False, fault=CHANGED, detail="")
            if one.snapshot is not None and self._files(one) != one.files
            else one
            for name, one in self._held.items()
        }
        if held != self._held:
            self._put(held)

    def _differs(self, pointers: Mapping[str, _Stamp]) -> bool:
        if pointers.keys() != self._held.keys():
            return True
        return any(
            held.pointer != pointers[name]
            or held.unopened
            or bool(held.trouble)
            or self._files(held) != held.files
            for name, held in self._held.items()
        )

    def _files(self, held: _Held) -> tuple[_Stamp, ...]:
        return _stamps(self._folder / held.name, held.manifest)

    async def _open(self, pointers: Mapping[str, _Stamp]) -> None:
        before = dict(self._held)
        opened = await asyncio.to_thread(_opened_all, self._folder, pointers, before)
        for name, held in opened.items():
            was, now = before.get(name), self._held.get(name)
            if was is None or now is None or was is now or held.snapshot is not was.snapshot:
                continue
            # What verifying it found meanwhile stands.
            opened[name] = replace(now, pointer=held.pointer, trouble=held.trouble)
        self._put(opened)
        self._tell()

    async def _verify(self, held: _Held) -> None:
        assert held.snapshot is not None
        damage = await asyncio.to_thread(_damage, held.snapshot)
        now = self._held.get(held.name)
        if now is None or now.snapshot is not held.snapshot:
            return  # another has taken its place
        if damage is None:
            found = replace(now, verified=True, fault="", detail="")
        else:
            found = replace(now, snapshot=None, fault=DAMAGED, detail=damage)
        self._put({**self._held, held.name: found})
        self._tell()

    def _put(self, held: Mapping[str, _Held]) -> None:
        """Puts these on the shelf, in place of all that was there. What nobody holds any more is
        closed by that."""
        self._gone = (self._gone | self._held.keys()) - held.keys()
        for name, one in held.items():
            before = self._held.get(name)
            if one.digest and (before is None or before.digest != one.digest):
                log.info("registry_in_use", registry=name, digest=one.digest)
        self._held = dict(sorted(held.items()))
        self._asked = tuple(one.asked() for one in self._held.values())

    def _tell(self) -> None:
        """Logs each alarm when it comes, once."""
        now = frozenset(self.alarms)
        for alarm in sorted(now - self._told):
            log.warning("alarm", reason=alarm)
        self._told = now


def _stamp(file: Path) -> _Stamp:
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        return (error.errno or -1,)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _stamps(registry: Path, manifest: Manifest | None) -> tuple[_Stamp, ...]:
    if manifest is None:
        return ()
    folder = registry / manifest.digest
    return tuple(_stamp(folder / name) for name in ("manifest.json", *sorted(manifest.files)))


def _opened_all(
    folder: Path, pointers: Mapping[str, _Stamp], before: Mapping[str, _Held]
) -> dict[str, _Held]:
    """The registries of these names; what did not change is the same as before."""
    found = {}
    for name, pointer in pointers.items():
        held = _opened(folder / name, before.get(name) or _Held(name, pointer, fault=UNREADABLE))
        if held is not None:
            found[name] = replace(held, pointer=pointer)
    return found


def _opened(registry: Path, held: _Held) -> _Held | None:
    """The registry with the snapshot that is current, or as it is with the reason why not; None
    where there is none any more."""
    try:
        digest = current(registry)
    except (RegistryError, OSError) as error:
        return _without(held, str(error))
    if digest is None:
        return None
    files = _stamps(registry, held.manifest)
    if held.digest == digest and held.files == files and not held.unopened:
        return replace(held, trouble="")
    try:
        snapshot = Snapshot.open_of(registry, digest)
    except (RegistryError, OSError) as error:
        if held.digest == digest:
            return replace(
                held, snapshot=None, files=files, fault=DAMAGED, detail=str(error), trouble=""
            )
        return _without(held, str(error))
    # A snapshot was verified when it was written, and is in use from now on; one that was changed
    # since it was opened is not, until it is verified again.
    changed = held.digest == digest
    return _Held(
        held.name,
        held.pointer,
        snapshot.manifest,
        snapshot,
        _stamps(registry, snapshot.manifest),
        fault=CHANGED if changed else "",
    )


def _without(held: _Held, reason: str) -> _Held:
    """The registry as it was, because its newer snapshot cannot be used."""
    if held.manifest is None:
        return replace(held, fault=UNREADABLE, detail=reason)
    return replace(held, trouble=reason)


def _damage(snapshot: Snapshot) -> str | None:
    """What is wrong with the files of a snapshot, if anything is."""
    try:
        snapshot.verify()
    except Exception as error:  # whatever it is, nothing vouches for the snapshot
        return str(error) or type(error).__name__
    return None
