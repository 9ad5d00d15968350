"""Entering a tenant's own recording of a prompt, with the words that it says."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from callguard.consent.manifest import (
    check_language,
    draft_manifest,
    folder_of,
    locked,
    put,
    write_durably,
)
from callguard.consent.own_audio import Sound
from callguard.consent.prompt import MANIFEST, Digits, Prompt, PromptError, named_in
from callguard.consent.prompts import PromptLibrary
from callguard.consent.texts import PROMPTS, shipped_texts
from callguard.tenants.tenant import check_id

LONGEST_TEXT = 1_000


@dataclass(frozen=True, slots=True)
class Words:
    """What a tenant's own recording says: for which prompt, in which language, naming which
    keys."""

    name: str
    language: str
    tenant: str
    text: str
    digits: Digits


def parse_digits(name: str, text: str) -> Digits:
    """The keys that the words name, in the order accept, refuse, opt out, only of those that this
    prompt must name: "9" for a notice, "1,2,9" for a question. Raises PromptError."""
    named = named_in(name)
    found = [digit.strip() for digit in text.split(",")] if text.strip() else []
    whole = all(len(digit) == 1 and digit in "0123456789" for digit in found)
    if len(found) != len(named) or not whole or len(set(found)) != len(found):
        order = ", ".join(named) or "none"
        raise PromptError(f"{text!r} are not the digits that {name} names: {order}")
    return Digits(**dict(zip(named, found, strict=True)))


def as_written(name: str, language: str, tenant: str, digits: Digits) -> Words:
    """The shipped words, with those digits. Raises PromptError."""
    check_name(name)
    for text in shipped_texts(digits):
        if (text.name, text.language) == (name, check_language(language)):
            return Words(name, language, tenant, text.text, text.digits)
    raise PromptError(f"there are no shipped words for {name} in {language}: give them with --text")


def as_told(
    name: str, language: str, tenant: str, text: str, digits: Digits | None, chosen: Digits
) -> Words:
    """The tenant's own words. ``digits`` are the keys that they name, where that was said;
    otherwise they must be found in them as figures, as the tenant's ``chosen`` ones.

    Raises PromptError.
    """
    check_name(name)
    check_language(language)
    text = " ".join(text.split())
    if not text or len(text) > LONGEST_TEXT or not text.isprintable():
        raise PromptError(f"the words of a prompt are 1 to {LONGEST_TEXT} printable characters")
    if digits is None:
        digits = Digits(**{field: getattr(chosen, field) for field in named_in(name)})
        unsaid = [
            f"{getattr(digits, field.name)} ({field.name.replace('_', ' ')})"
            for field in fields(Digits)
            if getattr(digits, field.name) and getattr(digits, field.name) not in text
        ]
        if unsaid:
            raise PromptError(
                f"the words of {name} do not name {', '.join(unsaid)} as figures: say with --digits"
                " which keys they name"
            )
    return Words(name, language, tenant, text, digits)


def check_name(name: str) -> None:
    """Raises PromptError unless there is such a prompt."""
    if name not in PROMPTS:
        raise PromptError(f"there is no prompt {name!r}: {', '.join(PROMPTS)}")


def enter(folder: Path, words: Words, sound: Sound, note: Callable[[Prompt], None]) -> Prompt:
    """Puts the recording into the tenant's folder as the next version and calls ``note``, which
    keeps durably that it was entered, before it can be played.

    The files of older versions stay, and so do their lines in the manifest. Raises what ``note``
    raises, PromptError, TenantError, OSError; then nothing is played that was not before.
    """
    check_name(words.name)
    check_language(words.language)
    home = folder_of(folder, check_id(words.tenant))
    with locked(folder):
        known = PromptLibrary.load(folder)[0].folders.get(words.tenant)
        if known is not None and known.faults:
            raise PromptError(known.faults[0])
        manifest = [kept.prompt for kept in known.kept] if known else []
        versions = [
            p.version for p in manifest if (p.name, p.language) == (words.name, words.language)
        ]
        prompt = Prompt(
            words.name,
            words.language,
            max(versions, default=0) + 1,
            words.text,
            hashlib.sha256(sound.data).hexdigest(),
            sound.samples,
            words.digits,
            words.tenant,
            "own",
        )
        target = folder / f"{prompt.file}.wav"
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(".part")
        write_durably(draft, sound.data)
        put(draft, target)
        manifest_draft = draft_manifest(home, [*manifest, prompt])
        note(prompt)
        put(manifest_draft, home / MANIFEST)
    return prompt
