"""The manifests of a folder of prompts: read with what they name checked, and written whole."""

import fcntl
import hashlib
import io
import json
import os
import re
import time
import wave
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

from callguard.consent.prompt import (
    MANIFEST,
    RATE,
    TENANTS,
    Digits,
    Kept,
    Prompt,
    PromptError,
    PromptFolder,
    Stamp,
    named_in,
)
from callguard.tenants.tenant import check_id

LOCK_S = 60.0
"""How long a command waits for another one that makes prompts in the same folder."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_ENTRY = {"name": str, "language": str, "version": int, "text": str, "sha256": str, "samples": int}
_MORE = {"digits": dict, "tenant": str, "source": str}
_MOST_AROUND = 4_096
"""A file that is so much longer than its samples is not read at all."""
_FIRST_NOTICE = Digits(opt_out="9")
"""What the words of a notice name in a manifest that does not say it."""


def check_language(language: str) -> str:
    """A language such as ``en`` or ``he-IL``. Raises PromptError."""
    if not _LANGUAGE.fullmatch(language):
        raise PromptError(f"{language!r} is no language: write it as en or he-IL")
    return language


def folder_of(folder: Path, tenant: str) -> Path:
    """Where the prompts of a tenant lie ("" for the shared ones). Raises TenantError."""
    return folder / TENANTS / check_id(tenant) if tenant else folder


def read_folders(folder: Path, before: Mapping[str, PromptFolder]) -> dict[str, PromptFolder]:
    """Every manifest under the folder, by tenant, with what it names checked; ``before`` is what
    was read last."""
    tenants = sorted({"", *before, *_tenants(folder)})
    return {tenant: _read(folder, tenant, before.get(tenant)) for tenant in tenants}


def stamps_in(folder: Path, known: Iterable[str]) -> dict[str, Stamp]:
    """How every manifest looks now, by tenant, also those of the tenants ``known``."""
    return {
        tenant: stamp_of(folder_of(folder, tenant) / MANIFEST)
        for tenant in {"", *known, *_tenants(folder)}
    }


def stamp_of(path: Path) -> Stamp:
    """How the file looks now."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _tenants(folder: Path) -> tuple[str, ...]:
    """The tenants that have a folder; any other thing that lies there is none."""
    try:
        with os.scandir(folder / TENANTS) as entries:
            return tuple(entry.name for entry in entries if _NAME.fullmatch(entry.name))
    except OSError:
        return ()


def _read(folder: Path, tenant: str, before: PromptFolder | None) -> PromptFolder:
    path = folder_of(folder, tenant) / MANIFEST
    stamp = stamp_of(path)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list):
            raise PromptError("not a list of prompts")
    except (OSError, ValueError, RecursionError, PromptError) as error:
        kept = before.kept if before is not None and path.parent.is_dir() else ()
        if tenant and not stamp and not kept:
            return PromptFolder(stamp)  # it was not finished, or taken away
        still = "; what it said before still holds" if kept else ""
        return PromptFolder(stamp, kept, (f"{path}: {error}{still}",))
    known = {one.prompt: one for one in before.kept} if before is not None else {}
    found: dict[str, Kept] = {}
    faults = []
    for entry in entries:
        try:
            prompt = _described(path, entry, tenant)
        except PromptError as error:
            faults.append(str(error))
        else:
            audio = folder / f"{prompt.file}.wav"
            last = known.get(prompt)
            unchanged = last is not None and last.stamp == stamp_of(audio)
            found[prompt.file] = last if last and unchanged else check(prompt, audio)
    return PromptFolder(stamp, tuple(found.values()), tuple(faults))


def _described(path: Path, entry: object, tenant: str) -> Prompt:
    """The prompt that a line of the manifest describes."""
    if isinstance(entry, dict):
        types = {key: type(value) for key, value in entry.items()}
        if types == _ENTRY:
            digits = _FIRST_NOTICE if entry["name"] == "notice" else Digits()
            entry = {**entry, "digits": asdict(digits), "tenant": "", "source": "espeak-ng"}
            types |= _MORE
        if types == _ENTRY | _MORE and _is_sound(entry, tenant):
            return Prompt(**{**entry, "digits": Digits(**entry["digits"])})
    raise PromptError(f"{path}: {str(entry)[:60]!r} describes no prompt")


def _is_sound(entry: dict[str, object], tenant: str) -> bool:
    digits, version, samples = entry["digits"], entry["version"], entry["samples"]
    assert isinstance(digits, dict)
    assert isinstance(version, int)
    assert isinstance(samples, int)
    return (
        entry["tenant"] == tenant
        and entry["source"] in ("espeak-ng", "own")
        and _NAME.fullmatch(str(entry["name"])) is not None
        and _LANGUAGE.fullmatch(str(entry["language"])) is not None
        and version > 0
        and samples > 0
        and digits.keys() == {field.name for field in fields(Digits)}
        and all(isinstance(d, str) and re.fullmatch("[0-9]?", d, re.A) for d in digits.values())
        and all(digits[field] for field in named_in(str(entry["name"])))
    )


def check(prompt: Prompt, path: Path) -> Kept:
    """Whether the audio is the one that was made for the line."""
    stamp = stamp_of(path)
    try:
        if stamp and path.stat().st_size > 2 * prompt.samples + _MOST_AROUND:
            raise PromptError(f"{path}: the audio is not the one in the manifest")
        data = path.read_bytes()
        if (
            hashlib.sha256(data).hexdigest() != prompt.sha256
            or samples_in(path, data) != prompt.samples
        ):
            raise PromptError(f"{path}: the audio is not the one in the manifest")
    except OSError as error:
        return Kept(prompt, path, stamp, f"{path}: {error.strerror}")
    except PromptError as error:
        return Kept(prompt, path, stamp, str(error))
    return Kept(prompt, path, stamp)


def samples_in(path: Path, data: bytes) -> int:
    """How long audio is, in samples. Raises PromptError where it is none at 8 kHz."""
    try:
        with wave.open(io.BytesIO(data)) as audio:
            rate, samples = audio.getframerate(), int(audio.getnframes())
    except (wave.Error, EOFError) as error:
        raise PromptError(f"{path}: {error or 'cut short'}") from error
    if rate != RATE:
        raise PromptError(f"{path}: {rate} samples a second in place of {RATE}")
    return samples


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps every other command out that makes prompts in the folder. Raises PromptError."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise PromptError(f"{folder}: another command is making prompts") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def draft_manifest(folder: Path, prompts: Iterable[Prompt]) -> Path:
    """Writes the manifest beside the one in force, durably; ``put`` puts it in its place."""
    draft = folder / f"{MANIFEST.removesuffix('.json')}.part"
    entries = [asdict(prompt) for prompt in sorted(prompts, key=lambda p: (p.file, p.version))]
    write_durably(draft, (json.dumps(entries, indent=1, ensure_ascii=False) + "\n").encode())
    return draft


def put(draft: Path, target: Path) -> None:
    """Puts a file in its place in one step that survives a power cut."""
    draft.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file that is on its disk on return; what cannot be written whole is taken away."""
    try:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
