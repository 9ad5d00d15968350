"""Feature codes: the application map of features_callguard.conf."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.harness.channels import Channel, Target
from tests.harness.dialplan import DialplanError

_ENTRY = re.compile(r"([\w-]+)\s*=>\s*([*#\d]+),\s*(self|peer)(?:/\w+)?,\s*Gosub\(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class Feature:
    """A code, who must press it, and where it leads."""

    name: str
    code: str
    target: Target


class Features:
    """The codes and the groups of them that DYNAMIC_FEATURES may name."""

    def __init__(self, file: Path) -> None:
        self._codes: dict[str, Feature] = {}
        self._groups: dict[str, set[str]] = {}
        group: set[str] | None = None
        for number, raw in enumerate(file.read_text("utf-8").splitlines(), 1):
            line = raw.split(";", 1)[0].strip()
            if not line:
                continue
            if line.startswith("["):
                group = self._groups.setdefault(line.strip("[]"), set())
            elif group is not None:
                group.add(line.split("=>")[0].strip())
            elif match := _ENTRY.fullmatch(line):
                context, exten, priority = match[4].split(",")
                target = Target(context, exten, int(priority))
                self._codes[match[2]] = Feature(match[1], match[2], target)
            else:
                raise DialplanError(f"{file.name}:{number}: cannot read {line!r}")

    def find(self, channel: Channel, code: str) -> Feature | None:
        """The feature that a code starts on this channel, if its DYNAMIC_FEATURES allow it."""
        feature = self._codes.get(code)
        if feature is None:
            return None
        allowed: set[str] = set()
        for name in (channel.variables.get("DYNAMIC_FEATURES") or "").split("#"):
            allowed |= self._groups.get(name, {name})
        return feature if feature.name in allowed else None
