"""Prompts as they are played: audio with a manifest that proves which words it says.

Files are 8 kHz mono WAV, which every Asterisk plays in every codec. A manifest keeps, for each,
the words, the keys that they name, the version and the SHA-256, so that a call's evidence can name
the exact one. The folder's own manifest is of the prompts that all tenants share; a tenant's own
lie in ``tenants/<id>/`` with a manifest of theirs, and are preferred to the shared ones.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from callguard.consent.manifest import check, read_folders, stamp_of, stamps_in
from callguard.consent.prompt import (
    MANIFEST,
    RATE,
    SHARED,
    Digits,
    Prompt,
    PromptError,
    PromptFolder,
)

__all__ = ["MANIFEST", "RATE", "SHARED", "Digits", "Prompt", "PromptError", "PromptLibrary"]


class PromptLibrary:
    """The prompts of one folder, checked when loaded, and again when their file looks otherwise.
    What the manifests say never changes in it; another takes its place."""

    def __init__(
        self,
        prompts: Iterable[Prompt] = (),
        *,
        folder: Path | None = None,
        folders: Mapping[str, PromptFolder] = MappingProxyType({}),
    ) -> None:
        """``folders`` are the manifests by tenant; ``prompts`` such as have no file to look at."""
        self.folder = folder
        self.folders = folders
        self._kept = {kept.prompt: kept for one in folders.values() for kept in one.kept}
        self._versions: dict[tuple[str, str, str], list[Prompt]] = defaultdict(list)
        for prompt in sorted((*prompts, *self._kept), key=lambda p: -p.version):
            self._versions[prompt.tenant, prompt.language, prompt.name].append(prompt)

    @classmethod
    def load(
        cls, folder: Path, before: "PromptLibrary | None" = None
    ) -> tuple["PromptLibrary", tuple[str, ...]]:
        """Loads what is whole; returns with it one line for each manifest and prompt that is not.

        ``before`` is what was loaded last: a file that looks as it did then is not read again, and
        a manifest that cannot be read any more leaves what it said.
        """
        known = before.folders if before is not None else {}
        library = cls(folder=folder, folders=read_folders(folder, known))
        return library, library.faults

    def find(
        self, name: str, language: str, tenant: str = "", digits: Digits | None = None
    ) -> Prompt | None:
        """The newest prompt of the tenant's own, or else of the shared ones, in that language
        ("he" for "he-IL" too) whose words name no other keys than ``digits`` (the shared ones where
        left out); None where there is none, or its audio is not the one that was made.

        No other language is put in its place, because a notice that was not understood is none,
        nor the shared prompt in that of a tenant's own that is broken.
        """
        wanted = digits or SHARED
        for owner in (tenant, "") if tenant else ("",):
            for tongue in dict.fromkeys((language, language.split("-")[0])):
                for prompt in self._versions.get((owner, tongue, name), ()):
                    if prompt.digits.suit(wanted):
                        return prompt if self.is_whole(prompt) else None
        return None

    def is_whole(self, prompt: Prompt) -> bool:
        """Whether the file is the one that the manifest describes, also now: one that looks
        otherwise than when it was read is read again, which takes less than a millisecond."""
        kept = self._kept.get(prompt)
        if kept is None:
            return True
        if kept.stamp != stamp_of(kept.path):
            kept = self._kept[prompt] = check(prompt, kept.path)
        return not kept.fault

    def has_own(self, tenant: str) -> bool:
        """Whether the tenant has prompts of its own."""
        return tenant in self.folders

    def __len__(self) -> int:
        return len(self.all())

    def all(self) -> tuple[Prompt, ...]:
        """Every prompt that is whole, by name, language, tenant and version."""
        found = (p for prompts in self._versions.values() for p in prompts if self.is_whole(p))
        return tuple(sorted(found, key=lambda p: (p.name, p.language, p.tenant, p.version)))

    @property
    def faults(self) -> tuple[str, ...]:
        """One line for each manifest that cannot be read, and for each prompt that would be played
        if it were whole."""
        lines = [fault for folder in self.folders.values() for fault in folder.faults]
        for prompts in self._versions.values():
            newest: dict[Digits, Prompt] = {}
            for prompt in prompts:
                newest.setdefault(prompt.digits, prompt)
            found = (self._kept.get(prompt) for prompt in newest.values())
            lines += [kept.fault for kept in found if kept is not None and kept.fault]
        return tuple(lines)

    def is_stale(self) -> bool:
        """Whether a manifest looks otherwise than when it was loaded, or is new. A few ``stat``,
        for the event loop."""
        if self.folder is None:
            return False
        return stamps_in(self.folder, self.folders) != {
            tenant: one.stamp for tenant, one in self.folders.items()
        }
