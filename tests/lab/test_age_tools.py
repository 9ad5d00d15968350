"""The stock `age` 1.3 and `rage` beside our own format: each opens what the others write."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from callguard.recording import age
from tests.lab import stock_age
from tests.recording.faults_key import KEY_FAULTS
from tests.recording.sealing import HYBRID as THE_HYBRID
from tests.recording.sealing import X25519 as THE_X25519
from tests.recording.sealing import seal_file
from tests.recording.test_age_faults import FAULTS

pytestmark = pytest.mark.lab

SIZES = (0, 1, 65_535, 65_536, 65_537, 3 * 65_536)
X25519 = tuple(age.generate_identity("x25519") for _ in range(2))
HYBRID = tuple(age.generate_identity("pq") for _ in range(2))
GROUPS: Mapping[str, tuple[age.Identity, ...]] = {
    "x25519": X25519[:1],
    "x25519-two": X25519,
    "hybrid": HYBRID[:1],
    "hybrid-two": HYBRID,
}
# `rage` knows post-quantum keys through the plug-in, whose identities have a form of their own.
_BOTH_WAYS = r"""
set -eu
cd /instance
for group in x25519 x25519-two hybrid hybrid-two; do
  for key in $group.key-*; do
    case $group in
      hybrid*) age-plugin-pq -identity -o rage-$key $key ;;
      *) cp $key rage-$key ;;
    esac
    cp $key age-$key
  done
  for size in $SIZES; do
    for tool in age rage; do
      $tool -e -R $group.pub -o $group.$size.by-$tool plain.$size
    done
    for key in $group.key-*; do
      for tool in age rage; do
        for writer in ours age rage; do
          $tool -d -i $tool-$key $group.$size.by-$writer | cmp - plain.$size
          echo "$key $size $writer $tool"
        done
      done
    done
  done
done
"""

_EACH_FAULT = r"""
cd /instance
age-plugin-pq -identity -o keys.rage keys.pq
cat keys.x25519 >> keys.rage
cat keys.x25519 keys.pq > keys.age
for file in good.*; do
  for tool in age rage; do
    $tool -d -i keys.$tool $file >/dev/null || echo "refused: $tool $file"
  done
done
for file in fault.*; do
  for tool in age rage; do
    if $tool -d -i keys.$tool $file >/dev/null 2>&1; then echo "$tool $file"; fi
  done
done
"""

_EACH_KEY = r"""
cd /instance
for file in recipient.*; do
  if age -e -R $file script >/dev/null 2>&1; then echo "age $file"; fi
done
for file in identity.*; do
  if age -e -i $file script >/dev/null 2>&1; then echo "age $file"; fi
done
"""

LIMIT = "our own limit on the length of a header"
SHORT_LINE = "the specification wants a short line at the end of a body; rage forgives a full one"
SCRYPT = "the specification has scrypt stand alone; age asks that of passphrases only"
SECOND = "age and rage stop at the stanza that opens and do not read the next"
DIFFERENCES = {
    "longer than the limit": (LIMIT, {"age", "rage"}),
    "no short line before the MAC": (SHORT_LINE, {"rage"}),
    "no short line before a stanza": (SHORT_LINE, {"rage"}),
    "scrypt after X25519": (SCRYPT, {"age"}),
    "scrypt before X25519": (SCRYPT, {"age"}),
    "scrypt after mlkem768x25519": (SCRYPT, {"age"}),
    "scrypt before mlkem768x25519": (SCRYPT, {"age"}),
    "X25519 malformed after a good one": (SECOND, {"age", "rage"}),
    "mlkem768x25519 malformed after a good one": (SECOND, {"age", "rage"}),
}
"""What a tool opens and we refuse, and why."""


def _plain(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@dataclass(frozen=True, slots=True)
class Tools:
    """Runs a script in the laboratory's folder, with `folder` as `/instance`."""

    folder: Path

    def run(self, script: str, **variables: str) -> list[str]:
        (self.folder / "script").write_text(script)
        names = [f"{name}={value}" for name, value in variables.items()]
        command = ("/usr/bin/env", "PATH=/usr/bin:/bin", *names, "/bin/sh", "/instance/script")
        try:
            return stock_age.run(self.folder, *command).decode().splitlines()
        except subprocess.CalledProcessError as failed:
            pytest.fail(failed.stderr.decode())


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(tmp_path)


def test_each_opens_what_the_others_write(tools: Tools) -> None:
    folder = tools.folder
    for group, identities in GROUPS.items():
        recipients = [identity.recipient for identity in identities]
        (folder / f"{group}.pub").write_text("".join(f"{one}\n" for one in recipients))
        for number, identity in enumerate(identities):
            (folder / f"{group}.key-{number}").write_text(identity.encode() + "\n")
        for size in SIZES:
            (folder / f"plain.{size}").write_bytes(_plain(size))
            sealed = seal_file(_plain(size), *recipients)
            (folder / f"{group}.{size}.by-ours").write_bytes(sealed)
    lines = tools.run(_BOTH_WAYS, SIZES=" ".join(map(str, SIZES)))
    keys = sum(map(len, GROUPS.values()))
    assert len(set(lines)) == keys * len(SIZES) * 3 * 2
    for group, identities in GROUPS.items():
        for size in SIZES:
            for writer in ("age", "rage"):
                theirs = (folder / f"{group}.{size}.by-{writer}").read_bytes()
                for identity in identities:
                    assert age.open_file(theirs, [identity]) == _plain(size)


def test_the_tools_refuse_what_we_refuse_but_for_known_differences(tools: Tools) -> None:
    folder = tools.folder
    (folder / "keys.x25519").write_text(THE_X25519.encode() + "\n")
    (folder / "keys.pq").write_text(THE_HYBRID.encode() + "\n")
    for number, good in enumerate({fault.good for fault in FAULTS.values()}):
        (folder / f"good.{number}").write_bytes(good)
    names = dict(enumerate(FAULTS))
    for number, name in names.items():
        (folder / f"fault.{number}").write_bytes(FAULTS[name].data)
    opened: dict[str, set[str]] = {}
    lines = tools.run(_EACH_FAULT)
    assert [line for line in lines if line.startswith("refused")] == []
    for line in lines:
        tool, _, file = line.partition(" fault.")
        opened.setdefault(names[int(file)], set()).add(tool)
    assert opened == {name: who for name, (_, who) in DIFFERENCES.items()}


def test_the_age_tool_refuses_the_keys_that_we_refuse(tools: Tools) -> None:
    names = {}
    for number, (name, (_, bad, _)) in enumerate(KEY_FAULTS.items()):
        if bad.strip() and name.partition(": ")[2] not in ("line feed after", "space before"):
            kind = "identity" if "identity" in name else "recipient"
            names[f"age {kind}.{number}"] = name
            (tools.folder / f"{kind}.{number}").write_text(bad + "\n", encoding="utf-8")
    assert [names[line] for line in tools.run(_EACH_KEY)] == []
